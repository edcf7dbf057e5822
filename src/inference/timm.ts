/**
 * timm's names for the tensors of the encoders whose names differ there, and where its networks compute otherwise. Its ResNets
 * have torchvision's names. Knows no files.
 */
import type { EncoderName } from '../config/encoders.js';
import type { Tensors } from '../core/state.js';
import type { Naming } from './state_dict.js';

/** timm's parts of a block that expands its channels, and of one that does not. Which parts there are depends on squeeze-excite. */
const expanding = {
  '0.0': 'conv_pw',
  '0.1': 'bn1',
  '1.0': 'conv_dw',
  '1.1': 'bn2',
  '2.fc1': 'se.conv_reduce',
  '2.fc2': 'se.conv_expand',
  '2.0': 'conv_pwl',
  '2.1': 'bn3',
  '3.0': 'conv_pwl',
  '3.1': 'bn3',
};
const plain = {
  '0.0': 'conv_dw',
  '0.1': 'bn1',
  '1.fc1': 'se.conv_reduce',
  '1.fc2': 'se.conv_expand',
  '1.0': 'conv_pw',
  '1.1': 'bn2',
  '2.0': 'conv_pw',
  '2.1': 'bn2',
};

/** timm's prefix of every tensor, by ours without its last part. */
type Table = Map<string, string>;

const stem = [
  ['features.0.0', 'conv_stem'],
  ['features.0.1', 'bn1'],
] as const;

/** @param blocks our prefix of every block, by stages */
function tableOf(
  blocks: readonly (readonly string[])[],
  last: readonly (readonly [string, string])[],
  first: typeof expanding | typeof plain = expanding,
): Table {
  const parts = blocks.flatMap((stage, s) =>
    stage.flatMap((ours, i) =>
      Object.entries(s === 0 ? plain : first).map(([a, b]) => [`${ours}.block.${a}`, `blocks.${s}.${i}.${b}`] as const),
    ),
  );
  return new Map([...stem, ...parts, ...last]);
}

/** `features.1`, `features.2`, … in stages of `lengths` blocks. */
function inOneRow(counts: readonly number[]): string[][] {
  let n = 0;
  return counts.map((count) => Array.from({ length: count }, () => `features.${++n}`));
}

const mobilenetV1 = tableOf(inOneRow([1, 2, 2, 6, 2]), [], plain);
const mobilenetV3 = tableOf(inOneRow([1, 2, 3, 4, 2, 3]), [
  ['features.16.0', 'blocks.6.0.conv'],
  ['features.16.1', 'blocks.6.0.bn1'],
]);
const efficientnet = tableOf(
  [1, 2, 2, 3, 3, 4, 1].map((count, s) => Array.from({ length: count }, (_, i) => `features.${s + 1}.${i}`)),
  [
    ['features.8.0', 'conv_head'],
    ['features.8.1', 'bn2'],
  ],
);

const by = (table: Table) => (name: string) =>
  name.replace(/^(.*)(\.\w+)$/, (_, prefix: string, kind: string) => (table.get(prefix) ?? prefix) + kind);

const namings: Partial<Record<EncoderName, Naming>> = {
  mobilenet_v1: {
    rename: by(mobilenetV1),
    refuse: "timm's MobileNet-V1 is another function: its activations are cut off at 6 (ReLU6)",
  },
  // timm's batchnorms have PyTorch's own epsilon; behind the pooling follows a convolution that is no part of the encoder
  mobilenet_v3_large: { rename: by(mobilenetV3), convert: (state) => withEpsilon(state, 1e-5, 1e-3) },
  efficientnet_b0: { rename: by(efficientnet) },
};

/** How timm names the tensors of an encoder, where it is not as torchvision does. */
export const timmNaming = (encoder: EncoderName): Naming | undefined => namings[encoder];

/** Tensors that make of batchnorms with epsilon `to` the same functions as these, by running statistics, with epsilon `from`. */
function withEpsilon(state: Tensors, from: number, to: number): Tensors {
  return new Map(
    Array.from(state, ([name, tensor]) => {
      const variance = name.endsWith('.weight') && state.get(name.replace(/weight$/, 'running_var'))?.data;
      if (!variance) return [name, tensor] as const;
      const data = tensor.data.map((weight, c) => weight * Math.sqrt((variance[c] + to) / (variance[c] + from)));
      return [name, { shape: tensor.shape, data }] as const;
    }),
  );
}
