import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, type EncoderName } from '../../src/config/encoders.js';
import type { Tensors } from '../../src/core/state.js';
import { DataError } from '../../src/errors.js';
import { f32, type SavedTensor } from '../../src/formats/safetensors.js';
import { findState, shapesOf } from '../../src/inference/state_dict.js';
import { timmNaming } from '../../src/inference/timm.js';
import { namingsOf } from '../../src/inference/torchvision.js';
import { numel } from '../../src/tensor/tensor.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

const random = generator();
const spec = { width: 1, ratio: 1, stemStride: 2, blocks: null } as const;

/** A state of the encoder, all positive, and the same under timm's names, in a wrapper, with the head that timm has. */
function both(encoder: EncoderName): { state: Tensors; saved: Map<string, SavedTensor> } {
  const shapes = shapesOf(backbone({ encoder, ...spec }));
  const state: Tensors = new Map(
    [...shapes].map(([name, shape]) => [name, { shape: [...shape], data: randoms(random, numel(shape), 0.5, 0.4) }]),
  );
  const rename = timmNaming(encoder)!.rename;
  const saved = new Map<string, SavedTensor>(
    [...state].map(([name, { shape, data }]) => [`module.${rename(name)}`, f32(shape, data)]),
  );
  assert.is(saved.size, state.size, 'no two tensors have one name');
  saved.set('module.classifier.weight', f32([1], Float32Array.of(1)));
  saved.set('module.bn1.num_batches_tracked', { dtype: 'I64', shape: [], data: BigInt64Array.of(1n) });
  return { state, saved };
}

const find = (encoder: EncoderName, saved: ReadonlyMap<string, SavedTensor>) =>
  findState(backbone({ encoder, ...spec }), saved, { what: encoder, namings: namingsOf(encoder) }, 'f');

test("names are timm's, and have its shapes", () => {
  const shapes: Partial<Record<EncoderName, [string, number[]][]>> = {
    efficientnet_b0: [
      ['conv_stem.weight', [32, 3, 3, 3]],
      ['bn1.running_var', [32]],
      ['blocks.0.0.conv_dw.weight', [32, 1, 3, 3]],
      ['blocks.0.0.se.conv_reduce.weight', [8, 32, 1, 1]],
      ['blocks.0.0.se.conv_expand.bias', [32]],
      ['blocks.0.0.conv_pw.weight', [16, 32, 1, 1]],
      ['blocks.0.0.bn2.weight', [16]],
      ['blocks.1.0.conv_pw.weight', [96, 16, 1, 1]],
      ['blocks.1.0.conv_dw.weight', [96, 1, 3, 3]],
      ['blocks.1.0.se.conv_reduce.weight', [4, 96, 1, 1]],
      ['blocks.1.0.conv_pwl.weight', [24, 96, 1, 1]],
      ['blocks.1.0.bn3.bias', [24]],
      ['blocks.5.3.conv_dw.weight', [1152, 1, 5, 5]],
      ['blocks.6.0.conv_pwl.weight', [320, 1152, 1, 1]],
      ['conv_head.weight', [1280, 320, 1, 1]],
      ['bn2.running_mean', [1280]],
    ],
    mobilenet_v3_large: [
      ['conv_stem.weight', [16, 3, 3, 3]],
      ['blocks.0.0.conv_dw.weight', [16, 1, 3, 3]],
      ['blocks.0.0.bn2.weight', [16]],
      ['blocks.1.1.conv_pw.weight', [72, 24, 1, 1]],
      ['blocks.2.0.conv_dw.weight', [72, 1, 5, 5]],
      ['blocks.2.0.se.conv_reduce.weight', [24, 72, 1, 1]],
      ['blocks.2.0.se.conv_expand.weight', [72, 24, 1, 1]],
      ['blocks.3.1.bn2.running_mean', [200]],
      ['blocks.4.1.conv_pwl.weight', [112, 672, 1, 1]],
      ['blocks.5.2.se.conv_reduce.bias', [240]],
      ['blocks.6.0.conv.weight', [960, 160, 1, 1]],
      ['blocks.6.0.bn1.weight', [960]],
    ],
    mobilenet_v1: [
      ['blocks.0.0.conv_pw.weight', [64, 32, 1, 1]],
      ['blocks.3.5.conv_dw.weight', [512, 1, 3, 3]],
      ['blocks.4.1.bn2.weight', [1024]],
    ],
  };
  for (const [encoder, expected] of Object.entries(shapes)) {
    const { saved } = both(encoder as EncoderName);
    for (const [name, shape] of expected) assert.equal(saved.get(`module.${name}`)?.shape, shape, `${encoder} ${name}`);
  }
});

test('EfficientNet-B0 is taken as it is', () => {
  const { state, saved } = both('efficientnet_b0');
  assert.equal(find('efficientnet_b0', saved), state);
});

test("MobileNet-V3's batchnorms give by our epsilon what they give by timm's", () => {
  const { state, saved } = both('mobilenet_v3_large');
  const small = saved.get('module.bn1.running_var')!.data as Float32Array;
  small.set([0, 1e-7, 1e-4]);
  saved.set('module.conv_head.weight', f32([1], Float32Array.of(1)));
  const found = find('mobilenet_v3_large', saved);
  assert.is(found.size, state.size);
  let norms = 0;
  for (const [name, { data }] of found) {
    const variance = state.get(name.replace(/weight$/, 'running_var'));
    const given = state.get(name)!.data;
    if (!name.endsWith('.weight') || !variance) {
      assert.equal(data, given, name);
      continue;
    }
    norms++;
    data.forEach((weight, c) => {
      const [ours, theirs] = [
        weight / Math.sqrt(variance.data[c] + 1e-3),
        given[c] / Math.sqrt(variance.data[c] + 1e-5),
      ];
      assert.ok(Math.abs(ours / theirs - 1) < 1e-7, `${name} ${c}: ${ours}, expected ${theirs}`);
    });
  }
  assert.is(norms, 46);
});

test('MobileNet-V1, a network whose squeeze-excite differs, and deeper ones are refused', async () => {
  await rejects(
    () => find('mobilenet_v1', both('mobilenet_v1').saved),
    DataError,
    /^f: expected mobilenet_v1 of .*ReLU6/,
  );
  const { saved } = both('mobilenet_v3_large');
  const reduce = 'module.blocks.2.0.se.conv_reduce.bias';
  saved.set(reduce, f32([18], new Float32Array(18)));
  await rejects(
    () => find('mobilenet_v3_large', saved),
    DataError,
    /1 of other shapes: .*reduce\.bias is \(18\), expected \(24\)/,
  );
  const { saved: deeper } = both('efficientnet_b0');
  deeper.set('module.blocks.1.2.conv_pw.weight', f32([1], new Float32Array(1)));
  await rejects(
    () => find('efficientnet_b0', deeper),
    DataError,
    /1 more than it has: module\.blocks\.1\.2\.conv_pw\.weight/,
  );
});

test.run();
