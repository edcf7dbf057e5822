/** Labeled images and encoders that the tests of supervised evaluations share. */
import type { ImageSource } from '../../src/data/source.js';
import { generator, seed } from '../random.js';

/** Images of classes that differ by which quarter is bright, with noise; item i is of class i mod `classes`. */
export function quarters(length: number, { classes = 3, side = 8, salt = 0, noise = 40 } = {}): ImageSource {
  return {
    name: 'quarters',
    length,
    images: 1,
    labels: Int32Array.from({ length }, (_, i) => i % classes),
    async load(item) {
      const random = generator(seed + salt * 7919 + item);
      const pixels = new Uint8Array(side * side * 4).fill(255);
      for (let y = 0; y < side; y++)
        for (let x = 0; x < side; x++) {
          const quarter = 2 * Number(y >= side / 2) + Number(x >= side / 2);
          const base = quarter === item % classes ? 200 : 80;
          for (let c = 0; c < 3; c++) pixels[(y * side + x) * 4 + c] = base + noise * (random() - 0.5);
        }
      return { width: side, height: side, pixels };
    },
  };
}

/** The rows of (N, F) `data`, in f64. */
export function rowsOf64(data: Float32Array, features: number): Float64Array[] {
  return Array.from({ length: data.length / features }, (_, n) =>
    Float64Array.from(data.subarray(n * features, (n + 1) * features)),
  );
}

/** Softmax of a row of logits. */
export function softmax64(logits: readonly number[]): number[] {
  const most = Math.max(...logits);
  const shares = logits.map((v) => Math.exp(v - most));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((v) => v / sum);
}

/** PyTorch's SGD with momentum on one tensor; returns the function that takes a gradient and a learning rate. */
export function sgd64(w: Float64Array, { momentum = 0.9, weightDecay = 0, nesterov = false } = {}) {
  const buf = new Float64Array(w.length);
  return (gradient: ArrayLike<number>, lr: number) => {
    for (let i = 0; i < w.length; i++) {
      const g = gradient[i] + weightDecay * w[i];
      buf[i] = momentum * buf[i] + g;
      w[i] -= lr * (nesterov ? g + momentum * buf[i] : buf[i]);
    }
  };
}
