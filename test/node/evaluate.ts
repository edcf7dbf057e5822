import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { csv } from '../../src/node/cli/embed.js';
import { evaluate, pixelBaseline } from '../../src/node/eval/evaluate.js';
import { evaluationText } from '../../src/node/eval/scores.js';

/** Items of four classes, each class a corner that is bright; image 1 of an item is image 0, dimmer. */
function corners(length: number, images: 1 | 2, labeled = true): ImageSource {
  return {
    name: 'corners',
    length,
    images,
    ...(labeled && { labels: Int32Array.from({ length }, (_, i) => i % 4) }),
    async load(item, image): Promise<RgbaImage> {
      const pixels = new Uint8Array(8 * 8 * 4).fill(90);
      for (let p = 0; p < 16; p++) {
        const [x, y] = [(item % 2) * 4 + (p % 4), ((item >> 1) % 2) * 4 + (p >> 2)];
        pixels[(y * 8 + x) * 4 + (item % 3)] = 255 - 60 * image - ((item * 37 + p * 11) % 50);
      }
      return { width: 8, height: 8, pixels };
    },
  };
}

test('without anything held out the rank of the training features is told, and how to get more', async () => {
  const train = corners(30, 1, false);
  const spread = {
    embed: async (s: ImageSource) => Float32Array.from({ length: s.length * 4 }, (_, i) => (i * i) % 7),
  };
  const flat = { embed: async (s: ImageSource) => new Float32Array(s.length * 4).fill(1) };
  const contenders = [
    { name: 'trained', embedder: spread, ranked: true },
    { name: 'untrained', embedder: flat, ranked: true },
    pixelBaseline(8),
  ];
  const found = await evaluate({ name: 'corners', train, notes: [] }, contenders);
  assert.is(found.on, '30 training images, none being held out');
  assert.equal(
    found.scores.map(({ name }) => name),
    ['trained', 'untrained'],
  );
  assert.ok((found.scores[0].effectiveRank as number) > 1.5);
  assert.is(found.scores[1].effectiveRank, 0);
  assert.match(evaluationText(found), /^On 30 training images.*trained .*where sub-folders are labels/s);
});

test('labels give kNN, twins give retrieval, and the notes say what must be said', async () => {
  const dataset = { name: 'corners', train: corners(40, 2), test: corners(12, 2), notes: [] };
  const blind = {
    name: 'blind',
    embedder: { embed: async (s: ImageSource) => new Float32Array(s.length * 4).fill(1) },
    ranked: true,
  };
  const result = await evaluate(dataset, [blind, pixelBaseline(8)]);
  assert.match(result.on, '24 held-out images; kNN over 4 classes by 80 training images; retrieval: 1 match among 12');
  const [first, raw] = result.scores;
  assert.equal([first.top1, first.top5, first.effectiveRank], [0, 0, 0]);
  assert.equal([raw.name, raw.knn, raw.top1], ['raw pixels', 1, 1]);
  assert.match(result.notes.join('\n'), /Raw pixels are ahead on kNN \(100\.0 % against 25\.0 %\)/);
  assert.match(result.notes.join('\n'), /ahead on retrieval \(100\.0 % against 0\.0 %\)/);
  assert.match(result.notes.join('\n'), 'Protocol paired');
  // One point cannot be told apart: kNN takes all for the class that the nearest, the first, votes for.
  assert.is(result.confusion?.of, 'kNN of the blind');
  assert.equal(result.confusion?.classes, ['0', '1', '2', '3']);
  const columns = [0, 1, 2, 3].map((c) => result.confusion?.counts.map((row) => row[c]));
  assert.equal(
    columns.filter((column) => column?.some((count) => count > 0)),
    [[6, 6, 6, 6]],
  );
  assert.is(result.map?.labels.length, 24);
  assert.ok([...(result.map?.x ?? []), ...(result.map?.y ?? [])].every((value) => value === 0));
  const plain = await evaluate(dataset, [pixelBaseline(8)], { map: 'none' });
  assert.equal(plain.map, undefined);
  assert.equal(
    plain.confusion?.counts,
    [0, 1, 2, 3].map((c) => [0, 1, 2, 3].map((j) => (j === c ? 6 : 0))),
  );
  const text = evaluationText(result);
  assert.match(text, /blind +25\.0 % +0\.0 % +0\.0 % +0\.0/);
  assert.match(text, /raw pixels +100\.0 % +100\.0 % +100\.0 % +–/);
});

test('single images give no retrieval, no labels no kNN, large sets are thinned', async () => {
  const dataset = { name: 'corners', train: corners(40, 1), test: corners(12, 1), notes: [] };
  const asked: number[] = [];
  const counting = {
    name: 'counting',
    embedder: {
      embed: async (s: ImageSource) => {
        asked.push(s.length);
        return Float32Array.from({ length: s.length * 2 }, (_, i) => i + 1);
      },
    },
  };
  const { scores, notes } = await evaluate(dataset, [counting], { bank: 10, queries: 6 });
  assert.equal(asked, [6, 10]);
  assert.equal(Object.keys(scores[0]), ['name', 'knn']);
  assert.equal(notes, []);
  const unlabeled = await evaluate({ ...dataset, train: corners(40, 1, false) }, [counting]);
  assert.equal(Object.keys(unlabeled.scores[0]), ['name']);
  const oneClass = { ...corners(40, 1), labels: new Int32Array(40) };
  assert.equal(Object.keys((await evaluate({ ...dataset, train: oneClass }, [counting])).scores[0]), ['name']);
  const all = await evaluate({ name: 'all', train: corners(40, 1), notes: [] }, [counting]);
  assert.equal(all.scores, []);
});

test('CSV quotes names that need it and keeps all digits of f32', () => {
  const rows = Float32Array.of(0.1, -1e-20, 3, 16777217);
  const text = [...csv(['a/b.png', 'odd, "name".png'], rows, 2)].join('');
  assert.is(text, 'file,f0,f1\na/b.png,0.100000001,-9.99999968e-21\n"odd, ""name"".png",3,16777216\n');
  const numbers = text.match(/,(-?[\d.e-]+)/g)!.map((part) => Math.fround(Number(part.slice(1))));
  assert.equal(numbers, [...rows]);
});

test.run();
