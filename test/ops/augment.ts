import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigError } from '../../src/errors.js';
import { augment as kernel } from '../../src/generated/augment.js';
import {
  type Augmentation,
  augment,
  augmentParams,
  centerCrop,
  cleanView,
  defaultViews,
  imagenetStatistics,
} from '../../src/ops/augment.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { seed } from '../random.js';
import { drawsOf, fresh, uploadBatch, values } from './augment_batch.js';
import {
  allOrders,
  centerDraw,
  drawWords,
  jitterOrder,
  randomDraw,
  view as referenceView,
} from './augment_reference.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const off: Augmentation = {
  ...defaultViews(32)[0],
  crop: { scale: [1, 1], ratio: [1, 1] },
  flip: 0,
  jitter: { p: 0, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.2 },
  grayscale: 0,
  blur: { p: 0, sigma: [0.1, 2], window: 5 },
  solarize: 0,
};
const all: Augmentation = {
  ...off,
  crop: { scale: [0.08, 1], ratio: [0.75, 4 / 3] },
  flip: 0.5,
  jitter: { ...off.jitter, p: 1 },
};

/** White over the least deviation: the normalized values of a dim image are what is left of such terms and the mean. */
const white = 1 / Math.min(...imagenetStatistics.std);

async function compare(options: Augmentation, sizes: readonly (readonly [number, number])[], maxSide?: number) {
  const uploaded = uploadBatch(device, sizes);
  const batch = { ...uploaded, maxSide: maxSide ?? uploaded.maxSide };
  const [step, runSeed] = [fresh(), fresh()];
  let unclear = 0;
  for (const view of [0, 1] as const) {
    const x = await values(device, (plan) => augment(plan, batch, view, options), step, runSeed);
    const each = 3 * options.size ** 2;
    const expected = Float64Array.from(x);
    for (let n = 0; n < batch.batch; n++) {
      const image = batch.of(n, view);
      const draw = randomDraw(drawWords(runSeed, step, batch.samples[n], view), image, options);
      if (draw.ambiguous) unclear++;
      else expected.set(referenceView(image, draw, options), n * each);
    }
    close(x, expected, `view ${view}`, undefined, white);
  }
  batch.free();
  assert.ok(unclear <= 2, `${unclear} crops too near to half a pixel, seed ${seed}`);
}

const sizes = [
  [64, 64],
  [37, 53],
  [1, 1],
  [90, 5],
  [8, 31],
  [33, 32],
  [100, 75],
  [2, 3],
] as const;
const square = Array.from({ length: 8 }, () => [32, 32] as const);

for (const [name, options] of [
  ['nothing but the size', off],
  ['crop', { ...off, crop: all.crop }],
  ['crop to an odd size', { ...off, size: 17, crop: all.crop }],
  ['crop with no ratio that fits: the center', { ...off, crop: { scale: [1, 1], ratio: [1.72, 1.93] } }],
  ['flip', { ...off, flip: 1 }],
  ['rotation', { ...off, rotate: { p: 1, degrees: 180 } }],
  ['rotation of some crops, to an odd size', { ...off, size: 17, crop: all.crop, rotate: { p: 0.5, degrees: 30 } }],
  ['rotation and flip of crops', { ...off, crop: all.crop, flip: 0.5, rotate: { p: 1, degrees: 180 } }],
  ['nothing: clean', cleanView(32)],
  ['brightness', { ...off, jitter: { p: 1, brightness: 0.8, contrast: 0, saturation: 0, hue: 0 } }],
  ['contrast', { ...off, jitter: { p: 1, brightness: 0, contrast: 0.8, saturation: 0, hue: 0 } }],
  ['saturation', { ...off, jitter: { p: 1, brightness: 0, contrast: 0, saturation: 0.8, hue: 0 } }],
  ['hue', { ...off, jitter: { p: 1, brightness: 0, contrast: 0, saturation: 0, hue: 0.5 } }],
  ['jitter in all orders', all],
  ['grayscale', { ...off, grayscale: 1 }],
  ['blur', { ...off, blur: { ...off.blur, p: 1 } }],
  ['blur with the widest window', { ...off, size: 8, blur: { p: 1, sigma: [0.1, 9], window: 15 } }],
  ['blur of some', { ...off, blur: { ...off.blur, p: 0.5 } }],
  ['solarise', { ...off, solarize: 1 }],
  ['solarise after blur', { ...off, solarize: 1, blur: { ...off.blur, p: 1 } }],
  ['everything', { ...all, grayscale: 0.2, solarize: 0.5, blur: { ...off.blur, p: 0.5 } }],
  ['everything, rotated', { ...all, grayscale: 0.2, blur: { ...off.blur, p: 0.5 }, rotate: { p: 0.8, degrees: 45 } }],
  ['one pixel', { ...all, size: 1, blur: { p: 1, sigma: [1, 1], window: 1 } }],
] as [string, Augmentation][]) {
  test(`both views as the reference makes them: ${name}`, () => compare(options, sizes));
}

