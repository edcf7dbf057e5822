// Results of the benched ops in f64, one element at a time: outputs are too many to compute in full, so they are sampled.

export type Values = Readonly<Record<string, Float32Array>>;
/** The element at a flat index; undefined so near a kink that f32 may rightly fall on its other side. */
export type Element = (index: number) => number | undefined;
/** The output as `y` and the gradients as `d` + name, given inputs and weights by name and the output's gradient as `dy`. */
export type Reference = (values: Values) => Record<string, Element>;

interface Convolution {
  N: number;
  I: number;
  O: number;
  H: number;
  W: number;
  K: number;
  S: number;
  P: number;
  groups?: number;
}

/** x (N, I, H, W), weight (O, I / groups, K, K): dense with one group, depthwise with I of them. */
export function convolution({ N, I, O, H, W, K, S, P, groups = 1 }: Convolution): Reference {
  const [OH, OW] = [H, W].map((side) => Math.floor((side + 2 * P - K) / S) + 1);
  const [GI, GO] = [I / groups, O / groups];
  const span = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
  const images = span(0, N);
  const taps = span(0, K);
  const at = (n: number, c: number, h: number, w: number, channels: number, [rows, columns]: readonly number[]) =>
    h < 0 || w < 0 || h >= rows || w >= columns ? -1 : ((n * channels + c) * rows + h) * columns + w;
  const xAt = (n: number, c: number, h: number, w: number) => at(n, c, h, w, I, [H, W]);
  const yAt = (n: number, c: number, h: number, w: number) => at(n, c, h, w, O, [OH, OW]);
  const weightAt = (o: number, i: number, ky: number, kx: number) => ((o * GI + (i % GI)) * K + ky) * K + kx;

  return ({ x, weight, dy }) => ({
    y: (index) => {
      const [n, o, p, q] = unravel(index, [N, O, OH, OW]);
      let sum = 0;
      for (const i of span(Math.floor(o / GO) * GI, GI))
        for (const ky of taps)
          for (const kx of taps) {
            const from = xAt(n, i, p * S + ky - P, q * S + kx - P);
            if (from >= 0) sum += x[from] * weight[weightAt(o, i, ky, kx)];
          }
      return sum;
    },
    dx: (index) => {
      const [n, i, h, w] = unravel(index, [N, I, H, W]);
      let sum = 0;
      for (const o of span(Math.floor(i / GI) * GO, GO))
        for (const ky of taps)
          for (const kx of taps) {
            const [p, q] = [(h + P - ky) / S, (w + P - kx) / S];
            const from = Number.isInteger(p) && Number.isInteger(q) ? yAt(n, o, p, q) : -1;
            if (from >= 0) sum += dy[from] * weight[weightAt(o, i, ky, kx)];
          }
      return sum;
    },
    dweight: (index) => {
      const [o, i, ky, kx] = unravel(index, [O, GI, K, K]);
      const channel = Math.floor(o / GO) * GI + i;
      let sum = 0;
      for (const n of images)
        for (let p = 0; p < OH; p++)
          for (let q = 0; q < OW; q++) {
            const from = xAt(n, channel, p * S + ky - P, q * S + kx - P);
            if (from >= 0) sum += x[from] * dy[yAt(n, o, p, q)];
          }
      return sum;
    },
  });
}

/** y = x weightᵀ + bias: x (N, I), weight (O, I), bias (O). */
export function affine(N: number, I: number, O: number): Reference {
  const product = convolution({ N, I, O, H: 1, W: 1, K: 1, S: 1, P: 0 });
  return (values) => {
    const { y, dx, dweight } = product(values);
    const dbias = (o: number) => {
      let sum = 0;
      for (let n = 0; n < N; n++) sum += values.dy[n * O + o];
      return sum;
    };
    return { y: (index) => (y(index) ?? 0) + values.bias[index % O], dx, dweight, dbias };
  };
}

