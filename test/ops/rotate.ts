// Rotated crops and clean views: by what can be said of them without a reference (test/ops/augment.ts compares with that).
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RgbaImage } from '../../src/data/source.js';
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
import { metaDevice } from '../../src/runtime/meta.js';
import { Plan } from '../../src/runtime/plan.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { seed } from '../random.js';
import { type Batch, drawsOf, fresh, integer, randomImage, uploadBatch, values } from './augment_batch.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const asStored = { mean: [0, 0, 0], std: [1, 1, 1] } as const;

interface Turn {
  readonly image: RgbaImage;
  readonly left: number;
  readonly top: number;
  /** Of the window, which is `each` times that of the view. */
  readonly side: number;
  readonly each: number;
  readonly quarters: number;
  readonly flip: boolean;
}

/** What `crop_turned` makes of a window by a draw that is given: red, green and blue of its pixels. */
async function turned({ image, left, top, side, each, quarters, flip }: Turn): Promise<Float32Array> {
  const batch = uploadBatch(device, [image]);
  const size = side / each;
  const draw = new Float32Array(24);
  new Uint32Array(draw.buffer).set([0, 0, left, top, side, side, size, size, 0, 0, flip ? 1 : 0]);
  draw.set([[1, 0, -1, 0][quarters], [0, 1, 0, -1][quarters]], 22);
  const storage = device.buffer('draws', 96);
  device.write(storage, draw);
  const colors = await values(
    device,
    (plan) => {
      const bytes = 16 * size * size;
      const made = { storage: plan.slot('image', bytes), offset: 0, bytes };
      const { pixels, table, batch: places } = batch.bindings;
      const draws = { storage, offset: 0, bytes: 96 };
      plan.dispatch(kernel, 'crop_turned', {
        params: augmentParams(batch, 0, cleanView(size)),
        bindings: { pixels, table, batch: places, draws, new_image: made },
        workgroups: [Math.ceil((size * size) / 64), 1, 1],
        bytes,
      });
      return made;
    },
    fresh(),
    fresh(),
  );
  device.free(storage);
  batch.free();
  return colors.filter((_, i) => i % 4 < 3);
}

/** The same by moving pixels: means of `each` x `each` of them, mirrored, and turned counterclockwise quarter by quarter. */
function moved({ image, left, top, side, each, quarters, flip }: Turn): number[] {
  const size = side / each;
  const mean = (x: number, y: number, k: number) => {
    let sum = 0;
    for (let j = 0; j < each; j++)
      for (let i = 0; i < each; i++)
        sum += image.pixels[4 * ((top + each * y + j) * image.width + left + each * x + i) + k];
    return sum / (255 * each * each);
  };
  return Array.from({ length: 3 * size * size }, (_, at) => {
    const p = Math.floor(at / 3);
    let [x, y] = [p % size, Math.floor(p / size)];
    if (flip) x = size - 1 - x;
    for (let i = 0; i < quarters; i++) [x, y] = [size - 1 - y, x];
    return mean(x, y, at % 3);
  });
}

for (const [width, height, side, each] of [
  [32, 32, 32, 1],
  [37, 53, 21, 1],
  [64, 64, 64, 2],
  [100, 75, 51, 3],
  [1, 1, 1, 1],
] as const)
  test(`by quarter turns, pixels change places: ${side} of ${width} x ${height}, ${each} to one`, async () => {
    const image = randomImage(width, height);
    const [left, top] = [integer(width - side + 1), integer(height - side + 1)];
    for (const quarters of [0, 1, 2, 3])
      for (const flip of [false, true]) {
        const turn = { image, left, top, side, each, quarters, flip };
        close(await turned(turn), moved(turn), `${quarters} quarters, flip ${flip}`, 2e-6, 1);
      }
  });

test('angles are distributed as the options say', async () => {
  const n = 20000;
  for (const [p, degrees] of [
    [0.8, 30],
    [1, 180],
    [0.3, 90],
  ] as const) {
    const draws = await drawsOf(device, n, [50, 40], { ...defaultViews(32)[0], rotate: { p, degrees } }, 1);
    const all = draws.map(({ f }) => ({ cosine: f[22], sine: f[23] }));
    for (const { cosine, sine } of all) assert.ok(Math.abs(cosine ** 2 + sine ** 2 - 1) < 1e-6, `seed ${seed}`);
    const angles = all
      .filter(({ cosine, sine }) => cosine !== 1 || sine !== 0)
      .map(({ cosine, sine }) => (Math.atan2(sine, cosine) * 180) / Math.PI);
    const share = angles.length / n;
    const deviation = Math.sqrt((p * (1 - p)) / n);
    assert.ok(Math.abs(share - p) <= 5 * deviation + 1e-3, `share ${share}, expected ${p}, seed ${seed}`); // few are angles of 0
    const bins = new Array<number>(40).fill(0);
    for (const angle of angles) {
      assert.ok(Math.abs(angle) <= degrees + 1e-4, `${angle} of ${degrees} degrees, seed ${seed}`);
      bins[Math.min(39, Math.floor((20 * (angle + degrees)) / degrees))]++;
    }
    const expected = angles.length / 40;
    const chi2 = bins.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    assert.ok(chi2 < 39 + 8 * Math.sqrt(78), `chi-square ${chi2} of 39 degrees of freedom, seed ${seed}`);
  }
});

