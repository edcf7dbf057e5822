// What is benched: a row a kernel stem, and every distinct layer of MobileNet-V1 at 32 pixels, dense and slimmed.

import type { Tape } from '../src/core/tape.js';
import { mobilenetV1Blocks } from '../src/encoders/mobilenet_v1.js';
import { activation } from '../src/ops/activation.js';
import { add } from '../src/ops/add.js';
import { batchnorm } from '../src/ops/batchnorm.js';
import { conv2d } from '../src/ops/conv2d.js';
import { depthwise } from '../src/ops/depthwise.js';
import { linear } from '../src/ops/linear.js';
import { pointwise } from '../src/ops/pointwise.js';
import { globalAveragePool } from '../src/ops/pool.js';
import { scaleChannels } from '../src/ops/scale_channels.js';
import { selectView, type Tensor } from '../src/tensor/tensor.js';
import { losses } from './losses.js';
import * as reference from './reference.js';

/** One op on tensors of known shapes. */
export interface Case {
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** What gets its gradient in place: the leading block of the dense case's tensor of that name. */
  readonly weights?: Readonly<Record<string, readonly number[]>>;
  run(tape: Tape, tensors: Readonly<Record<string, Tensor>>): Tensor;
  readonly reference: reference.Reference;
}

/** A layer, by the share of its channels that is in use; without channels to slim it is only run whole. */
export interface Layer {
  readonly stem: string;
  readonly name: string;
  readonly slims: boolean;
  /** A convolution of MobileNet-V1, that is, not one that is there for comparison. */
  readonly network?: boolean;
  /** One backward gives all gradients; otherwise backward_input and backward_weight are timed apart. */
  readonly joint: boolean;
  at(share: number): Case;
}

/**
 * Shares of the channels: all, and those of a host 1.5 and 2 times as wide as the slim encoder. Two thirds of a layer of
 * MobileNet-V1 are an odd number of channels (21, 42, 85 …), the hard case: its own hosts' are multiples of 8.
 */
export const shares = [1, 2 / 3, 1 / 2] as const;

/** A share of the channels: the leading ones, or as many that a list names. */
export interface Cut {
  readonly share: number;
  readonly listed: boolean;
}

/** What is timed of a layer, dense first. */
export const cuts: readonly Cut[] = [
  ...shares.map((share) => ({ share, listed: false })),
  { share: 1 / 2, listed: true },
];

/** Every layer that is benched, at this batch. */
export function layers(batch: number): Layer[] {
  return [...mobilenet(batch).map((layer) => ({ ...layer, network: true })), ...others(batch)];
}

function mobilenet(N: number): Layer[] {
  const found = [convolutionLayer(N, 3, 32, 32, { S: 1 })];
  let [input, side] = [32, 32];
  for (const [output, stride] of mobilenetV1Blocks) {
    found.push(depthwiseLayer(N, input, side, stride));
    side /= stride;
    found.push(pointwiseLayer(N, input, output, side));
    input = output;
  }
  const names = found.map(({ stem, name }) => stem + name);
  return found.filter((_, i) => names.indexOf(names[i]) === i);
}

function others(N: number): Layer[] {
  return [
    convolutionLayer(N, 64, 64, 16, { S: 1 }),
    convolutionLayer(N, 128, 256, 8, { S: 2 }),
    depthwiseLayer(N, 128, 16, 1, 5),
    depthwiseLayer(N, 128, 16, 2, 5),
    ...[
      [64, 32],
      [128, 16],
      [256, 8],
      [512, 4],
      [1024, 2],
    ].map(([channels, side]) => batchnormLayer(N, channels, side)),
    elementwise('activation', 'relu', N, 64, 32, ['x'], (tape, { x }) => activation(tape, x, 'relu'), reference.relu),
    elementwise('add', 'a + b', N, 64, 32, ['a', 'b'], (tape, { a, b }) => add(tape, a, b), reference.sum),
    elementwise(
      'pool',
      'global mean',
      N,
      256,
      8,
      ['x'],
      (tape, { x }) => globalAveragePool(tape, x),
      reference.planeMean(8 * 8),
    ),
    excitationLayer(N, 256, 8),
    linearLayer(8 * N, 1024, 1024),
    ...losses(8 * N),
  ];
}

const part = (channels: number, share: number): number => Math.floor(channels * share);