test("square images of the view's own size pass unchanged", () => compare(off, square));

test('the words of kernel and TypeScript are the same', async () => {
  const batch = uploadBatch(device, square, 50);
  const [step, runSeed] = [fresh(), fresh()];
  const bytes = 50 * 36 * 4;
  for (const view of [0, 1] as const) {
    const words = await values(
      device,
      (plan) => {
        const binding = { storage: plan.slot('words', bytes), offset: 0, bytes };
        const bindings = { batch: batch.bindings.batch, words: binding };
        plan.dispatch(kernel, 'draw_words', {
          params: augmentParams(batch, view, off),
          bindings,
          workgroups: Math.ceil((50 * 9) / 64),
          bytes,
        });
        return binding;
      },
      step,
      runSeed,
    );
    const expected = batch.samples.flatMap((sample) => drawWords(runSeed, step, sample, view));
    assert.equal([...new Uint32Array(words.buffer)], expected, `seed ${seed}`);
  }
  batch.free();
});

test("a step's view depends on seed, step, sample and view alone", async () => {
  const batch = uploadBatch(device, sizes, 24);
  const options = { ...all, blur: { ...off.blur, p: 0.5 }, grayscale: 0.2, solarize: 0.2 };
  const [step, runSeed] = [fresh(), fresh()];
  const a = await values(device, (plan) => augment(plan, batch, 0, options), step, runSeed);
  await values(device, (plan) => augment(plan, batch, 0, options), step + 1, runSeed);
  assert.equal(
    await values(device, (plan) => augment(plan, batch, 0, options), step, runSeed),
    a,
    `repeats, seed ${seed}`,
  );

  // places 20.. of the batch, alone
  const moved = device.buffer('moved', 4 * 16);
  device.write(moved, new Uint8Array(await device.read(batch.bindings.batch, 20 * 16, 4 * 16)));
  const alone = {
    ...batch,
    batch: 4,
    bindings: { ...batch.bindings, batch: { storage: moved, offset: 0, bytes: 64 } },
  };
  const each = 3 * options.size ** 2;
  const part = await values(device, (plan) => augment(plan, alone, 0, options), step, runSeed);
  assert.equal(part, a.subarray(20 * each), `whoever shares the batch, seed ${seed}`);

  for (const [what, other] of [
    ['seed', await values(device, (plan) => augment(plan, batch, 0, options), step, runSeed ^ 1)],
    ['step', await values(device, (plan) => augment(plan, batch, 0, options), step ^ 1, runSeed)],
  ] as const) {
    for (const n of [0, 6, 14]) {
      const same = a.subarray(n * each, (n + 1) * each).every((value, i) => value === other[n * each + i]);
      assert.not(same, `another ${what} makes another view of image ${n}, seed ${seed}`);
    }
  }
  device.free(moved);
  batch.free();
});

test('a batch too large for one part is made in several', () =>
  compare(all, Array.from({ length: 3 }, () => sizes).flat(), 16384)); // room for such sides: 8 images a part

