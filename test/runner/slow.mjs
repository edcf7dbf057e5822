// What the runner knows of the tests that take long.

/** Those that take longest, longest first: the others fill the gaps that these leave at the end. */
export const longest = [
  'browser/ops bench methods/train ops/pointwise examples train/trainer encoders/training ops/conv2d node/cli node/classify',
  'encoders/slices ops/folded node/exits encoders/reference ops/linear node/unseen runtime/tuner ops/depthwise',
  'export/onnx types package ops/matmul node/resume node/cost ops/cross_correlation ops/batchnorm eval/independence',
].flatMap((line) => line.split(' '));

/**
 * Long tests of what is built of ops: they assert what holds on any adapter, and the ops they use are tested on each. They run
 * on the fastest adapter; on the others only those of the given names.
 */
export const once = {
  'core/channel_selection': 'dense convolution|tuning finds',
  'cost/ledger': undefined,
  'cost/run': undefined,
  'encoders/reference': 'resnet18',
  'encoders/slices': 'mobilenet_v',
  'encoders/training': 'f16',
  'eval/finetune': 'equal, bit for bit',
  'eval/independence': undefined,
  'eval/linear': undefined,
  experiments: undefined,
  'export/onnx': undefined,
  'methods/train': '^moco_v2',
  'misuse/made_up': undefined,
  'train/trainer': 'f16|resumed|creates no buffer|is refused|device lost',
};