const kink = 1e-4;

/** What f32 is off by, at most, in a normalized value, of which the largest are about 5. */
const rounding = 5e-6;

/**
 * Training batch normalization with ReLU: x (N, C, P). A channel with a value that rounding may move over the kink has no
 * gradients: one element more or less is in its sums, and by them in all of its dx.
 */
export function normalization(N: number, C: number, P: number, eps = 1e-5): Reference {
  return ({ x, gamma, beta, dy }) => {
    const channel = memo((c: number) => {
      const elements = Array.from({ length: N * P }, (_, i) => (Math.floor(i / P) * C + c) * P + (i % P));
      const count = elements.length;
      const mean = elements.reduce((sum, i) => sum + x[i], 0) / count;
      const r = 1 / Math.sqrt(elements.reduce((sum, i) => sum + (x[i] - mean) ** 2, 0) / count + eps);
      const hat = (i: number) => (x[i] - mean) * r;
      const before = (i: number) => gamma[c] * hat(i) + beta[c];
      const dBefore = (i: number) => (before(i) > 0 ? dy[i] : 0);
      const dbeta = elements.reduce((sum, i) => sum + dBefore(i), 0);
      const dgamma = elements.reduce((sum, i) => sum + dBefore(i) * hat(i), 0);
      const dx = (i: number) => gamma[c] * r * (dBefore(i) - (dbeta + hat(i) * dgamma) / count);
      if (elements.some((i) => Math.abs(before(i)) < rounding)) return { before };
      return { before, dx, dgamma, dbeta };
    });
    const of = (i: number) => channel(Math.floor(i / P) % C);
    return {
      y: (i) => Math.max(0, of(i).before(i)),
      dx: (i) => of(i).dx?.(i),
      dgamma: (c) => channel(c).dgamma,
      dbeta: (c) => channel(c).dbeta,
    };
  };
}

export const relu: Reference = ({ x, dy }) => ({
  y: (i) => Math.max(0, x[i]),
  dx: (i) => (Math.abs(x[i]) < kink ? undefined : x[i] > 0 ? dy[i] : 0),
});

/** The mean of each plane of P pixels. */
export function planeMean(P: number): Reference {
  return ({ x, dy }) => ({
    y: (i) => x.subarray(i * P, (i + 1) * P).reduce((sum, value) => sum + value, 0) / P,
    dx: (i) => dy[Math.floor(i / P)] / P,
  });
}

/** Planes of P pixels, each times its own scale. */
export function scaledPlanes(P: number): Reference {
  return ({ x, scale, dy }) => ({
    y: (i) => scale[Math.floor(i / P)] * x[i],
    dx: (i) => scale[Math.floor(i / P)] * dy[i],
    dscale: (plane) => dot(dy, plane * P, x, plane * P, P),
  });
}

export const sum: Reference = ({ a, b, dy }) => ({ y: (i) => a[i] + b[i], da: (i) => dy[i], db: (i) => dy[i] });

/** A Aᵀ of a (N, D). */
export function gram(N: number, D: number): Reference {
  return ({ a }) => ({ y: (index) => dot(a, Math.floor(index / N) * D, a, (index % N) * D, D) });
}

