// Parameters and multiply-adds of every encoder against those of the published networks.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, type EncoderName, type EncoderSpec, encoderNames } from '../../src/config/encoders.js';
import { Parameters, type Width } from '../../src/core/parameters.js';
import { Tape } from '../../src/core/tape.js';
import { ConfigError } from '../../src/errors.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, transient } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** Multiply-adds of a forward pass over one image, by the recorded dispatches: of convolutions, and of excitations' layers. */
function macsOf(spec: EncoderSpec, side: number, width: Width): number {
  const encoder = backbone(spec);
  const parameters = new Parameters(device, encoder.parameters, encoder.statistics);
  const plan = new Plan(device);
  const tape = new Tape(plan, { noGrad: true });
  const image = transient(plan, 'image', [1, 3, side, side]);
  encoder.forward({ tape, parameters, width, training: false, updateStats: false }, image);
  parameters.dispose();
  const counted = plan.dispatches.filter(({ label }) => /^(pointwise|conv2d|depthwise|matmul)/.test(label));
  return counted.reduce((sum, { macs }) => sum + macs, 0);
}

const spec = (encoder: EncoderName, ratio: number): EncoderSpec => ({
  encoder,
  width: 1,
  ratio,
  stemStride: encoder === 'resnet20' ? 1 : 2,
  blocks: null,
});

const millions = (n: number, digits: number) => (n / 1e6).toFixed(digits);

/** Ratio, then millions of parameters and of multiply-adds of the host's backbone, at 224 px (ResNet-20: 32 px). */
const published: Record<EncoderName, readonly (readonly [number, string, string])[]> = {
  mobilenet_v1: [
    [1, '3.207', '567.7'],
    [1.5, '7.165', '1256.2'],
    [2, '12.693', '2214.4'],
  ],
  mobilenet_v3_large: [
    [1, '2.972', '214.1'],
    [1.5, '6.629', '476.3'],
    [2, '11.642', '808.7'],
  ],
  efficientnet_b0: [
    [1, '4.008', '384.5'],
    [1.5, '8.869', '861.3'],
    [2, '15.562', '1447.4'],
  ],
  resnet18: [[1, '11.177', '1813.6']],
  resnet50: [[1, '23.508', '4087.1']],
  resnet101: [[1, '42.500', '7799.4']],
  resnet20: [
    [1, '0.272', '40.8'],
    [2, '1.083', '162.4'],
    [4, '4.325', '647.7'],
    [6, '9.726', '1456.0'],
  ],
};

for (const encoder of encoderNames) {
  const side = encoder === 'resnet20' ? 32 : 224;
  const [[, slimCount, slimMacs]] = published[encoder];
  for (const [ratio, count, macs] of published[encoder])
    test(`${encoder} ${ratio}x: ${count} M parameters and ${macs} M multiply-adds; its slim encoder is the 1x network`, () => {
      const { parameters, features } = backbone(spec(encoder, ratio));
      const total = (width: 'shape' | 'slim') => parameters.reduce((sum, of) => sum + numel(of[width]), 0);
      assert.is(millions(total('shape'), 3), count);
      assert.is(millions(total('slim'), 3), slimCount);
      assert.is(features.slim, backbone(spec(encoder, 1)).features.host);
      assert.is(millions(macsOf(spec(encoder, ratio), side, 'host'), 1), macs);
      if (ratio > 1) assert.is(millions(macsOf(spec(encoder, ratio), side, 'slim'), 1), slimMacs);
    });
}