function convolutionLayer(N: number, I: number, O: number, side: number, { S }: { S: number }): Layer {
  const [K, P] = [3, 1];
  return {
    stem: 'conv2d',
    name: `3x3 ${I}→${O} ${side}²${S > 1 ? ` /${S}` : ''}`,
    slims: true,
    joint: false,
    at: (share) => {
      const [i, o] = [I === 3 ? 3 : part(I, share), part(O, share)];
      return {
        inputs: { x: [N, i, side, side] },
        weights: { weight: [o, i, K, K] },
        run: (tape, { x, weight }) => conv2d(tape, x, weight, { stride: S, padding: P }),
        reference: reference.convolution({ N, I: i, O: o, H: side, W: side, K, S, P }),
      };
    },
  };
}

function pointwiseLayer(N: number, I: number, O: number, side: number): Layer {
  return {
    stem: 'pointwise',
    name: `${I}→${O} ${side}²`,
    slims: true,
    joint: false,
    at: (share) => {
      const [i, o] = [part(I, share), part(O, share)];
      return {
        inputs: { x: [N, i, side, side] },
        weights: { weight: [o, i, 1, 1] },
        run: (tape, { x, weight }) => pointwise(tape, x, weight),
        reference: reference.convolution({ N, I: i, O: o, H: side, W: side, K: 1, S: 1, P: 0 }),
      };
    },
  };
}

function depthwiseLayer(N: number, channels: number, side: number, S: number, K = 3): Layer {
  const P = (K - 1) / 2;
  return {
    stem: 'depthwise',
    name: `${K}x${K} ${channels} ${side}²${S > 1 ? ` /${S}` : ''}`,
    slims: true,
    joint: false,
    at: (share) => {
      const C = part(channels, share);
      return {
        inputs: { x: [N, C, side, side] },
        weights: { weight: [C, 1, K, K] },
        run: (tape, { x, weight }) => depthwise(tape, x, weight, { stride: S, padding: P }),
        reference: reference.convolution({ N, I: C, O: C, H: side, W: side, K, S, P, groups: C }),
      };
    },
  };
}

function batchnormLayer(N: number, channels: number, side: number): Layer {
  return {
    stem: 'batchnorm',
    name: `relu ${channels} ${side}²`,
    slims: true,
    joint: true,
    at: (share) => {
      const C = part(channels, share);
      return {
        inputs: { x: [N, C, side, side] },
        weights: { gamma: [C], beta: [C] },
        run: (tape, { x, gamma, beta }) => {
          const [runningMean, runningVar] = ['mean', 'var'].map((name) =>
            selectView(tape.empty(`running_${name}`, [channels]), [C], { rows: gamma.keptRows }),
          );
          return batchnorm(
            tape,
            x,
            { gamma, beta, runningMean, runningVar },
            { updateStats: false, activation: 'relu' },
          );
        },
        reference: reference.normalization(N, C, side * side),
      };
    },
  };
}

/** An op without weights on maps of one shape. */
function elementwise(
  stem: string,
  what: string,
  N: number,
  channels: number,
  side: number,
  names: readonly string[],
  run: Case['run'],
  reference: reference.Reference,
): Layer {
  return {
    stem,
    name: `${what} ${channels} ${side}²`,
    slims: true,
    joint: true,
    at: (share) => {
      const shape = [N, part(channels, share), side, side];
      return { inputs: Object.fromEntries(names.map((name) => [name, shape])), run, reference };
    },
  };
}

/** What ends squeeze-and-excitation. */
function excitationLayer(N: number, channels: number, side: number): Layer {
  return {
    stem: 'scale_channels',
    name: `${channels} ${side}²`,
    slims: true,
    joint: true,
    at: (share) => {
      const C = part(channels, share);
      return {
        inputs: { x: [N, C, side, side], scale: [N, C] },
        run: (tape, { x, scale }) => scaleChannels(tape, x, scale),
        reference: reference.scaledPlanes(side * side),
      };
    },
  };
}

/** The projector's first layer: only its input columns are slimmed. */
function linearLayer(N: number, I: number, O: number): Layer {
  return {
    stem: 'linear',
    name: `${N}x${I}→${O}`,
    slims: true,
    joint: false,
    at: (share) => {
      const i = part(I, share);
      return {
        inputs: { x: [N, i] },
        weights: { weight: [O, i], bias: [O] },
        run: (tape, { x, weight, bias }) => linear(tape, x, weight, bias),
        reference: reference.affine(N, i, O),
      };
    },
  };
}
