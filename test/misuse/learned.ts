// What learns by settings, and what reads, opens and writes files by options.

import { encoderNames } from '../../src/config/encoders.js';
import { record } from '../../src/core/record.js';
import { Tape } from '../../src/core/tape.js';
import { kernel } from '../../src/custom_kernel/kernel.js';
import { widthMultiplier } from '../../src/encoders/encoder.js';
import { mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { exportOnnx } from '../../src/export/onnx.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { readEncoder, writeEncoder } from '../../src/inference/encoder_file.js';
import { openClassifier, readClassifier } from '../../src/inference/image_classifier.js';
import { openEncoder, openTorchvision } from '../../src/inference/image_encoder.js';
import { shapesOf } from '../../src/inference/state_dict.js';
import { barlowTwins } from '../../src/methods/barlow_twins.js';
import { byol } from '../../src/methods/byol.js';
import { infoNce } from '../../src/methods/contrast.js';
import { minimizeCrossCorrelation } from '../../src/methods/cross_correlation.js';
import { disco } from '../../src/methods/disco.js';
import { mocoV2 } from '../../src/methods/moco_v2.js';
import { embedder, Network } from '../../src/methods/network.js';
import { oss } from '../../src/methods/oss.js';
import { rekd } from '../../src/methods/rekd.js';
import { sacl } from '../../src/methods/sacl.js';
import { saclXd } from '../../src/methods/sacl_xd.js';
import { seed } from '../../src/methods/seed.js';
import { sslSmall } from '../../src/methods/ssl_small.js';
import { xd } from '../../src/methods/xd.js';
import { loadClassifier, loadEncoder, loadTorchvision } from '../../src/node/run/load_encoder.js';
import { metaDevice } from '../../src/runtime/meta.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, transient } from '../../src/tensor/tensor.js';
import { above, below, callback, type Door, flag, given, never, number, object, oneOf, text, whole } from './door.js';

const sizes = { width: 0.125, stemStride: 1, blocks: [[64, 2]] } as const;
export const tiny = mobilenetV1(sizes);
export const host = mobilenetV1({ ...sizes, ratio: 1.5 });
export const state = new Map(
  Array.from(shapesOf(tiny), ([name, shape]) => [name, { shape, data: new Float32Array(numel(shape)).fill(0.5) }]),
);
export const file = { encoder: tiny, state, imageSize: 8, step: 1, metadata: {} };
const bytes = writeEncoder(file);

/** Its range is looked at once the file is read. */
const anyNumber = (value: unknown) => typeof value === 'number';
const units = { projector: whole(2, 65536), embedding: whole(2, 65536) };
const contrast = { ...units, temperature: above(0), queue: whole(1, 2 ** 20), ema: below(1) };
const learning = { ...units, temperature: above(0), queue: whole(1, 2 ** 20), teacher: never };
const loss = { lambda: number(0), scale: above(0) };
const slicing = { bn: oneOf('split', 'shared', 'private'), slice: oneOf('prefix', 'l1') };
const correlation = { ...loss, projector: whole(2, 65536) };
const torchvision = {
  encoder: oneOf(...encoderNames),
  imageSize: whole(32, 1024),
  resize: whole(224, 4096),
  interpolation: oneOf('bicubic', 'bilinear'),
  width: above(0),
  stemStride: whole(1, 2),
  prefix: text,
};

export const learned: Readonly<Record<string, Door>> = {
  saclXd: {
    where: /^saclXd: /,
    options: { xd: oneOf('cross', 'inner'), ...correlation, ...slicing, alpha: number(0, 1) },
    call: (_, options) => saclXd(host, options),
  },
  sacl: { where: /^sacl: /, options: { ...correlation, ...slicing }, call: (_, options) => sacl(host, options) },
  xd: { where: /^xd: /, options: { ...correlation, alpha: number(0, 1) }, call: (_, options) => xd(tiny, options) },
  barlowTwins: { where: /^barlowTwins: /, options: correlation, call: (_, options) => barlowTwins(tiny, options) },
  mocoV2: { where: /^mocoV2: /, options: contrast, call: (_, options) => mocoV2(tiny, options) },
  byol: { where: /^byol: /, options: { ...units, ema: below(1) }, call: (_, options) => byol(tiny, options) },
  seed: {
    where: /^seed: /,
    options: { ...learning, teacherTemperature: above(0) },
    call: (_, options) => seed(tiny, options),
  },
  disco: { where: /^disco: /, options: { ...contrast, teacher: never }, call: (_, options) => disco(tiny, options) },
  sslSmall: {
    where: /^sslSmall: /,
    options: contrast,
    call: (_, options) => sslSmall(tiny, options),
  },
  rekd: {
    where: /^rekd: /,
    options: { ...contrast, neighbors: whole(1, 64) },
    call: (_, options) => rekd(tiny, host, options),
  },
  oss: {
    where: /^oss: /,
    options: {
      ...units,
      temperature: above(0),
      prototypes: whole(2, 65536),
      epsilon: above(0),
      sinkhorn: whole(1, 100),
    },
    call: (_, options) => oss(tiny, host, options),
  },
  minimizeCrossCorrelation: {
    where: /^minimizeCrossCorrelation: /,
    options: { ...loss, alpha: (value) => value === 1, frozen: never, hostFeatureSlice: callback },
    call: ({ plan }, options) => {
      const tape = new Tape(plan);
      const z = () => tape.requireGrad(transient(plan, 'z', [6, 4]));
      const [a, b] = [z(), z()].map((x) => ({ features: x, z: x }));
      return minimizeCrossCorrelation(tape, { a, b }, options);
    },
  },
  infoNce: {
    where: /^infoNce: /,
    options: { temperature: above(0) },
    call: (_, options) => {
      const device = metaDevice();
      const method = mocoV2(tiny, { queue: 6, embedding: 4 });
      const network = new Network(device, method);
      const plan = new Plan(device);
      const x = transient(plan, 'x', [2, 3, 8, 8]);
      const embed = embedder(tiny, method.heads[0]);
      return infoNce(new Tape(plan), network, embed, { a: () => x, b: () => x }, network.queues.queue, options);
    },
  },
  Tape: {
    where: /^tape: /,
    options: { noGrad: flag, recompute: flag },
    call: ({ plan }, options) => new Tape(plan, options),
  },
  record: {
    where: /^(record|plan): |: variants: /, // which is known when the plan is compiled, by its label
    options: {
      label: text,
      variants: (value) => object(value) && Object.keys(value as object).length === 0,
      substitute: callback,
      noGrad: flag,
      recompute: flag,
      onCompile: callback,
    },
    call: async ({ device }, options) => (await record(device, () => undefined, options)).dispose(),
  },
  'device.tensor': {
    where: /./,
    options: { label: text, dtype: oneOf('f32', 'f16', 'i32', 'u32') },
    call: ({ device }, options) => device.tensor([4], 1, options).dispose(),
  },
  'device.parameter': {
    where: /./,
    options: { label: text },
    call: ({ device }, options) => device.parameter([4], 1, options).dispose(),
  },
  kernel: {
    where: /^kernel/,
    options: { name: (value) => typeof value === 'string' && /^\w+$/.test(value) },
    call: (_, options) => kernel('@compute @workgroup_size(1) fn main() {}', options),
  },
  widthMultiplier: {
    where: /^encoder: /,
    options: { width: above(0), ratio: number(1), stemStride: whole(1, 2) },
    call: (_, options) => widthMultiplier(options, Math.floor),
  },
  openTorchvision: {
    where: /^(openTorchvision|encoder|resnet18|square|resize|interpolation)\b/,
    options: torchvision,
    call: ({ device }, options) =>
      openTorchvision(device, writeSafetensors([]), given(options, { encoder: 'resnet18' }) as never),
  },
  loadTorchvision: {
    where: /^loadTorchvision: /,
    options: {
      ...torchvision,
      encoder: text,
      imageSize: anyNumber,
      resize: anyNumber,
      interpolation: text,
      width: anyNumber,
      stemStride: anyNumber,
      device: never,
    },
    call: (_, options) => loadTorchvision('/nowhere', given(options, { encoder: 'resnet18' }) as never),
  },
  loadEncoder: {
    where: /^loadEncoder: /,
    options: { device: never, encoder: never },
    call: (_, options) => loadEncoder('/nowhere', options),
  },
  loadClassifier: {
    where: /^loadClassifier: /,
    options: { device: never, encoder: never },
    call: (_, options) => loadClassifier('/nowhere', options),
  },
  readEncoder: {
    where: /^readEncoder: /,
    options: { encoder: never, file: text },
    call: (_, options) => readEncoder(bytes, options),
  },
  openEncoder: {
    where: /^readEncoder: /,
    options: { encoder: never, file: text },
    call: ({ device }, options) => openEncoder(device, bytes, options),
  },
  readClassifier: {
    where: /^(readClassifier|readEncoder): /,
    options: { encoder: never, file: text },
    call: (_, options) => readClassifier(bytes, options),
  },
  openClassifier: {
    where: /^(readClassifier|readEncoder): /,
    options: { encoder: never, file: text },
    call: ({ device }, options) => openClassifier(device, bytes, options),
  },
  exportOnnx: {
    where: /^exportOnnx: /,
    options: {
      imageSize: whole(2),
      fold: flag,
      classifier: never,
      metadata: (value) => object(value) && Object.values(value as object).every((one) => typeof one === 'string'),
    },
    call: (_, options) => exportOnnx(file, options),
  },
};
