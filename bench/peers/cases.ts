// What every side computes: the same layers on the same numbers. The only place where the cases are said.
import { generator } from '../../test/random.js';

/** Images (N, C, H, W); weights (O, I, K, K), (C, 1, K, K) or (O, I); padding K >> 1; a bias in `dense` alone. */
export type Layer =
  | { readonly kind: 'conv'; readonly name: string; I: number; O: number; K: number; S: number }
  | { readonly kind: 'depthwise'; readonly name: string; C: number; K: number; S: number }
  /** Training batch normalization, `name`.weight and `name`.bias (C); running statistics are not compared. */
  | { readonly kind: 'norm'; readonly name: string; C: number; relu: boolean }
  /** The mean of each plane: (N, C, H, W) to (N, C). */
  | { readonly kind: 'pool' }
  | { readonly kind: 'dense'; readonly name: string; I: number; O: number };

/**
 * - `layers`: y = layers(x). Both passes: y, and the gradients of x and of all weights, given dy.
 * - `loss`: Barlow Twins of za and zb. Both passes: the loss, and dza and dzb.
 * - `step`: a training step: both views through the layers (a pass each, batch statistics of its own), Barlow Twins,
 *   all gradients, SGD with momentum. It has no forward pass to time alone.
 */
export interface Case {
  readonly name: string;
  readonly kind: 'layers' | 'loss' | 'step';
  /** Of each input. */
  readonly shape: readonly number[];
  readonly layers: readonly Layer[];
  /** The error of an output, root of the mean square against the output's own, up to which it is rounding. */
  readonly tolerance: number;
}

/** Tensors by name, in the layouts above whatever the side's own are. */
export type Values = Record<string, Float32Array<ArrayBuffer>>;
export type Pass = 'forward' | 'both';

export const eps = 1e-5;
export const lambda = 0.0051;
export const lr = 0.1;
export const momentum = 0.9;

/** Options of the network's builders; `ours.ts` hands it to the library's own MobileNet-V1. */
export const network = {
  /** Channels and stride of each depthwise-separable block. */
  blocks: [
    [32, 1],
    [64, 2],
    [64, 1],
    [128, 2],
    [128, 1],
    [256, 2],
  ] as const,
  stem: 16,
  units: 256,
};

const batch = 32;

export const cases: readonly Case[] = [
  layer('1x1 64→128 @16²', 16, { kind: 'conv', name: 'conv', I: 64, O: 128, K: 1, S: 1 }),
  layer('1x1 128→256 @8²', 8, { kind: 'conv', name: 'conv', I: 128, O: 256, K: 1, S: 1 }),
  layer('3x3 3→32 @32²', 32, { kind: 'conv', name: 'conv', I: 3, O: 32, K: 3, S: 1 }),
  layer('3x3 64→64 @16²', 16, { kind: 'conv', name: 'conv', I: 64, O: 64, K: 3, S: 1 }),
  layer('depthwise 3x3 128 @16²', 16, { kind: 'depthwise', name: 'conv', C: 128, K: 3, S: 1 }),
  layer('batchnorm 128 @16²', 16, { kind: 'norm', name: 'bn', C: 128, relu: false }),
  { name: 'Barlow loss 256x1024', kind: 'loss', shape: [256, 1024], layers: [], tolerance: 1e-4 },
  {
    name: 'MobileNet step, 64 x 2 views',
    kind: 'step',
    shape: [64, 3, 32, 32],
    layers: mobilenet(),
    // rounding flips the ReLU of an element near zero here and there, which changes its channel's gradients by some per
    // cent; a mistake is an error of the gradient's own size
    tolerance: 5e-2,
  },
];

function layer(name: string, side: number, only: Extract<Layer, { name: string }>): Case {
  const channels = 'C' in only ? only.C : only.I;
  return { name, kind: 'layers', shape: [batch, channels, side, side], layers: [only], tolerance: 1e-4 };
}

