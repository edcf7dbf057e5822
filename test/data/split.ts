import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fnv1a } from '../../src/data/fnv1a.js';
import type { ImageSource } from '../../src/data/source.js';
import { drawOf, holdOut, stemOf } from '../../src/data/split.js';
import { leaveOutTrained, readTrained, trainedOn, writeTrained } from '../../src/data/trained.js';
import { DataError } from '../../src/errors.js';
import { validationSplit } from '../../src/eval/labels.js';
import { generator, seed } from '../random.js';
import { rejects } from '../rejects.js';

const test = suite('data/split');
const random = generator();

function named(names: readonly string[] | undefined, length = names?.length ?? 0): ImageSource {
  return {
    name: 'made up',
    length,
    images: 1,
    ...(names && { names }),
    labels: Int32Array.from({ length }, (_, item) => item % 3),
    load: async () => ({ width: 1, height: 1, pixels: new Uint8Array(4) }),
  };
}

const paths = (count: number) =>
  Array.from({ length: count }, (_, i) => `class ${i % 7}/${Math.floor(random() * 1e9).toString(36)}-${i}.jpg`);

/** Names on each side. */
function sides(names: readonly string[], fraction = 0.2, by = seed): { train: Set<string>; test: Set<string> } {
  const { train, test: held } = holdOut(named(names), fraction, by);
  return { train: new Set(train.names), test: new Set(held.names) };
}

test('an item stays on its side whatever is added, removed, renamed or put in another order', () => {
  const names = paths(400);
  const { train, test: held } = sides(names);
  assert.is(train.size + held.size, 400);
  for (const others of [
    [...names, ...paths(300)],
    ['aaa/0.png', ...names],
    names.filter(() => random() < 0.5),
    names.toReversed(),
    names.map((name, i) => (i % 2 ? name : `other/${name}`)),
  ]) {
    const now = sides(others);
    for (const name of others) {
      if (train.has(name)) assert.ok(now.train.has(name), `${name}, seed ${seed}`);
      if (held.has(name)) assert.ok(now.test.has(name), `${name}, seed ${seed}`);
    }
  }
});

test('about the asked share is held out, another for another seed', () => {
  const names = paths(5000);
  for (const fraction of [0.1, 0.2, 0.5]) {
    const count = sides(names, fraction).test.size;
    // six standard deviations of a binomial
    assert.ok(Math.abs(count - 5000 * fraction) < 6 * Math.sqrt(5000 * fraction * (1 - fraction)), `${count} of 5000`);
  }
  const [a, b] = [sides(names, 0.2, 1).test, sides(names, 0.2, 2).test];
  const both = [...a].filter((name) => b.has(name)).length;
  assert.ok(both > 100 && both < 300, `${both} in both`); // 0.04 x 5000 = 200, deviation 14
});

test('copies of one stem are on one side; numbered names are not copies', () => {
  for (const copies of [
    ['a/IMG_1.jpg', 'a/IMG_1.png', 'a/img_1.JPG', 'a/IMG_1 (2).jpg', 'a/IMG_1(1).jpg', 'a/IMG_1 copy.jpg'],
    ['b/x.jpg', 'b/x - Copy.jpg', 'b/x - Copy (3).jpg', 'b/Copy of x.jpg', 'b/Copy (2) of x.jpg', 'b/x copy 2.jpg'],
    ['c/y.jpg', 'c/y-edited.jpg', 'c/y_copy.webp', 'c/y (copy).png', 'c/y (3rd copy).png', 'c/y~2.jpg', 'c/y@2x.png'],
    ['d/z.tif', 'd/z-300x200.jpg', 'd/z-150x150-edited.jpg'],
    ['e/caf\u00e9.jpg', 'e/cafe\u0301.jpg', 'e\\CAFÉ.png'],
  ]) {
    assert.is(new Set(copies.map(stemOf)).size, 1, copies.map(stemOf).join(' '));
    assert.is(new Set(copies.map((name) => drawOf(name, seed))).size, 1);
  }
  const apart = [
    'cat (1).jpg',
    'cat (2).jpg',
    'cat (12).jpg',
    'a/1.jpg',
    'b/1.jpg',
    '1.jpg',
    '.jpg',
    'copy.jpg',
    '2.5.jpg',
    '2.6.jpg',
  ];
  assert.is(new Set(apart.map(stemOf)).size, apart.length, apart.map(stemOf).join(' '));
  assert.is(fnv1a('foobar'), 0xbf9cf968); // of the published test vectors
});

