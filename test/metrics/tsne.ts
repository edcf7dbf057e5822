import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ShapeError } from '../../src/errors.js';
import { affinities, squaredDistances, tsne, tsneGradient } from '../../src/metrics/tsne.js';
import { close } from '../check.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

/** Rows around `groups` random centers, row n around center n mod groups. */
function clusters(N: number, F: number, groups: number): Float32Array<ArrayBuffer> {
  const random = generator();
  const centers = randoms(random, groups * F, 0, 4);
  return randoms(random, N * F, 0, 0.4).map((value, i) => value + centers[(Math.floor(i / F) % groups) * F + (i % F)]);
}

test('affinities: symmetric, sum to 1, and every row as wide as the perplexity says', () => {
  const [N, F, perplexity] = [30, 5, 6];
  const squared = squaredDistances(clusters(N, F, 3), F);
  const p = affinities(squared, N, perplexity);
  assert.ok(Math.abs(p.reduce((sum, value) => sum + value, 0) - 1) < 1e-12);
  for (let i = 0; i < N; i++) {
    assert.is(p[i * N + i], 0);
    for (let j = 0; j < i; j++) assert.is(p[i * N + j], p[j * N + i]);
  }
  // Of points at equal distances the Gaussian is flat, whatever its width: each row's share is 1 / (N - 1).
  const equal = affinities(new Float64Array(N * N).fill(2), N, perplexity);
  for (let j = 1; j < N; j++) assert.ok(Math.abs(equal[j] - 1 / (N * (N - 1))) < 1e-15);
  // From a point at distances 1 and 2 of two that are alike to it otherwise, the nearer gets the larger share.
  const three = affinities(Float64Array.of(0, 1, 2, 1, 0, 1.5, 2, 1.5, 0), 3, 1.5);
  assert.ok(three[1] > three[2]);
  // The perplexity of row 0, from the share that two points alone keep of each other.
  const entropy = (shares: number[]) => shares.reduce((sum, q) => sum - (q > 0 ? q * Math.log(q) : 0), 0);
  const far = 1e4; // so far that no other row looks back at point 0: p_0j is a half of row 0's own share, over N
  const lone = affinities(
    Float64Array.of(0, far, far + 1, far + 3, far, 0, 1, 2, far + 1, 1, 0, 1, far + 3, 2, 1, 0),
    4,
    1.9,
  );
  const own = [1, 2, 3].map((j) => lone[j] * 8);
  assert.ok(Math.abs(Math.exp(entropy(own)) - 1.9) < 1e-4, `perplexity ${Math.exp(entropy(own))}`);
});

/** KL(p ‖ q), as it is defined: what t-SNE makes small. */
function divergence(p: Float64Array, y: Float64Array): number {
  const N = y.length / 2;
  const near = (i: number, j: number) => 1 / (1 + (y[2 * i] - y[2 * j]) ** 2 + (y[2 * i + 1] - y[2 * j + 1]) ** 2);
  const pairs = Array.from({ length: N * N }, (_, at) => [Math.floor(at / N), at % N]).filter(([i, j]) => i !== j);
  const total = pairs.reduce((sum, [i, j]) => sum + near(i, j), 0);
  return pairs.reduce((sum, [i, j]) => {
    const share = p[i * N + j];
    return share === 0 ? sum : sum + share * Math.log((share * total) / near(i, j));
  }, 0);
}

test('the gradient is the slope of the divergence', () => {
  const random = generator();
  const [N, F] = [14, 4];
  const p = affinities(squaredDistances(randoms(random, N * F), F), N, 4);
  const y = Float64Array.from({ length: 2 * N }, () => 4 * random() - 2);
  const gradient = new Float64Array(2 * N);
  tsneGradient(p, y, gradient);
  const slopes = Array.from(y, (_, i) => {
    const at = (by: number) => {
      const moved = y.slice();
      moved[i] += by;
      return divergence(p, moved);
    };
    return (at(1e-5) - at(-1e-5)) / 2e-5;
  });
  close(gradient, slopes, 'gradient', 1e-7);
  const downhill = y.map((value, i) => value - 0.01 * gradient[i]);
  assert.ok(divergence(p, downhill) < divergence(p, y), `a small step against it goes down (seed ${seed})`);
});

test('the divergence falls, neighbors stay together, and the same data give the same points', () => {
  const [N, F, groups] = [90, 8, 4];
  const data = clusters(N, F, groups);
  const p = affinities(squaredDistances(data, F), N, 29 / 3);
  const options = { perplexity: 29 / 3 };
  const [first, last] = [0, 500].map((iterations) => tsne(data, F, { ...options, iterations }));
  const [before, after] = [first, last].map((y) => divergence(p, y));
  assert.ok(after < before / 4, `${before} to ${after} (seed ${seed})`);
  assert.equal(tsne(data, F, options), last);
  let together = 0;
  for (let i = 0; i < N; i++) {
    let nearest = i === 0 ? 1 : 0;
    const far = (j: number) => (last[2 * i] - last[2 * j]) ** 2 + (last[2 * i + 1] - last[2 * j + 1]) ** 2;
    for (let j = 0; j < N; j++) if (j !== i && far(j) < far(nearest)) nearest = j;
    if (nearest % groups === i % groups) together++;
  }
  assert.ok(together >= 0.9 * N, `${together} of ${N} beside one of their own (seed ${seed})`);
});

test('few points, equal ones and wrong options end well', async () => {
  assert.is(tsne(new Float32Array(6), 2).length, 6);
  for (const N of [1, 2, 4, 5, 9])
    assert.ok(tsne(clusters(N, 3, 2), 3, { iterations: 40 }).every(Number.isFinite), `${N} points (seed ${seed})`);
  const twins = clusters(20, 3, 2);
  twins.copyWithin(30, 0, 30);
  assert.ok(tsne(twins, 3, { iterations: 60 }).every(Number.isFinite));
  assert.ok(tsne(new Float32Array(60).fill(1), 3).every((value) => value === 0));
  await rejects(() => tsne(new Float32Array(7), 2), ShapeError, /^tsne|^pca/);
  await rejects(() => tsne(new Float32Array(8), 2, { perplexity: 1 }), ShapeError, /perplexity above 1/);
});

test.run();
