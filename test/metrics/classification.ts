import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NonFiniteError, ShapeError } from '../../src/errors.js';
import { classification, confusionMatrix } from '../../src/metrics/classification.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

test('a known answer: three classes, one of them never tested', () => {
  const logits = Float32Array.of(2, 1, 0, 0, 3, 1, 5, 4, 9, 1, 0, 0);
  const found = classification(logits, [0, 1, 1, 1], 3);
  assert.equal([...found.predictions], [0, 1, 2, 0]);
  assert.equal([...found.confusion], [1, 0, 0, 1, 1, 1, 0, 0, 0]);
  assert.is(found.top1, 0.5);
  assert.is(found.top5, 1);
  assert.ok(Math.abs(found.meanPerClass - (1 + 1 / 3) / 2) < 1e-15);
});

test('top-1 and top-5 are those of a full sort, ties by the lower class', () => {
  const random = generator();
  const [N, K] = [300, 9];
  const logits = randoms(random, N * K).map((value) => Math.round(4 * value)); // many ties
  const labels = Int32Array.from({ length: N }, () => Math.floor(K * random()));
  let [top1, top5] = [0, 0];
  for (let n = 0; n < N; n++) {
    const order = Array.from({ length: K }, (_, c) => c).sort((a, b) => logits[n * K + b] - logits[n * K + a] || a - b);
    if (order[0] === labels[n]) top1++;
    if (order.slice(0, 5).includes(labels[n])) top5++;
  }
  const found = classification(logits, labels, K);
  assert.equal([found.top1, found.top5], [top1 / N, top5 / N], `seed ${seed}`);
  const { confusion } = found;
  assert.is(
    confusion.reduce((sum, count) => sum + count, 0),
    N,
  );
  let right = 0;
  for (let c = 0; c < K; c++) right += confusion[c * K + c];
  assert.is(right / N, found.top1);
});

test('what does not fit is refused', async () => {
  await rejects(() => classification(new Float32Array(5), [0, 1], 3), ShapeError, /expected logits \(N, 3\) of 2/);
  await rejects(() => classification(new Float32Array(0), [], 3), ShapeError, /of 0 labels/);
  await rejects(
    () => classification(new Float32Array(6), [0, 3], 3),
    ShapeError,
    /from 0 to 2, got 3 taken for 0 at 1/,
  );
  await rejects(() => classification(Float32Array.of(0, Number.NaN), [0], 2), NonFiniteError, /row 0 of 1/);
  await rejects(() => confusionMatrix([0], [0, 1], 2), ShapeError, /expected 1 predictions, got 2/);
  await rejects(() => confusionMatrix([0], [-1], 2), ShapeError, /0 taken for -1/);
});

test.run();
