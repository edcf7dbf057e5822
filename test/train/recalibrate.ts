import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters, type Width } from '../../src/core/parameters.js';
import type { Tensors } from '../../src/core/state.js';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { DataError } from '../../src/errors.js';
import { convBatchNorm, convLayer } from '../../src/nn/blocks.js';
import { sequential } from '../../src/nn/module.js';
import { imagenetStatistics } from '../../src/ops/augment.js';
import type { Device } from '../../src/runtime/device.js';
import { recalibrate } from '../../src/train/recalibrate.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const side = 6;
const random = generator();

/** Images whose colors drift from one to the next, so that batches differ. */
function images(length: number): ImageSource & { readonly all: readonly RgbaImage[] } {
  const all = Array.from({ length }, (_, i) => ({
    width: side,
    height: side,
    pixels: Uint8Array.from({ length: side * side * 4 }, (_, p) => (p % 4 === 3 ? 255 : 10 * i + 100 * random())),
  }));
  return { name: 'made up', length, images: 1, all, load: async (item) => all[item] };
}

const inner = { host: 7, slim: 5 };
const outer = { host: 9, slim: 4 };
const module = sequential(
  convBatchNorm(convLayer('a', { host: 3, slim: 3 }, inner, { kernelSize: 3 }), 'bn1', inner),
  convBatchNorm(convLayer('b', inner, outer), 'bn2', outer, { momentum: 0.01, eps: 1e-3 }),
);

/** Running statistics in f64: of each whole batch by itself, then the mean over batches. */
function reference(weights: Map<string, ArrayLike<number>>, width: Width, all: readonly RgbaImage[], batch: number) {
  const [I, O] = [inner[width], outer[width]];
  const P = side * side;
  const sums: Record<string, Float64Array> = {};
  const batches = Math.floor(all.length / batch);
  const track = (name: string, maps: Float64Array[], eps: number): Float64Array[] => {
    const C = maps[0].length / P;
    const M = maps.length * P;
    const [mean, variance] = [new Float64Array(C), new Float64Array(C)];
    const each = (visit: (map: Float64Array, at: number, c: number) => void) => {
      for (const map of maps) for (let at = 0; at < map.length; at++) visit(map, at, Math.floor(at / P));
    };
    each((map, at, c) => {
      mean[c] += map[at] / M;
    });
    each((map, at, c) => {
      variance[c] += (map[at] - mean[c]) ** 2 / M;
    });
    for (const [key, values] of [
      ['running_mean', mean],
      ['running_var', variance.map((v) => (v * M) / (M - 1))],
    ] as const) {
      sums[`${name}.${key}`] ??= new Float64Array(C);
      for (let c = 0; c < C; c++) sums[`${name}.${key}`][c] += values[c] / batches;
    }
    const [gamma, beta] = ['weight', 'bias'].map((key) => weights.get(`${name}.${key}`) as ArrayLike<number>);
    return maps.map((map) =>
      map.map((v, at) => {
        const c = Math.floor(at / P);
        return Math.max(0, (gamma[c] * (v - mean[c])) / Math.sqrt(variance[c] + eps) + beta[c]);
      }),
    );
  };
  for (let b = 0; b < batches; b++) {
    const views = all.slice(b * batch, (b + 1) * batch).map(({ pixels }) =>
      Float64Array.from({ length: 3 * P }, (_, at) => {
        const c = Math.floor(at / P);
        return (pixels[(at % P) * 4 + c] / 255 - imagenetStatistics.mean[c]) / imagenetStatistics.std[c];
      }),
    );
    const a = weights.get('a.weight') as ArrayLike<number>;
    const first = views.map((x) => {
      const y = new Float64Array(I * P);
      for (let o = 0; o < I; o++)
        for (let p = 0; p < P; p++)
          for (let i = 0; i < 3; i++)
            for (let tap = 0; tap < 9; tap++) {
              const [h, w] = [Math.floor(p / side) + Math.floor(tap / 3) - 1, (p % side) + (tap % 3) - 1];
              if (h < 0 || w < 0 || h >= side || w >= side) continue;
              y[o * P + p] += a[(o * 3 + i) * 9 + tap] * x[i * P + h * side + w];
            }
      return y;
    });
    const hidden = track('bn1', first, 1e-5);
    const second = weights.get('b.weight') as ArrayLike<number>;
    const maps = hidden.map((x) => {
      const y = new Float64Array(O * P);
      for (let o = 0; o < O; o++)
        for (let i = 0; i < I; i++) for (let p = 0; p < P; p++) y[o * P + p] += second[o * I + i] * x[i * P + p];
      return y;
    });
    track('bn2', maps, 1e-3);
  }
  return sums;
}

for (const width of ['host', 'slim'] as const)
  test(`statistics of the ${width} become the means of what whole batches give; no other is touched`, async () => {
    const parameters = new Parameters(device, module.parameters, module.statistics);
    parameters.initialize(generator());
    for (const { name, channels } of module.statistics)
      for (const of of ['host', 'slim']) parameters.write(`${of}.${name}`, new Float32Array(channels.host).fill(-7));
    const before = await parameters.read();
    const source = images(11);
    await recalibrate(device, { module, parameters, width }, source, side, { batch: 4 });
    const after = await parameters.read();
    const own = await parameters.state(module, width);
    const weights = new Map([...own].map(([name, { data }]) => [name, data]));
    const expected = reference(weights, width, source.all, 4);
    for (const { name, channels } of module.statistics) {
      const { data } = after.get(`${width}.${name}`) as { data: Float32Array };
      close(data.subarray(0, channels[width]), expected[name], name, 1e-4);
      assert.ok(
        data.subarray(channels[width]).every((value) => value === -7),
        `${name} beyond its channels`,
      );
      assert.equal(own.get(name)?.data, data.slice(0, channels[width]));
    }
    for (const [name, { data }] of before)
      if (!name.startsWith(`${width}.`)) assert.equal(after.get(name)?.data, data, `${name} is not the ${width}'s`);
    parameters.dispose();
  });

test('NaN leaves no trace; what fails changes nothing; one image is too few', async () => {
  const held = device.allocated;
  const parameters = new Parameters(device, module.parameters, module.statistics);
  parameters.initialize(generator());
  const part = { module, parameters, width: 'slim' } as const;
  for (const { name, channels } of module.statistics)
    parameters.write(`slim.${name}`, new Float32Array(channels.host).fill(Number.NaN));
  await recalibrate(device, part, images(5), side);
  const state = await parameters.state(module, 'slim');
  for (const [name, { data }] of state) assert.ok(data.every(Number.isFinite), `${name} (seed ${seed})`);
  const before = await parameters.read();
  const good = images(8);
  const load: ImageSource['load'] = async (item) => {
    if (item === 6) throw new DataError('gone');
    return good.all[item];
  };
  await rejects(() => recalibrate(device, part, { ...good, load }, side, { batch: 4 }), DataError, /gone/);
  await rejects(() => recalibrate(device, part, images(1), side), DataError, /has 1 images; .* two at least/);
  const bits = (tensors: Tensors) =>
    [...tensors].map(([name, { data }]) => [name, new Uint32Array(data.slice().buffer)]);
  assert.equal(bits(await parameters.read()), bits(before));
  parameters.dispose();
  assert.is(device.allocated, held);
});

test.run();