test('the far end of a tall image is as precise as the near one', () =>
  compare({ ...all, crop: { scale: [0.5, 1], ratio: [0.003, 0.003] } }, [[12, 4096]]));

test('draws are distributed as their options say', async () => {
  const n = 20000;
  const options = { ...defaultViews(224)[0], solarize: 0.2, blur: { p: 0.1, sigma: [0.1, 2], window: 23 } } as const;
  const draws = await drawsOf(device, n, [200, 200], options, 0);
  const near = (what: string, got: number, expected: number, deviation: number, count = n) =>
    assert.ok(
      Math.abs(got - expected) < 5 * (deviation / Math.sqrt(count)),
      `${what}: ${got}, expected ${expected}, seed ${seed}`,
    );
  const mean = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const share = (what: string, field: number, p: number, holds: (value: number) => boolean = (value) => value === 1) =>
    near(what, mean(draws.map(({ u }) => Number(holds(u[field])))), p, Math.sqrt(p * (1 - p)));
  share('flip', 10, 0.5);
  share('jitter', 11, 0.8, (count) => count === 4);
  share('grayscale', 19, 0.2);
  share('blur', 20, 0.1, (sigma) => sigma !== 0);
  share('solarise', 21, 0.2);
  const range = (what: string, list: readonly number[], low: number, high: number) => {
    near(what, mean(list), (low + high) / 2, (high - low) / Math.sqrt(12), list.length);
    for (const value of list) assert.ok(value >= low - 1e-6 && value <= high + 1e-6, `${what}: ${value}, seed ${seed}`);
  };
  const field = (at: number) => draws.map(({ f }) => f[at]);
  range('brightness', field(15), 0.6, 1.4);
  range('contrast', field(16), 0.6, 1.4);
  range('saturation', field(17), 0.8, 1.2);
  range('hue', field(18), -0.1, 0.1);
  range(
    'sigma',
    field(20).filter((sigma) => sigma > 0),
    0.1,
    2,
  );

  const orders = new Map<string, number>();
  for (const { u } of draws) {
    const order = [0, 2, 4, 6].map((at) => (u[12] >> at) & 3);
    assert.equal([u[13], u[14]], [order.indexOf(1), order.indexOf(3)], 'places of contrast and hue');
    const key = order.join('');
    orders.set(key, (orders.get(key) ?? 0) + 1);
  }
  assert.equal([...orders.keys()].sort(), allOrders, 'every order occurs, and nothing else');
  const expected = n / 24;
  const chi2 = [...orders.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  assert.ok(chi2 < 23 + 8 * Math.sqrt(46), `orders: chi-square ${chi2} of 23 degrees, seed ${seed}`);

  // of a small crop, which always fits: area and log ratio as given, places evenly spread
  const small = await drawsOf(
    device,
    n,
    [200, 200],
    { ...options, crop: { scale: [0.2, 0.5], ratio: [3 / 4, 4 / 3] } },
    1,
  );
  const sides = small.map(({ u }) => ({ left: u[2], top: u[3], width: u[4], height: u[5] }));
  near('area', mean(sides.map(({ width, height }) => (width * height) / 40000)), 0.35, 0.3 / Math.sqrt(12));
  near(
    'log ratio',
    mean(sides.map(({ width, height }) => Math.log(width / height))),
    0,
    (2 * Math.log(4 / 3)) / Math.sqrt(12),
  );
  near('left', mean(sides.map(({ left, width }) => (left + 0.5) / (200 - width + 1))), 0.5, 1 / Math.sqrt(12));
  near('top', mean(sides.map(({ top, height }) => (top + 0.5) / (200 - height + 1))), 0.5, 1 / Math.sqrt(12));
});

test('draws of the two views, of samples and of each other are uncorrelated', () => {
  const n = 4000;
  const [step, runSeed] = [fresh(), fresh()];
  const views = [0, 1].map((view) => Array.from({ length: n }, (_, sample) => drawWords(runSeed, step, sample, view)));
  const correlation = (a: (i: number) => number, b: (i: number) => number) => {
    let sum = 0;
    for (let i = 0; i < n - 1; i++) sum += (a(i) / 2 ** 32 - 0.5) * (b(i) / 2 ** 32 - 0.5) * 12;
    return sum / Math.sqrt(n - 1);
  };
  for (const d of [0, 1, 5, 12, 16, 35]) {
    for (const [what, z] of [
      [
        'views',
        correlation(
          (i) => views[0][i][d],
          (i) => views[1][i][d],
        ),
      ],
      [
        'samples',
        correlation(
          (i) => views[0][i][d],
          (i) => views[0][i + 1][d],
        ),
      ],
      [
        'draws',
        correlation(
          (i) => views[0][i][d],
          (i) => views[0][i][(d + 1) % 36],
        ),
      ],
    ] as const)
      assert.ok(Math.abs(z) < 5, `${what} at draw ${d}: ${z} deviations, seed ${seed}`);
  }
  assert.equal(
    new Set(Array.from({ length: 24 }, (_, i) => jitterOrder(Math.ceil((i * 2 ** 32) / 24)).join(''))).size,
    24,
  );
});

for (const [size, resize] of [
  [32, undefined],
  [32, 37],
  [17, 17],
  [64, 100],
  [1, 1],
] as const) {
  test(`the center crop of evaluation: ${size} of ${resize ?? size}`, async () => {
    const batch = uploadBatch(device, sizes);
    const { mean, std, blur } = off;
    const x = await values(device, (plan) => centerCrop(plan, batch, { size, resize, mean, std }), fresh(), fresh());
    for (let n = 0; n < batch.batch; n++) {
      const image = batch.of(n, 0);
      const reference = referenceView(image, centerDraw(image, size, resize ?? size), { size, mean, std, blur });
      close(
        x.subarray(n * reference.length, (n + 1) * reference.length),
        reference,
        `image ${n}, ${image.width} x ${image.height}`,
      );
    }
    batch.free();
  });
}

test('options out of range are refused by name', () => {
  const batch = uploadBatch(device, square);
  const plan = new Plan(device);
  for (const [options, message] of [
    [{ ...off, flip: 1.5 }, /flip to be a probability, got 1.5/],
    [{ ...off, solarize: Number.NaN }, /solarize/],
    [{ ...off, size: 0 }, /size to be a whole number/],
    [{ ...off, size: 31.5 }, /size/],
    [
      { ...off, crop: { scale: [0.5, 0.2], ratio: [1, 1] } },
      /crop.scale to be two rising numbers above 0, at most 1, got 0.5, 0.2/,
    ],
    [{ ...off, crop: { scale: [0, 1], ratio: [1, 1] } }, /crop.scale/],
    [{ ...off, jitter: { ...off.jitter, hue: 0.6 } }, /jitter.hue/],
    [{ ...off, jitter: { ...off.jitter, contrast: -0.1 } }, /jitter.contrast/],
    [{ ...off, blur: { ...off.blur, window: 4 } }, /blur.window to be an odd number/],
    [{ ...off, blur: { ...off.blur, window: 65 } }, /at most 63, got 65/],
    [{ ...off, std: [1, 0, 1] }, /std/],
    [{ ...off, rotate: { p: 1.5, degrees: 30 } }, /rotate.p to be a probability, got 1.5/],
    [{ ...off, rotate: { p: 1, degrees: 181 } }, /rotate.degrees to be a number from 0 to 180, got 181/],
    [{ ...off, rotate: { p: 1, degrees: -1 } }, /rotate.degrees/],
    [{ ...off, rotate: { p: 1 } } as Augmentation, /rotate.degrees to be a number from 0 to 180, got undefined/],
  ] as [Augmentation, RegExp][]) {
    assert.throws(
      () => augment(plan, batch, 0, options),
      (error: Error) => error instanceof ConfigError && message.test(error.message),
    );
  }
  assert.throws(
    () => centerCrop(plan, batch, { ...imagenetStatistics, size: 32, resize: 31 }),
    /resize to be a whole number of at least size = 32, got 31/,
  );
  batch.free();
});

test.run();
