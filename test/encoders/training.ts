// Steps of SACL + XD with every encoder: what may be kept in less memory gives what it gives otherwise.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, type EncoderName, encoderNames } from '../../src/config/encoders.js';
import { parseConfig } from '../../src/config/settings.js';
import type { Tensors } from '../../src/core/state.js';
import { Tape } from '../../src/core/tape.js';
import { planarSource } from '../../src/data/derived.js';
import type { Encoder } from '../../src/encoders/encoder.js';
import { DeviceError } from '../../src/errors.js';
import { backboneParameters } from '../../src/inference/torchvision.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { statsOf } from '../../src/runtime/stats.js';
import { fromHalf, toHalf } from '../../src/tensor/float16.js';
import { numel, type Precision, tensor } from '../../src/tensor/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { openTrainer } from '../made_up.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';
import { trained } from '../train/trained.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const batch = 16;

/** Narrow, of odd maps; no random transformation, so that steps can be compared. */
const settings = (encoder: EncoderName, changed: object) =>
  parseConfig({
    ...{
      data: 'made up',
      encoder,
      imageSize: 33,
      stemStride: encoder === 'resnet20' ? 1 : 2,
      projector: 32,
      batch,
      seed,
    },
    ...{ width: encoder === 'resnet20' ? 0.5 : 0.125, ratio: 1.5, lambda: 0.02, steps: 2, warmup: 0 },
    ...{ optimizer: 'sgd', lr: 0.01, cropMin: 1, flip: 0, jitter: 0, gray: 0, solarizeB: 0 },
    ...changed,
  });

const source = () => {
  const random = generator();
  const planes = Array.from({ length: batch }, () => Uint8Array.from({ length: 3 * 33 ** 2 }, () => 256 * random()));
  return planarSource({ name: 'noise', width: 33, height: 33 }, 3, planes);
};

/**
 * Features and gradients by running statistics, which rounding does not move as it moves those of a small batch. They are
 * those of images: by the first ones, 0 and 1, activations would fade from layer to layer into numbers too small for f16.
 */
async function pass(network: Encoder, state: Tensors, precision: Precision) {
  const parameters = backboneParameters(device, network, state, 'made up');
  const random = generator(seed + 1);
  const shape = [4, 3, 33, 33];
  const halves = toHalf(randoms(random, numel(shape), 0.1, 1.5));
  const values = precision === 'f16' ? halves : fromHalf(halves);
  const bytes = new Uint8Array(Math.ceil(values.byteLength / 16) * 16);
  bytes.set(new Uint8Array(values.buffer));
  const buffer = device.buffer('image', bytes.length);
  device.write(buffer, bytes);
  using plan = new Plan(device);
  const tape = new Tape(plan);
  const image = tensor(buffer, 'image', shape, 0, precision);
  const y = network.forward({ tape, parameters, width: 'host', training: false, updateStats: false }, image);
  const dy = upload(device, 'dy', y.shape, randoms(random, numel(y.shape), 0.1, 1));
  tape.backward(y, dy);
  plan.retain(y);
  await plan.compile();
  plan.poison();
  device.write(parameters.grads, new Float32Array(parameters.size));
  plan.run();
  const features = await plan.read(y);
  const grads = new Float32Array(await device.read(parameters.grads));
  parameters.dispose();
  device.release([buffer, dy]);
  return { features, grads, peakBytes: statsOf(plan).peakBytes };
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (u: Float32Array, v: Float32Array) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

const open = (encoder: EncoderName, changed: object) => openTrainer(device, settings(encoder, changed), source());

function assertEqual(a: Tensors, b: Tensors): void {
  assert.equal([...a.keys()], [...b.keys()]);
  for (const [name, { data }] of a)
    assert.equal(
      new Uint32Array(data.buffer),
      new Uint32Array((b.get(name) as { data: Float32Array }).data.buffer),
      name,
    );
}

// ResNet-101 is ResNet-50 with more of the same blocks
for (const encoder of encoderNames.filter((name) => name !== 'resnet101')) {
  test(`${encoder}: made again or kept, the same bits and less memory`, async () => {
    const [kept, remade] = [await open(encoder, {}), await open(encoder, { recompute: true })];
    for (let step = 0; step < 2; step++) {
      const log = await kept.train();
      assert.ok(Number.isFinite(log.loss), `loss ${log.loss} (seed ${seed})`);
      assert.equal(await remade.train(), log, `step ${step} (seed ${seed})`);
    }
    assertEqual(await remade.save(), await kept.save());
    const [most, least] = [kept, remade].map(({ plan }) => statsOf(plan).peakBytes);
    assert.ok(least < most, `${least} bytes live at once, ${most} where all is kept`);
    remade.dispose();
    kept.dispose();
  });

  test(`${encoder}: activations in f16 are those of f32 but for rounding, and so are gradients`, async () => {
    if (!device.features.has('shader-f16')) {
      await rejects(() => open(encoder, { precision: 'f16' }), DeviceError, /has no shader-f16; use precision f32/);
      return;
    }
    const network = backbone({ ...settings(encoder, {}), ratio: 1 });
    const state = await trained(device, generator(), network, 33);
    const [full, half] = [await pass(network, state, 'f32'), await pass(network, state, 'f16')];
    close(half.features, full.features, 'features', 1e-2);
    // f16 rounds to one in 2,000, so of a thousand elements about one has its ReLU flip, layer by layer for up to 50 layers
    assert.ok(cosine(half.grads, full.grads) > 0.99, `gradients' cosine ${cosine(half.grads, full.grads)}`);
    assert.ok(half.peakBytes < 0.75 * full.peakBytes, `${half.peakBytes} bytes live at once, ${full.peakBytes} in f32`);
  });
}

test.run();