test('with the classifiers of the published networks, the published counts', () => {
  const linear = (inputs: number, outputs: number) => inputs * outputs + outputs;
  for (const [encoder, ratio, count, classifier] of [
    ['mobilenet_v1', 1, '4.232', linear(1024, 1000)],
    ['mobilenet_v1', 1.5, '8.702', linear(1536, 1000)],
    ['mobilenet_v1', 2, '14.742', linear(2048, 1000)],
    ['mobilenet_v3_large', 1, '5.483', linear(960, 1280) + linear(1280, 1000)],
    ['mobilenet_v3_large', 1.5, '11.317', linear(1440, 1920) + linear(1920, 1000)],
    ['mobilenet_v3_large', 2, '19.121', linear(1920, 2560) + linear(2560, 1000)],
    ['efficientnet_b0', 1, '5.289', linear(1280, 1000)],
    ['efficientnet_b0', 1.5, '10.790', linear(1920, 1000)],
    ['efficientnet_b0', 2, '18.123', linear(2560, 1000)],
    ['resnet18', 1, '11.690', linear(512, 1000)],
    ['resnet50', 1, '25.557', linear(2048, 1000)],
    ['resnet101', 1, '44.549', linear(2048, 1000)],
    ['resnet20', 1, '0.272', linear(64, 10)],
    ['resnet20', 2, '1.085', linear(128, 10)],
    ['resnet20', 4, '4.328', linear(256, 10)],
    ['resnet20', 6, '9.730', linear(384, 10)],
  ] as const) {
    const { parameters } = backbone(spec(encoder, ratio));
    const total = parameters.reduce((sum, { shape }) => sum + numel(shape), classifier);
    assert.is(millions(total, 3), count, `${encoder} ${ratio}x`);
  }
});

test('at any width and ratio the slim encoder is a slice: no side of it is wider than the host', () => {
  for (const encoder of encoderNames)
    for (const width of [0.05, 0.1, 0.25, 0.35, 0.5, 0.75, 1, 1.4])
      for (const ratio of [1, 1.01, 1.25, 1.5, 2, 3.3, 6])
        for (const { name, shape, slim } of backbone({ ...spec(encoder, ratio), width }).parameters)
          assert.ok(
            slim.every((side, i) => side >= 1 && side <= shape[i]),
            `${encoder}, width ${width}, ratio ${ratio}: ${name} has ${slim} of ${shape}`,
          );
});

test('options out of range are refused by name', () => {
  for (const [changed, message] of [
    [{ ratio: 0.5 }, /expected ratio of at least 1, .*, got 0.5/],
    [{ ratio: Number.NaN }, /expected ratio .*, got NaN/],
    [{ width: -1 }, /expected width above 0, got -1/],
    [{ width: Number.POSITIVE_INFINITY }, /expected width/],
    [{ stemStride: 3 }, /expected stemStride 1 or 2, got 3/],
    [{ encoder: 'resnet19' as EncoderName }, /expected one of mobilenet_v1, .*, got "resnet19"/],
    [{ encoder: 'toString' as EncoderName }, /expected one of mobilenet_v1, .*, got "toString"/],
  ] as const)
    for (const encoder of encoderNames)
      assert.throws(
        () => backbone({ ...spec(encoder, 1.5), ...changed }),
        (error: unknown) => error instanceof ConfigError && message.test(error.message),
      );
});

test('images smaller than the stride are refused by their size', () => {
  for (const encoder of encoderNames) {
    const { parameters, statistics, stride, forward } = backbone({ ...spec(encoder, 1), width: 0.25 });
    const plan = new Plan(device);
    const held = new Parameters(device, parameters, statistics);
    const pass = {
      tape: new Tape(plan),
      parameters: held,
      width: 'host',
      training: false,
      updateStats: false,
    } as const;
    for (const shape of [
      [1, 3, stride - 1, stride],
      [1, 3, stride, stride - 1],
      [1, 1, stride, stride],
      [3, stride, stride],
    ])
      assert.throws(
        () => forward(pass, transient(plan, 'image', shape)),
        new RegExp(`encoder: expected images \\(N, 3, H, W\\) of at least ${stride} pixels a side, got`),
      );
    assert.equal(forward(pass, transient(plan, 'image', [1, 3, stride, stride])).shape[0], 1);
    held.dispose();
  }
});

test.run();
