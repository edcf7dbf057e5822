import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NonFiniteError, ShapeError } from '../../src/errors.js';
import { symmetricEigenvalues } from '../../src/metrics/collapse.js';
import { pca } from '../../src/metrics/pca.js';
import { close } from '../check.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

test('a known answer: points on a tilted cross', () => {
  // along (3, 4)/5 at ±10, along (-4, 3)/5 at ±5, all moved by (7, -2)
  const data = Float32Array.of(7 + 6, -2 + 8, 7 - 6, -2 - 8, 7 - 4, -2 + 3, 7 + 4, -2 - 3);
  const { components, variances, projected } = pca(data, 2);
  close(components, [0.6, 0.8, 0.8, -0.6], 'components', 1e-12);
  close(variances, [50, 12.5], 'variances', 1e-12);
  close(projected, [10, 0, -10, 0, 0, -5, 0, 5], 'projected', 1e-12);
});

test('components of random data: orthonormal, eigenvectors of the covariance, by falling variance', () => {
  const random = generator();
  const [N, F, k] = [40, 12, 4];
  const data = randoms(random, N * F, 3).map((value, i) => value * (1 + (i % F) ** 2 / 8));
  const { components, variances, projected } = pca(data, F, k);
  const mean = Array.from({ length: F }, (_, f) => {
    let sum = 0;
    for (let n = 0; n < N; n++) sum += data[n * F + f] / N;
    return sum;
  });
  const covariance = new Float64Array(F * F);
  for (let n = 0; n < N; n++)
    for (let i = 0; i < F; i++)
      for (let j = 0; j < F; j++)
        covariance[i * F + j] += ((data[n * F + i] - mean[i]) * (data[n * F + j] - mean[j])) / N;
  for (let a = 0; a < k; a++) {
    const v = components.subarray(a * F, (a + 1) * F);
    for (let b = 0; b <= a; b++) {
      const dot = v.reduce((sum, value, f) => sum + value * components[b * F + f], 0);
      assert.ok(Math.abs(dot - (a === b ? 1 : 0)) < 1e-10, `components ${a} and ${b}: ${dot} (seed ${seed})`);
    }
    const turned = Array.from({ length: F }, (_, i) =>
      v.reduce((sum, value, j) => sum + covariance[i * F + j] * value, 0),
    );
    close(
      turned,
      v.map((value) => value * variances[a]),
      `covariance times component ${a}`,
      1e-5,
    );
    const along = Array.from({ length: N }, (_, n) =>
      v.reduce((sum, value, f) => sum + value * (data[n * F + f] - mean[f]), 0),
    );
    close(
      along,
      Array.from({ length: N }, (_, n) => projected[n * k + a]),
      `projection ${a}`,
      1e-10,
    );
  }
  const eigenvalues = symmetricEigenvalues(covariance, F).sort((a, b) => b - a);
  close(variances, eigenvalues.subarray(0, k), 'variances are the largest eigenvalues', 1e-9);
});

test('more components than there is variance are zeros', () => {
  const line = Float32Array.from({ length: 12 }, (_, i) => (1 + (i % 3)) * Math.floor(i / 3));
  const { components, variances } = pca(line, 3);
  close(
    components.subarray(0, 3),
    [1, 2, 3].map((v) => v / Math.sqrt(14)),
    'the line',
    1e-12,
  );
  assert.equal([...components.subarray(3)], [0, 0, 0]);
  assert.is(variances[1], 0);
  const point = pca(new Float32Array(6).fill(2.5), 3);
  assert.ok([...point.components, ...point.variances, ...point.projected].every((value) => value === 0));
});

test('what has no components is refused', async () => {
  await rejects(() => pca(new Float32Array(5), 3), ShapeError, /^pca: expected N x 3/);
  await rejects(() => pca(Float32Array.of(1, Number.NaN), 1), NonFiniteError, /^pca/);
});

test.run();