const unchanging = { ...cleanView(32), ...asStored };
const view = (batch: Batch, options: Augmentation, step: number, runSeed: number) =>
  values(device, (plan) => augment(plan, batch, 0, options), step, runSeed);

/** The largest difference that an angle of almost 0 makes to a view of `image`, of colors in 0..1. */
async function changed(image: RgbaImage, options: Augmentation): Promise<number> {
  const batch = uploadBatch(device, [image]);
  const [step, runSeed] = [fresh(), fresh()];
  const [without, by0] = [
    await view(batch, options, step, runSeed),
    await view(batch, { ...options, rotate: { p: 1, degrees: 1e-6 } }, step, runSeed),
  ];
  batch.free();
  return without.reduce((most, value, i) => Math.max(most, Math.abs(value - by0[i])), 0);
}

/** Waves as long as the sides: 32 pixels or more of a view of 32, in which color changes by 0.05 a pixel at most. */
function smooth(width: number, height: number): RgbaImage {
  const pixels = new Uint8Array(4 * width * height).map((_, i) => {
    const [x, y] = [(Math.floor(i / 4) % width) / width, Math.floor(i / 4 / width) / height];
    return 127.5 + 63 * Math.sin(2 * Math.PI * (x + (i % 4) / 4)) + 63 * Math.cos(2 * Math.PI * (y + (i % 4) / 4));
  });
  return { width, height, pixels };
}

test('without an angle, a crop is what it is without rotation: of its own size exactly, of smooth images nearly', async () => {
  const same = await changed(randomImage(32, 32), unchanging);
  assert.ok(same < 2e-6, `difference ${same}, seed ${seed}`);
  for (const [width, height] of [
    [64, 64],
    [50, 40],
    [150, 161],
    [35, 33],
  ] as const) {
    const crop = { scale: [0.3, 1], ratio: [3 / 4, 4 / 3] } as const;
    const nearly = await changed(smooth(width, height), { ...unchanging, crop, flip: 0.5 });
    assert.ok(nearly < 0.02, `${width} x ${height}: difference ${nearly}, seed ${seed}`);
  }
});

test('a clean view of a square image is that of evaluation, and never another', async () => {
  const batch = uploadBatch(device, [
    [32, 32],
    [64, 64],
    [1, 1],
    [90, 90],
  ]);
  const clean = await view(batch, cleanView(32), fresh(), fresh());
  const options = { size: 32, ...imagenetStatistics };
  assert.equal(clean, await values(device, (plan) => centerCrop(plan, batch, options), fresh(), fresh()));
  batch.free();
  const others = uploadBatch(device, [
    [100, 101],
    [37, 53],
    [2, 3],
  ]);
  const first = await view(others, cleanView(32), fresh(), fresh());
  for (let i = 0; i < 5; i++) assert.equal(await view(others, cleanView(32), fresh(), fresh()), first, `seed ${seed}`);
  others.free();
});

test('rotation that never happens records nothing else', () => {
  const recorded = (rotate?: Augmentation['rotate']) => {
    const plan = new Plan(metaDevice());
    const none = { storage: plan.slot('none', 4096), offset: 0, bytes: 4096 };
    const batch = { batch: 4, maxSide: 16, bindings: { pixels: none, table: none, batch: none } };
    augment(plan, batch, 0, { ...defaultViews(16)[0], ...(rotate && { rotate }) });
    return plan.dispatches.map(({ label, uniforms }) => [label, ...new Uint8Array(uniforms)]);
  };
  const left = recorded();
  assert.equal(recorded({ p: 0, degrees: 30 }), left);
  assert.equal(recorded({ p: 0.5, degrees: 0 }), left);
  const labels = recorded({ p: 0.5, degrees: 30 }).map(([label]) => label);
  assert.ok(labels.includes('augment.crop_turned') && !labels.includes('augment.crop_rows'), String(labels));
});

test.run();
