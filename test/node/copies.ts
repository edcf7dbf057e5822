import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadImage } from '../../src/data/rgba_image.js';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { shrink } from '../../src/eval/raw_pixels.js';
import { evaluateCopies } from '../../src/node/eval/copies.js';
import { evaluationText } from '../../src/node/eval/scores.js';
import { foundSection } from '../../src/node/report/found.js';
import { openTestDevice } from '../device.js';
import { generator } from '../random.js';

const random = generator();

/** Images of a few large blocks of random colors. */
function blocks(name: string, length: number): ImageSource {
  const images = Array.from({ length }, (): RgbaImage => {
    const colors = Array.from({ length: 16 * 3 }, () => 256 * random());
    const pixels = Uint8Array.from({ length: 16 * 16 * 4 }, (_, i) => {
      const block = (((i >> 2) % 16) >> 2) + 4 * (i >> 8);
      return i % 4 === 3 ? 255 : colors[block * 3 + (i % 4)];
    });
    return { width: 16, height: 16, pixels };
  });
  return { name, length, images: 1, load: async (item) => images[item] };
}

const blind = { embed: async ({ length }: ImageSource) => new Float32Array(length * 4).fill(1) };

/** Pixels of the image and its mirror image, summed: features that a mirror does not change. */
const symmetric = {
  async embed(source: ImageSource) {
    const rows: number[] = [];
    for (let item = 0; item < source.length; item++) {
      const cells = shrink(await loadImage(source, item, 0), 4);
      rows.push(...cells.map((value, i) => value + cells[(i & ~3) + 3 - (i & 3)]));
    }
    return Float32Array.from(rows);
  },
};

test('copies of held-out images are searched by all contenders, and words say who leads where', async () => {
  const device = await openTestDevice();
  const dataset = { name: 'blocks', train: blocks('train', 120), test: blocks('test', 40), notes: [] };
  const encoders = [
    { name: 'slim encoder, trained', embedder: symmetric, isTrained: true },
    { name: 'host encoder, trained', embedder: symmetric, isTrained: true },
    { name: 'slim encoder, untrained', embedder: blind, isTrained: false },
  ];
  const found = await evaluateCopies(dataset, encoders, { device, imageSize: 16, seed: 3 });
  const [slim, host, untrained, pixels, histogram, hash] = found.scores;
  assert.equal(
    found.scores.map(({ name }) => name),
    [...encoders.map(({ name }) => name), 'raw pixels', 'color histogram', 'dHash'],
  );
  assert.match(found.on, '40 held-out images, edited');
  assert.is(slim.mirror, 1);
  assert.equal({ ...host, name: '' }, { ...slim, name: '' });
  for (const edit of ['combined', 'combinedMirrored', 'crop', 'rotate', 'recolor', 'mirror'] as const) {
    assert.is(untrained[edit], 0, 'one point for all images finds nothing');
    for (const score of [slim, pixels, histogram, hash]) assert.ok(score[edit]! >= 0 && score[edit]! <= 1);
  }
  assert.is(histogram.mirror, 1, 'colors stay where they are mirrored');
  assert.ok(pixels.mirror! < 0.5 && pixels.recolor! > 0.9);
  const [leads, behind] = found.notes;
  assert.match(leads, /^The slim encoder, trained, finds best: /);
  assert.match(behind, /^Others find better: .*mirrored copies \(color histogram: 100\.0 % against 100\.0 %\)/);
  assert.match(evaluationText(found), /all three +\+ mirror +crop +rotate +recolor +mirror/);

  const again = await evaluateCopies(dataset, encoders, { device, imageSize: 16, seed: 3 });
  assert.equal(again.scores, found.scores);
  const few = await evaluateCopies({ ...dataset, test: undefined }, encoders, {
    device,
    imageSize: 16,
    seed: 3,
    gallery: 9,
  });
  assert.match(few.on, '9 training images, none being held out');
  device.dispose();

  const { copies, by } = found.found!;
  assert.equal([by, copies.length], [['raw pixels', 'slim encoder, trained'], 16]);
  for (const { nearest } of copies)
    for (const of of nearest) assert.ok(of.length === 5 && of.filter(({ isOriginal }) => isOriginal).length <= 1);
  const page = foundSection({ ...found.found!, by: ['<b>', 'slim'] });
  const marked = copies.flatMap(({ nearest }) => nearest.flat()).filter(({ isOriginal }) => isOriginal);
  assert.is(page.match(/<img/g)?.length, 16 * 11);
  assert.is(page.match(/class="hit" alt="the original, number \d by /g)?.length, marked.length);
  assert.match(page, '<span>&#60;b&#62;</span>');
  assert.not.match(page, /<b>|https?:/);
});

test.run();
