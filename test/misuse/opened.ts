// What opens, makes or measures something by options: encoders, plans, loaders, data and evaluations.

import { Parameters } from '../../src/core/parameters.js';
import { trainingCost } from '../../src/cost/training_cost.js';
import { Loader } from '../../src/data/loader.js';
import type { ImageSource } from '../../src/data/source.js';
import { squares } from '../../src/data/squares.js';
import { efficientnetB0 } from '../../src/encoders/efficientnet.js';
import { mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { mobilenetV3Large } from '../../src/encoders/mobilenet_v3.js';
import { resnet18, resnet20 } from '../../src/encoders/resnet.js';
import { finetune } from '../../src/eval/finetune.js';
import { linearEvaluation } from '../../src/eval/linear.js';
import type { WeightedEncoder } from '../../src/inference/features.js';
import { deviceKnn, knn } from '../../src/metrics/knn.js';
import { convLayer } from '../../src/nn/blocks.js';
import { openDataset } from '../../src/node/data/datasets.js';
import { openEmoji } from '../../src/node/data/emoji.js';
import { openImageFolder } from '../../src/node/data/image_folder.js';
import { openDevice } from '../../src/node/device/device.js';
import { evaluate } from '../../src/node/eval/evaluate.js';
import { augment, centerCrop, defaultViews, imagenetStatistics } from '../../src/ops/augment.js';
import { Plan } from '../../src/runtime/plan.js';
import { tune } from '../../src/runtime/tuner.js';
import { recalibrate } from '../../src/train/recalibrate.js';
import {
  above,
  above0,
  anything,
  atLeast0,
  below,
  callback,
  channels,
  type Door,
  flag,
  given,
  names,
  never,
  number,
  object,
  oneOf,
  whole,
} from './door.js';

const images: ImageSource = {
  name: 'images',
  length: 20,
  images: 1,
  labels: Int32Array.from({ length: 20 }, (_, i) => i % 2),
  load: async () => ({ width: 2, height: 2, pixels: new Uint8Array(16) }),
};
const batchOf = (plan: Plan) => {
  const binding = { storage: plan.slot('images', 64), offset: 0, bytes: 64 };
  return { batch: 1, maxSide: 8, bindings: { pixels: binding, table: binding, batch: binding } };
};
const [view] = defaultViews(8);
const width = { width: above(0), ratio: number(1), stemStride: whole(1, 2) };
const supervised = {
  lr: anything,
  epochs: whole(1),
  batch: whole(1, 16),
  weightDecay: number(0),
  validation: (value: unknown) => above(0)(value) && below(1)(value),
  cropMin: (value: unknown) => above(0)(value) && number(0, 1)(value),
  flip: number(0, 1),
  seed: whole(0, 2 ** 32 - 1),
  onEpoch: callback,
};
const bank = { data: Float32Array.of(1, 2, 3, 4), labels: [0, 1] };
/** An encoder of no use: who gets as far as to ask it for something has let the options through. */
const encoder = { imageSize: 8, backbone: { stride: 1, features: channels } } as unknown as WeightedEncoder;

export const opened: Readonly<Record<string, Door>> = {
  mobilenetV1: {
    where: /^(mobilenetV1|encoder): /,
    options: { ...width, blocks: (value) => Array.isArray(value) && value.length === 0 },
    call: (_, options) => mobilenetV1(options),
  },
  mobilenetV3Large: {
    where: /^(mobilenetV3Large|encoder): /,
    options: width,
    call: (_, options) => mobilenetV3Large(options),
  },
  efficientnetB0: {
    where: /^(efficientnetB0|encoder): /,
    options: width,
    call: (_, options) => efficientnetB0(options),
  },
  resnet18: { where: /^(resnet|encoder): /, options: width, call: (_, options) => resnet18(options) },
  resnet20: { where: /^(resnet|encoder): /, options: width, call: (_, options) => resnet20(options) },
  Plan: {
    where: /^plan: /,
    options: { label: (value) => typeof value === 'string', variants: names, substitute: callback },
    call: ({ device }, options) => new Plan(device, options),
  },
  Parameters: {
    where: /^parameters: /,
    options: { bn: oneOf('split', 'shared', 'private'), slice: oneOf('prefix', 'l1') },
    call: ({ device }, options) => new Parameters(device, [], [], options).dispose(),
  },
  tune: {
    where: /^tune: /,
    options: { cache: anything, onTuned: callback },
    call: ({ plan }, options) => tune(plan, options),
  },
  'Loader.open': {
    where: /^loader: /,
    options: { batch: whole(1), seed: whole(0, 2 ** 32 - 1), budget: atLeast0, onProgress: callback },
    call: async ({ device }, options) =>
      (await Loader.open(device, images, given(options, { batch: 2, budget: 0 }) as never)).dispose(),
  },
  augment: {
    where: /^augment: /,
    options: {
      size: whole(1, 2048),
      flip: number(0, 1),
      grayscale: number(0, 1),
      solarize: number(0, 1),
      crop: never,
      rotate: never,
      jitter: never,
      blur: never,
    },
    call: ({ plan }, options) => augment(plan, batchOf(plan), 0, given(options, view) as never),
  },
  'augment: crop': {
    where: /^augment: /,
    options: { scale: never, ratio: never, centered: flag },
    call: ({ plan }, options) => augment(plan, batchOf(plan), 0, { ...view, crop: given(options, view.crop) as never }),
  },
  'augment: rotate': {
    where: /^augment: /,
    options: { p: number(0, 1), degrees: number(0, 180) },
    call: ({ plan }, options) =>
      augment(plan, batchOf(plan), 0, { ...view, rotate: given(options, { p: 1, degrees: 30 }) as never }),
  },
  'augment: jitter': {
    where: /^augment: /,
    options: {
      p: number(0, 1),
      brightness: number(0, 10),
      contrast: number(0, 10),
      saturation: number(0, 10),
      hue: number(0, 0.5),
    },
    call: ({ plan }, options) =>
      augment(plan, batchOf(plan), 0, { ...view, jitter: given(options, view.jitter) as never }),
  },
  'augment: blur': {
    where: /^augment: /,
    options: {
      p: number(0, 1),
      window: (value) => whole(1, 15)(value) && (value as number) % 2 === 1,
      sigma: never,
    },
    call: ({ plan }, options) => augment(plan, batchOf(plan), 0, { ...view, blur: given(options, view.blur) as never }),
  },
  centerCrop: {
    where: /^(centerCrop|augment): /,
    options: { size: whole(1, 2048), resize: whole(8) },
    call: ({ plan }, options) =>
      centerCrop(plan, batchOf(plan), given(options, { size: 8, ...imagenetStatistics }) as never),
  },
  squares: {
    where: /^(square|resize|interpolation): /,
    options: { resize: whole(8, 4096), interpolation: oneOf('bicubic', 'bilinear') },
    call: (_, options) => squares(images, 8, options),
  },
  knn: {
    where: /^knn: /,
    options: { k: whole(1), temperature: above0 },
    call: (_, options) => knn(bank, bank, 2, options),
  },
  deviceKnn: {
    where: /^knn: /,
    options: { k: whole(1), temperature: above0, block: anything },
    call: ({ device }, options) => deviceKnn(device, bank, bank, 2, options),
  },
  linearEvaluation: {
    where: /^linear: /,
    options: {
      ...supervised,
      schedule: oneOf('step', 'cosine'),
      augment: flag,
      standardize: flag,
      cacheBytes: atLeast0,
    },
    call: ({ device }, options) => linearEvaluation(device, encoder, images, images, options),
  },
  finetune: {
    where: /^finetune: /,
    options: supervised,
    call: ({ device }, options) => finetune(device, encoder, images, images, options),
  },
  recalibrate: {
    where: /^(recalibrate|square): /,
    options: { batch: whole(2), square: object },
    call: ({ device, parameters }, options) =>
      recalibrate(
        device,
        { module: convLayer('w', channels, channels), parameters, width: 'host' },
        images,
        8,
        options,
      ),
  },
  trainingCost: {
    where: /^(trainingCost|unknown|cost|encoder)/,
    options: { epochs: number(0), images: number(0), imageSize: whole(4), width: above(0) },
    call: (_, options) =>
      trainingCost(given(options, { method: 'barlow_twins', encoder: 'resnet20', epochs: 1 }) as never),
  },
  openDevice: {
    where: /^openDevice: /,
    options: { powerPreference: oneOf('low-power', 'high-performance'), onLost: callback, memory: atLeast0 },
    call: (_, options) => openDevice(given(options, { adapter: 'nowhere' }) as never),
  },
  openEmoji: {
    where: /^openEmoji: /,
    options: { labels: oneOf('category', 'subcategory') },
    call: (_, options) => openEmoji(options),
  },
  openImageFolder: {
    where: /^openImageFolder: /,
    options: { side: whole(1), verify: oneOf('decode', 'header'), cacheBytes: atLeast0, labels: flag },
    call: (_, options) => openImageFolder('/nowhere', options),
  },
  openDataset: {
    where: /^openDataset: /,
    options: {
      side: whole(1),
      verify: oneOf('decode', 'header'),
      cacheBytes: atLeast0,
      labels: flag,
      protocol: oneOf('paired', 'augmented'),
      imageSize: whole(1),
      seed: whole(0, 2 ** 32 - 1),
      holdOut: (value) => below(1)(value),
    },
    call: (_, options) => openDataset('/nowhere', options),
  },
  evaluate: {
    where: /^(evaluate|knn): /,
    options: {
      k: whole(1),
      bank: whole(1),
      queries: whole(1),
      map: oneOf('pca', 'none'),
    },
    call: (_, options) => evaluate({ name: 'd', train: images, notes: [] }, [], options),
  },
};