/** L_BT of za, zb (N, D) and its gradient, by the D x D matrix, one row of it at a time. */
export function barlowTwins(N: number, D: number, { lambda = 0.0051, scale = 1, eps = 1e-5 } = {}): Reference {
  return ({ za, zb, dy }) => {
    const [a, b] = [za, zb].map((z) => standardized(z, N, D, eps));
    const row = (u: Standard, v: Standard, i: number) =>
      Float64Array.from({ length: D }, (_, j) => dot(u.z, i * N, v.z, j * N, N) / N);
    const gradient = (u: Standard, v: Standard) => {
      const column = memo((i: number) => {
        const c = row(u, v, i);
        const g = c.map((value, j) => 2 * scale * (j === i ? value - 1 : lambda * value));
        const t = new Float64Array(N);
        for (let j = 0; j < D; j++) for (let n = 0; n < N; n++) t[n] += g[j] * v.z[j * N + n];
        return { t, correction: dot(c, 0, g, 0, D) };
      });
      return (index: number) => {
        const [n, i] = unravel(index, [N, D]);
        const { t, correction } = column(i);
        return (dy[0] * u.r[i] * (t[n] - u.z[i * N + n] * correction)) / N;
      };
    };
    const loss = () => {
      let total = 0;
      for (let i = 0; i < D; i++)
        row(a, b, i).forEach((c, j) => {
          total += scale * (j === i ? (c - 1) ** 2 : lambda * c * c);
        });
      return total;
    };
    return { y: loss, dza: gradient(a, b), dzb: gradient(b, a) };
  };
}

/** Rows of x (N, D), each divided by its length. */
export function normalizedRows(D: number): Reference {
  return ({ x, dy }) => {
    const row = (i: number) => i - (i % D);
    const length = (i: number) => Math.sqrt(dot(x, row(i), x, row(i), D));
    return {
      y: (i) => x[i] / length(i),
      dx: (i) => (dy[i] - (x[i] * dot(x, row(i), dy, row(i), D)) / length(i) ** 2) / length(i),
    };
  };
}

/** Products of each row of q (N, D) with the same row of own, then with all rows of queue (K, D). */
export function similarities(D: number, K: number): Reference {
  return ({ q, own, queue, dy }) => ({
    y: (index) => {
      const [n, column] = [Math.floor(index / (K + 1)), index % (K + 1)];
      return column === 0 ? dot(q, n * D, own, n * D, D) : dot(q, n * D, queue, (column - 1) * D, D);
    },
    dq: (index) => {
      const [n, d] = [Math.floor(index / D), index % D];
      let sum = dy[n * (K + 1)] * own[index];
      for (let k = 0; k < K; k++) sum += dy[n * (K + 1) + 1 + k] * queue[k * D + d];
      return sum;
    },
    down: (index) => dy[Math.floor(index / D) * (K + 1)] * q[index],
    dqueue: (index) => {
      const [k, d] = [Math.floor(index / D), index % D];
      let sum = 0;
      for (let at = d; at < q.length; at += D) sum += dy[Math.floor(at / D) * (K + 1) + 1 + k] * q[at];
      return sum;
    },
  });
}

/** The mean over the rows of x (N, K) of -sum t log softmax(x / temperature); without t, of class 0. */
export function crossEntropy(N: number, K: number, temperature: number): Reference {
  return ({ x, t, dy }) => {
    const weight = (i: number) => (t ? t[i] : i % K === 0 ? 1 : 0);
    const row = memo((n: number) => {
      let [most, sum, mass, aligned] = [Number.NEGATIVE_INFINITY, 0, 0, 0];
      for (let i = n * K; i < (n + 1) * K; i++) most = Math.max(most, x[i] / temperature);
      for (let i = n * K; i < (n + 1) * K; i++) {
        sum += Math.exp(x[i] / temperature - most);
        mass += weight(i);
        aligned += (weight(i) * x[i]) / temperature;
      }
      return { log: most + Math.log(sum), mass, aligned };
    });
    const loss = () => {
      let total = 0;
      for (let n = 0; n < N; n++) total += (row(n).mass * row(n).log - row(n).aligned) / N;
      return total;
    };
    const dx = (i: number) => {
      const { log, mass } = row(Math.floor(i / K));
      return (dy[0] * (mass * Math.exp(x[i] / temperature - log) - weight(i))) / (N * temperature);
    };
    return { y: loss, dx };
  };
}

/** scale sum (a - t)². */
export function squaredDistance(scale: number): Reference {
  return ({ a, t, dy }) => ({
    y: () => scale * a.reduce((total, v, i) => total + (v - t[i]) ** 2, 0),
    da: (i) => dy[0] * 2 * scale * (a[i] - t[i]),
  });
}

