// Networks small enough to be followed by hand.

import { Parameters } from '../../src/core/parameters.js';
import { type Block, mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import type { Teacher } from '../../src/methods/teacher.js';
import type { Device } from '../../src/runtime/device.js';
import { randoms } from '../random.js';

export const blocks: readonly Block[] = [
  [64, 2],
  [96, 1],
];

const options = { width: 0.125, stemStride: 1, blocks };
/** The encoder that learns, and a wider one. */
export const encoder = mobilenetV1(options);
export const wide = mobilenetV1({ ...options, ratio: 1.5 });

/** Settings of every method, all lengths odd or their own. */
export const settings = {
  projector: 10,
  embedding: 7,
  temperature: 0.3,
  teacherTemperature: 0.1,
  queue: 11,
  ema: 0.9,
  neighbors: 3,
  prototypes: 9,
  epsilon: 0.2,
  sinkhorn: 3,
} as const;

const { projector, embedding, temperature, teacherTemperature, queue, ema } = settings;
const head = { projector, embedding };
const contrast = { ...head, temperature, queue, ema };
/** Of each method its own among them. */
export const settingsOf = {
  moco_v2: contrast,
  byol: { ...head, ema },
  seed: { ...head, temperature, queue, teacherTemperature },
  disco: contrast,
  rekd: { ...contrast, neighbors: settings.neighbors },
  oss: {
    ...head,
    temperature,
    prototypes: settings.prototypes,
    epsilon: settings.epsilon,
    sinkhorn: settings.sinkhorn,
  },
  ssl_small: contrast,
} as const;

/** A frozen encoder of another width than the one that learns, with running statistics as a trained one has. */
export function makeTeacher(device: Device, random: () => number): Teacher & { parameters: Parameters } {
  const encoder = mobilenetV1({ ...options, width: 0.25 });
  const parameters = new Parameters(device, encoder.parameters, encoder.statistics, { bn: 'shared' });
  parameters.initialize(random);
  for (const { name, channels } of encoder.statistics)
    parameters.write(`host.${name}`, randoms(random, channels.host, name.endsWith('var') ? 1.5 : 0, 0.2));
  return { backbone: encoder, parameters };
}