/** A small MobileNet-V1 for 32 pixels with the projector of Barlow Twins; names as the library has them. */
function mobilenet(): Layer[] {
  const { blocks, stem, units } = network;
  const layers: Layer[] = [
    { kind: 'conv', name: 'features.0.0', I: 3, O: stem, K: 3, S: 1 },
    { kind: 'norm', name: 'features.0.1', C: stem, relu: true },
  ];
  let C = stem;
  blocks.forEach(([O, S], i) => {
    const name = `features.${i + 1}.block`;
    layers.push(
      { kind: 'depthwise', name: `${name}.0.0`, C, K: 3, S },
      { kind: 'norm', name: `${name}.0.1`, C, relu: true },
      { kind: 'conv', name: `${name}.1.0`, I: C, O, K: 1, S: 1 },
      { kind: 'norm', name: `${name}.1.1`, C: O, relu: true },
    );
    C = O;
  });
  return [
    ...layers,
    { kind: 'pool' },
    { kind: 'dense', name: 'projector.0', I: C, O: units },
    { kind: 'norm', name: 'projector.1', C: units, relu: true },
    { kind: 'dense', name: 'projector.3', I: units, O: units },
    { kind: 'norm', name: 'projector.4', C: units, relu: true },
    { kind: 'dense', name: 'projector.6', I: units, O: units },
  ];
}

export const numel = (shape: readonly number[]): number => shape.reduce((product, side) => product * side, 1);

/** The shapes of a layer's weights by name. */
export function weightShapes(layer: Layer): Record<string, readonly number[]> {
  switch (layer.kind) {
    case 'conv':
      return { [`${layer.name}.weight`]: [layer.O, layer.I, layer.K, layer.K] };
    case 'depthwise':
      return { [`${layer.name}.weight`]: [layer.C, 1, layer.K, layer.K] };
    case 'norm':
      return { [`${layer.name}.weight`]: [layer.C], [`${layer.name}.bias`]: [layer.C] };
    case 'dense':
      return { [`${layer.name}.weight`]: [layer.O, layer.I], [`${layer.name}.bias`]: [layer.O] };
    case 'pool':
      return {};
  }
}

export function allWeightShapes({ layers }: Case): Record<string, readonly number[]> {
  return Object.assign({}, ...layers.map(weightShapes));
}

/** The shape that a layer makes of `shape`. */
export function shapeAfter(shape: readonly number[], layer: Layer): readonly number[] {
  if (layer.kind === 'norm') return shape;
  if (layer.kind === 'dense') return [shape[0], layer.O];
  const [N, C, H, W] = shape;
  if (layer.kind === 'pool') return [N, C];
  const side = (length: number) => Math.floor((length + 2 * (layer.K >> 1) - layer.K) / layer.S) + 1;
  return [N, layer.kind === 'conv' ? layer.O : C, side(H), side(W)];
}

/** Inputs and weights of a case, the same in every process that is given the same seed. */
export function inputsOf(c: Case, seed: number): Values {
  const random = generator(seed);
  const around = (n: number, mean: number, spread: number) =>
    Float32Array.from({ length: n }, () => mean + (2 * random() - 1) * spread);
  const values: Values = {};
  const n = numel(c.shape);
  if (c.kind === 'layers') {
    values.x = around(n, 0.3, 1);
    values.dy = around(numel(c.layers.reduce(shapeAfter, c.shape)), 0.1, 1);
  } else {
    // two views of one thing: alike, but not the same
    const [a, b] = c.kind === 'loss' ? ['za', 'zb'] : ['xa', 'xb'];
    values[a] = around(n, 0.3, 1);
    values[b] = around(n, 0.1, 1).map((value, i) => value + values[a][i]);
  }
  for (const [name, shape] of Object.entries(allWeightShapes(c))) {
    const fanIn = numel(shape.slice(1));
    if (shape.length > 1) values[name] = around(numel(shape), 0.02, Math.sqrt(6 / fanIn));
    else values[name] = around(shape[0], name.endsWith('.bias') ? 0 : 1, 0.1);
  }
  return values;
}
