import { parseConfig } from '../../src/config/settings.js';
import { Tape } from '../../src/core/tape.js';
import { ImageEncoder } from '../../src/inference/image_encoder.js';
import { globalAveragePool } from '../../src/ops/pool.js';
import { type Device, openDevice } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { tune } from '../../src/runtime/tuner.js';
import { browserTuningCache } from '../../src/runtime/tuning_cache.js';
import { runCase, worst } from '../conform/cases.js';
import { initialState } from '../made_up.js';
import { ofRun } from '../of_run.js';
import { generator, randoms } from '../random.js';
import { resizedHash } from './resized.js';
import type { Result } from './serve.js';

type Measured = Pick<Result, 'error' | 'tolerance'>;

/** A shader of the page's own, without the library: an integer hash, checked on the CPU. */
async function adapterComputes(device: Device): Promise<Measured> {
  const code = `
    @group(0) @binding(0) var<storage, read_write> x: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      var h = x[id.x] ^ (id.x * 0x9e3779b9u);
      h = (h ^ (h >> 16u)) * 0x7feb352du;
      x[id.x] = h ^ (h >> 15u);
    }`;
  const gpu = device.gpu;
  const start = crypto.getRandomValues(new Uint32Array(1024));
  const buffer = device.buffer('hash', start.byteLength);
  device.write(buffer, start);
  const module = gpu.createShaderModule({ code });
  const pipeline = await gpu.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const group = gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  });
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(start.length / 64);
  pass.end();
  gpu.queue.submit([encoder.finish()]);
  const got = new Uint32Array(await device.read(buffer));
  const wrong = start.filter((value, i) => {
    let h = value ^ Math.imul(i, 0x9e3779b9);
    h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
    return got[i] !== (h ^ (h >>> 15)) >>> 0;
  });
  device.free(buffer);
  return { error: wrong.length, tolerance: 0 };
}

/** The library's own way: a tape, a plan, one kernel, replayed. f32 addition has one right answer. */
async function planReplays(device: Device): Promise<Measured> {
  const n = 10_007;
  const random = generator(crypto.getRandomValues(new Uint32Array(1))[0]);
  const [a, b] = [randoms(random, n, 0.5, 2), randoms(random, n, -1, 3)];
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const [left, right] = [device.tensor([n], 0), device.tensor([n], 0)];
  const y = tape.accumulate(left, right);
  plan.retain(y);
  await plan.compile();
  let wrong = 0;
  for (const sign of [1, -1]) {
    left.write(a);
    right.write(b.map((value) => sign * value));
    plan.poison();
    plan.run();
    const got = await plan.read(y);
    wrong += a.filter((value, i) => got[i] !== Math.fround(value + sign * b[i])).length;
  }
  plan.dispose();
  for (const each of [left, right]) device.free(each);
  return { error: wrong, tolerance: 0 };
}

/** What a tuned plan won is in the browser's database for the next. */
async function tuningIsRemembered(device: Device): Promise<Measured> {
  const cache = browserTuningCache('slimgrad test');
  let trials = 0;
  for (const isKnown of [false, true]) {
    const plan = new Plan(device);
    const x = new Tape(plan).empty('x', [1, 8, 4, 4]);
    globalAveragePool(new Tape(plan), x);
    await tune(plan, {
      cache,
      onTuned: (tuned) => {
        trials += isKnown ? 10 * tuned.trials.length : tuned.trials.length;
      },
    });
    plan.dispose();
  }
  return { error: Math.abs(trials - 2), tolerance: 0 };
}

