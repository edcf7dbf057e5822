import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImageSource } from '../../src/data/source.js';
import { ConfigError, DataError } from '../../src/errors.js';
import { countClasses, validationSplit } from '../../src/eval/labels.js';
import { rejects } from '../rejects.js';

function labeled(labels: number[] | undefined, more: Partial<ImageSource> = {}): ImageSource {
  return {
    name: 'made up',
    length: labels?.length ?? 3,
    images: 1,
    ...(labels && { labels: Int32Array.from(labels) }),
    load: async () => ({ width: 1, height: 1, pixels: new Uint8Array(4) }),
    ...more,
  };
}

test('classes are counted by the labels, and named where names are known', () => {
  assert.equal(countClasses('x', labeled([0, 2, 2]), labeled([1, 3])), {
    names: ['0', '1', '2', '3'],
    train: [1, 0, 2, 0],
    test: [0, 1, 0, 1],
  });
  const classes = ['cat', 'dog'];
  assert.equal(countClasses('x', labeled([0, 1], { classes }), labeled([1, 1])), {
    names: classes,
    train: [1, 1],
    test: [0, 2],
  });
});

test('labels that cannot be learned are refused by name', async () => {
  const good = labeled([0, 1]);
  for (const [train, held, message] of [
    [labeled(undefined), good, /^linear: made up has no labels: expected two sub-folders or more/],
    [good, labeled(undefined), /^linear: made up has no labels/],
    [good, labeled([]), /^linear: made up has no images/],
    [labeled([1, 1]), good, /^linear: made up has a single class/],
    [labeled([0, 1], { length: 3 }), good, /expected a label for each of 3 items, got 2/],
    [labeled([0, -1]), good, /whole numbers from 0 to 65535, got -1/],
    [labeled([0, 2], { classes: ['a', 'b'] }), good, /whole numbers from 0 to 1, got 2/],
    [labeled([0, 1], { classes: ['a', 'b'] }), labeled([0, 2]), /whole numbers from 0 to 1, got 2/],
    [labeled([0, 5]), labeled([0], { classes: ['a', 'b'] }), /whole numbers from 0 to 1, got 5/],
    [labeled([0, 1], { classes: ['a', 'b'] }), labeled([0], { classes: ['b', 'a'] }), /got a, b and b, a/],
  ] as const)
    await rejects(() => countClasses('linear', train, held), DataError, message);
});

test('validation takes its share of every class, by the seed, and keeps one of a class at least to train on', async () => {
  const labels = Array.from({ length: 100 }, (_, i) => (i < 50 ? 0 : i < 95 ? 1 : i < 99 ? 2 : 3));
  const source = labeled(labels);
  const { train, validation } = validationSplit(source, 0.2, 7);
  const count = (items: number[]) => [0, 1, 2, 3].map((c) => items.filter((item) => labels[item] === c).length);
  assert.equal(count(validation), [10, 9, 0, 0]);
  assert.equal(count(train), [40, 36, 4, 1]);
  assert.equal(
    [...train, ...validation].sort((x, y) => x - y),
    labels.map((_, i) => i),
  );
  assert.equal(validationSplit(source, 0.2, 7).validation, validation);
  assert.not.equal(validationSplit(source, 0.2, 8).validation, validation);
  await rejects(
    () => validationSplit(labeled([0, 1, 2]), 0.2, 0),
    ConfigError,
    /leaves none to choose a learning rate by/,
  );
});

test.run();
