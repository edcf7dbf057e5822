// Multiply-adds of one forward pass: recorded on a device of no adapter and added up.
import { backbone, type EncoderSpec } from '../config/encoders.js';
import { Parameters, type Width } from '../core/parameters.js';
import { type Operation, Tape, weightedOps } from '../core/tape.js';
import type { Encoder } from '../encoders/encoder.js';
import { ConfigError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { metaDevice } from '../runtime/meta.js';
import { Plan } from '../runtime/plan.js';
import { numel, transient } from '../tensor/tensor.js';

/** What counts of a forward pass. */
export interface Work {
  /** Multiply-adds of convolutions and linear layers; biases are free. */
  readonly macs: number;
  /** Those among them of the layers that read the pass's input: no gradient with respect to it is ever made. */
  readonly first: number;
  /** Elements that batchnorms read. */
  readonly normalized: number;
}

/** The work of a module's forward at a width on an input of this shape, from its ops as they are recorded on no adapter. */
export function workOf(module: Module, width: Width, shape: readonly number[]): Work {
  const device = metaDevice();
  const plan = new Plan(device, { label: 'work' });
  const tape = new Tape(plan, { noGrad: true });
  const parameters = new Parameters(device, module.parameters, module.statistics);
  const x = transient(plan, 'x', shape);
  module.forward({ tape, parameters, width, training: false, updateStats: false }, x);
  const sum = (ops: readonly Operation[], of: (operation: Operation) => number) =>
    ops.reduce((total, operation) => total + of(operation), 0);
  const macsOf = ({ inputs: [, weight], output }: Operation) => numel(output.shape) * numel(weight.shape.slice(1));
  const layers = tape.operations.filter(({ op }) => weightedOps.includes(op));
  const norms = tape.operations.filter(({ op }) => op === 'batchnorm');
  return {
    macs: sum(layers, macsOf),
    first: sum(
      layers.filter(({ inputs }) => inputs[0].storage === x.storage),
      macsOf,
    ),
    normalized: sum(norms, ({ inputs: [input] }) => numel(input.shape)),
  };
}

/** One image's forward through a whole published network, classifier included. */
export interface PublishedWork {
  /** Multiply-adds. */
  readonly macs: number;
  /** As the thop profiler counts: multiply-adds, and 4 for each element that a batchnorm reads. */
  readonly thop: number;
}

const classes = 1000; // of ImageNet

/**
 * Counts one image's forward as published training costs do. Of thop's counts, poolings are excluded: releases
 * differ in them, and they are under 0.6 %.
 */
export function publishedWork(spec: EncoderSpec, width: Width, imageSize: number): PublishedWork {
  const encoder = backbone(spec);
  if (!(imageSize >= encoder.stride))
    throw new ConfigError(
      `cost: expected images of at least ${encoder.stride} pixels a side, the stride of ${spec.encoder}, got ${imageSize}; ` +
        'give a larger --image-size',
    );
  const { macs: features, normalized } = workOf(encoder, width, [1, 3, imageSize, imageSize]);
  const macs = features + classifierMacs(encoder, width);
  return { macs, thop: macs + 4 * normalized };
}

/** Of the linear layers from the features to the classes. */
function classifierMacs({ features, hidden = [] }: Encoder, width: Width): number {
  const sides = [features[width], ...hidden.map((channels) => channels[width]), classes];
  return sides.slice(1).reduce((sum, side, i) => sum + sides[i] * side, 0);
}