/** What a canvas gives, not all of it opaque, is embedded as the same pixels laid on mid-gray are. */
async function imageDataIsEmbedded(device: Device): Promise<Measured> {
  const canvas = new OffscreenCanvas(20, 12);
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
  for (let x = 0; x < 20; x++) {
    context.fillStyle = `rgba(${12 * x}, 90, ${250 - 9 * x}, ${x / 19})`;
    context.fillRect(x, 0, 1, 12);
  }
  const image = context.getImageData(0, 0, 20, 12);
  const pixels = image.data.map((value, i) => {
    const alpha = image.data[i | 3];
    return i % 4 === 3 ? 255 : Math.floor((value * alpha + 128 * (255 - alpha)) / 255);
  });
  const values = { data: 'made up', imageSize: 16, width: 0.125, stemStride: 2, blocks: '64/1 128/2', projector: 8 };
  const config = parseConfig(values);
  const encoder = new ImageEncoder(device, ofRun(config, await initialState(device, config, 'slim')));
  const [given, expected] = [await encoder.embed([image]), await encoder.embed([{ width: 20, height: 12, pixels }])];
  encoder.dispose();
  const wrong = given.filter((value, i) => value !== expected[i]).length;
  return { error: given.some((value) => value !== 0) ? wrong : Number.POSITIVE_INFINITY, tolerance: 0 };
}

/** Node tells what it found. */
async function resizingIsAsInNode(): Promise<Measured> {
  const found = Number(new URLSearchParams(location.search).get('resized'));
  return { error: Number(resizedHash() !== found), tolerance: 0 };
}

/** A case of test/fixtures: an operator, or a trajectory of training steps. */
async function fixture(device: Device, name: string): Promise<Measured> {
  const open = async (file: string) => {
    const response = await fetch(`/fixtures/${file}`);
    if (!response.ok) throw new Error(`${file}: HTTP ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };
  return worst(await runCase(device, name, await open(name), open));
}

interface Check {
  readonly name: string;
  readonly run: (device: Device) => Promise<Measured>;
  /** Opens the device that the check gets for itself: what one breaks, the next does not inherit. */
  readonly open: () => Promise<Device>;
}

/** A device with WebGPU's default limits and no optional feature: the least that any browser gives. */
async function openPlain(): Promise<Device> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter?.requestDevice();
  return openDevice({ device });
}

const wanted = new URLSearchParams(location.search);
const ofFixture = (name: string) => (device: Device) => fixture(device, name);

/** What the page runs. Fixtures come from the address: ?fixture=a&fixture=b&plain=b. */
const checks: readonly Check[] = [
  { name: 'the adapter computes', run: adapterComputes, open: openDevice },
  { name: 'a plan replays', run: planReplays, open: openDevice },
  { name: 'tuning is remembered', run: tuningIsRemembered, open: openDevice },
  { name: 'ImageData is embedded', run: imageDataIsEmbedded, open: openDevice },
  { name: 'resizing is as in Node', run: resizingIsAsInNode, open: openDevice },
  ...wanted.getAll('fixture').map((name) => ({ name, run: ofFixture(name), open: openDevice })),
  ...wanted.getAll('plain').map((name) => ({ name: `${name}, plain device`, run: ofFixture(name), open: openPlain })),
];

async function post(path: string, value?: Result): Promise<void> {
  // JSON has no infinity, which is what a comparison with NaN gives.
  const body = JSON.stringify(value, (_, part) =>
    typeof part === 'number' && !Number.isFinite(part) ? 'Infinity' : part,
  );
  await fetch(path, { method: 'POST', body });
}

async function main(): Promise<void> {
  for (const { name, run, open } of checks) {
    const started = performance.now();
    const nothing = { name, error: Number.POSITIVE_INFINITY, tolerance: 0 };
    let result: Result;
    const device = await open();
    try {
      result = { ...nothing, ...(await run(device)), ms: performance.now() - started };
    } catch (error) {
      result = { ...nothing, failure: String(error), ms: performance.now() - started };
    } finally {
      device.dispose();
      device.gpu.destroy();
    }
    await post('/result', { ...result, name });
  }
  await post('/done');
}

main().catch(async (error) => {
  await post('/result', {
    name: 'the page',
    error: Number.POSITIVE_INFINITY,
    tolerance: 0,
    failure: String(error),
    ms: 0,
  });
  await post('/done');
});