test('items without names go by their numbers; those added at the end move none', () => {
  const held = (length: number) => {
    const { test: part } = holdOut(
      { ...named(undefined, length), digests: Uint32Array.from({ length }, (_, i) => i) },
      0.2,
      7,
    );
    return [...part.digests!];
  };
  const [few, more] = [held(100), held(150)];
  assert.equal(
    more.filter((item) => item < 100),
    few,
  );
  assert.equal(
    few,
    few.toSorted((a, b) => a - b),
  );
});

test('holdOut refuses to leave a part empty', () => {
  const refused = (message: RegExp) => (error: Error) => error instanceof DataError && message.test(error.message);
  assert.throws(() => holdOut(named(paths(4)), 1e-9, 0), refused(/leaves 0 to test and 4 to train/));
  for (const fraction of [0, 1, -1, Number.NaN])
    assert.throws(() => holdOut(named(paths(4)), fraction, 0), refused(/expected a share above 0 and below 1/));
});

test('a validation part keeps copies together, and follows names', () => {
  const names = paths(300);
  const source = named(names);
  const chosen = (of: ImageSource) => new Set(validationSplit(of, 0.2, 3).validation.map((item) => of.names![item]));
  const before = chosen(source);
  const order = names.map((_, i) => i).toReversed();
  const turned: ImageSource = {
    ...source,
    names: order.map((i) => names[i]),
    labels: Int32Array.from(order, (i) => i % 3),
  };
  assert.equal([...chosen(turned)].sort(), [...before].sort());
  const doubled = names.flatMap((name) => [name, name.replace('.jpg', ' copy.jpg')]);
  const twins = { ...named(doubled), labels: Int32Array.from(doubled, (_, i) => (i >> 1) % 3) };
  const held = chosen(twins);
  for (const name of names) assert.is(held.has(name), held.has(name.replace('.jpg', ' copy.jpg')), name);
  assert.ok(held.size > 0);
});

test('what was trained on is left out by its bytes, and goes through text and back', async () => {
  const digests = Uint32Array.from({ length: 1000 }, () => Math.floor(random() * 2 ** 32));
  const all = { ...named(paths(1000)), digests };
  const { train, test: held } = holdOut(all, 0.3, 1);
  for (const set of [trainedOn(train), new Set<number>(), new Set([0]), new Set([0xffffffff, 0, 127, 128, 16384])]) {
    const again = readTrained(writeTrained(set), 'x');
    assert.equal(
      [...again],
      [...set].sort((a, b) => a - b),
    );
  }
  assert.ok(writeTrained(trainedOn(all)).length < 1000 * 6, 'compact');
  const trained = readTrained(writeTrained(trainedOn(train)), 'x');
  assert.is(leaveOutTrained(held, trained).fresh, held);
  const { fresh, known } = leaveOutTrained(all, trained);
  assert.equal([fresh.length, known], [held.length, train.length]);
  assert.equal(fresh.names, held.names);
  const { digests: _, ...unknown } = all;
  assert.equal(leaveOutTrained(unknown, trained), { fresh: unknown, known: 0 });
  assert.is(readTrained(undefined, 'x').size, 0);
  for (const text of ['?', btoa('\xff'), btoa('\xff\xff\xff\xff\x7f')])
    await rejects(() => readTrained(text, 'f.safetensors'), DataError, /f.safetensors: the record of .* is damaged/);
});

test.run();