/** 1 / (count + 1) in column 0 of each row of s (N, L) and in the `count` largest others. */
export function nearestNeighborTargets(L: number, count: number): Reference {
  return ({ s }) => {
    const least = memo((n: number) => s.slice(n * L + 1, (n + 1) * L).sort()[L - 1 - count]);
    return { y: (i) => (i % L === 0 || s[i] >= least(Math.floor(i / L)) ? 1 / (count + 1) : 0) };
  };
}

/** exp(s / epsilon) of s (N, P), columns scaled to one sum and rows to 1, three times. */
export function codes(N: number, P: number, epsilon: number): Reference {
  return ({ s }) => {
    const q = Float64Array.from(s, (v) => Math.exp(v / epsilon));
    const [rows, columns] = [new Float64Array(N).fill(1), new Float64Array(P).fill(1)];
    for (let iteration = 0; iteration < 3; iteration++)
      for (const [own, other, of] of [
        [columns, rows, (i: number) => [i % P, Math.floor(i / P)]],
        [rows, columns, (i: number) => [Math.floor(i / P), i % P]],
      ] as const) {
        own.fill(0);
        q.forEach((v, i) => {
          const [to, from] = of(i);
          own[to] += v * other[from];
        });
        own.forEach((sum, i) => {
          own[i] = 1 / sum;
        });
      }
    return { y: (i) => q[i] * rows[Math.floor(i / P)] * columns[i % P] };
  };
}

interface Standard {
  /** (D, N): a column of the batch after the other. */
  readonly z: Float64Array;
  readonly r: Float64Array;
}

function standardized(batch: Float32Array, N: number, D: number, eps: number): Standard {
  const z = new Float64Array(N * D);
  const r = new Float64Array(D);
  for (let i = 0; i < D; i++) {
    let [mean, variance] = [0, 0];
    for (let n = 0; n < N; n++) mean += batch[n * D + i] / N;
    for (let n = 0; n < N; n++) variance += (batch[n * D + i] - mean) ** 2 / N;
    r[i] = 1 / Math.sqrt(variance + eps);
    for (let n = 0; n < N; n++) z[i * N + n] = (batch[n * D + i] - mean) * r[i];
  }
  return { z, r };
}

type Numbers = Float32Array | Float64Array;

function dot(a: Numbers, aFrom: number, b: Numbers, bFrom: number, count: number): number {
  let total = 0;
  for (let k = 0; k < count; k++) total += a[aFrom + k] * b[bFrom + k];
  return total;
}

function unravel(index: number, shape: readonly number[]): number[] {
  return shape.map((side, d) => Math.floor(index / shape.slice(d + 1).reduce((a, b) => a * b, 1)) % side);
}

function memo<T>(compute: (key: number) => T): (key: number) => T {
  const known = new Map<number, T>();
  return (key) => {
    if (!known.has(key)) known.set(key, compute(key));
    return known.get(key) as T;
  };
}

/** y_nd = a_n b_d. */
export function outer(N: number, D: number): Reference {
  const total = (count: number, term: (i: number) => number) => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += term(i);
    return sum;
  };
  return ({ a, b, dy }) => ({
    y: (i) => a[Math.floor(i / D)] * b[i % D],
    da: (n) => total(D, (d) => dy[n * D + d] * b[d]),
    db: (d) => total(N, (n) => dy[n * D + d] * a[n]),
  });
}

/** The mean of each column: x (N, D). */
export function columnMeans(N: number, D: number): Reference {
  return ({ x, dy }) => ({
    y: (d) => {
      let sum = 0;
      for (let n = 0; n < N; n++) sum += x[n * D + d];
      return sum / N;
    },
    dx: (i) => dy[i % D] / N,
  });
}
