// How fast a device is, in a fraction of a second: one product of matrices and one copy, whose results are compared before any
// time is given. A rough figure; `npm run bench` measures each op.
import { record } from '../../core/record.js';
import { matmul } from '../../ops/matmul.js';
import type { Device } from '../../runtime/device.js';

/** Rates of a device. */
export interface Speed {
  /** Billions of floating-point operations a second in a product of two 512 x 512 matrices, two for each multiply-add. */
  readonly matmulGflops: number;
  /** Billions of bytes a second in a copy from one buffer to another, each byte counted as read and as written. */
  readonly copyGbps: number;
}

const side = 512;
const least = 100; // milliseconds that are timed

/** Measures a device. @throws Error by what it computed wrong */
export async function measure(device: Device): Promise<Speed> {
  return { matmulGflops: await timeMatmul(device), copyGbps: await timeCopy(device) };
}

/** Runs a second, and a third time: as often as fills the time, after one run that compiles and one that is timed alone. */
async function secondsOf(device: Device, run: () => void): Promise<number> {
  const time = async (runs: number) => {
    const started = performance.now();
    for (let i = 0; i < runs; i++) run();
    await device.settled();
    return (performance.now() - started) / runs;
  };
  const once = await time(1);
  return (await time(Math.max(1, Math.min(200, Math.ceil(least / once))))) / 1000;
}

/** Small whole numbers, so that f32 sums are exact; they repeat, so that few sums differ. */
async function timeMatmul(device: Device): Promise<number> {
  const [rows, columns] = [37, 41];
  const left = (i: number, k: number) => ((i % rows) * 5 + k * 3) % 7;
  const right = (k: number, j: number) => ((j % columns) * 4 + k * 2) % 9;
  const make = (label: string, of: (r: number, c: number) => number) =>
    device.tensor([side, side], (i) => of(Math.floor(i / side), i % side), { label });
  const [a, b] = [make('a', left), make('b', right)];
  const step = await record(device, (tape) => ({ y: matmul(tape, a, b) }), { label: 'doctor' });
  try {
    step.run();
    const y = await step.read('y');
    const sums = Array.from({ length: rows * columns }, (_, n) => {
      let sum = 0;
      for (let k = 0; k < side; k++) sum += left(Math.floor(n / columns), k) * right(k, n % columns);
      return sum;
    });
    y.forEach((value, n) => {
      const [i, j] = [Math.floor(n / side), n % side];
      const expected = sums[(i % rows) * columns + (j % columns)];
      if (value !== expected)
        throw new Error(`the product of matrices should be ${expected} at (${i}, ${j}), but the adapter says ${value}`);
    });
    return (2 * side ** 3) / (await secondsOf(device, () => step.run())) / 1e9;
  } finally {
    step.dispose();
    device.release([a, b]);
  }
}

async function timeCopy(device: Device): Promise<number> {
  const most = Math.min(
    device.software ? 2 ** 24 : 2 ** 26,
    device.limits.maxBufferSize,
    Math.floor(device.memory / 8),
  );
  const bytes = most - (most % 16);
  const words = new Uint32Array(bytes / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2654435761);
  const [from, to] = [device.buffer('from', bytes), device.buffer('to', bytes)];
  try {
    device.write(from, words);
    device.copy(from, to);
    const got = new Uint32Array(await device.read(to));
    if (!Buffer.from(got.buffer).equals(Buffer.from(words.buffer)))
      throw new Error(
        `a copy of ${bytes} bytes differs from byte ${4 * got.findIndex((word, i) => word !== words[i])} on`,
      );
    return (2 * bytes) / (await secondsOf(device, () => device.copy(from, to))) / 1e9;
  } finally {
    device.release([from, to]);
  }
}
