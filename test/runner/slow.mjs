// What the runner knows of the tests that take long.

/** Those that take longest, longest first: the others fill the gaps that these leave at the end. */
export const longest = [
  'examples browser/ops bench methods/train browser/resume train/trainer ops/conv2d node/classify train/own_parts ops/pointwise types',
  'encoders/slices node/unseen node/exits encoders/training eval/independence ops/linear package encoders/reference export/onnx',
  'experiments runtime/tuner ops/depthwise ops/half node/export node/resume docs encoders/slim_of ops/folded node/cost ops/matmul',
].flatMap((line) => line.split(' '));

/**
 * Tests in which the adapter plays no role: of what is built of ops, which are tested on each, of what is refused before any work,
 * of processes that choose their adapter themselves, and of large grids of shapes.
 * They run on the fastest adapter; on the others only those whose names match, where of other files' tests a third runs.
 */
export const once = {
  bundle: 'one file is all',
  'core/channel_selection': 'dense convolution|tuning finds',
  'cost/ledger': 'lars|one ledger',
  'cost/run': 'by sgd',
  'encoders/reference': 'resnet18',
  'encoders/slices': 'mobilenet_v1|resnet20',
  'encoders/slim_of': '^mobilenet_v3|of a program',
  'encoders/training': 'f16',
  'eval/finetune': 'equal, bit for bit',
  'eval/independence': 'its central square',
  'eval/linear': 'refused',
  'eval/own_encoder': 'saved and opened',
  experiments: 'fails has a line',
  'export/onnx': 'arithmetic, sums',
  'inference/image_encoder': 'by itself|embedded alike',
  'inference/preprocessing': 'in Node',
  'methods/train': '^moco_v2',
  'misuse/made_up': 'every argument',
  'node/doctor': 'at hand|computes nothing',
  'node/own_encoder': 'opens it by path',
  'ops/conv2d': '^(?!.*kept by lists)|^(two channels|stride 2, wide|a CIFAR stem|7x7, stride 2, even).*kept',
  'ops/folded': 'elementwise|batchnorm|sums|softmax|sgd',
  'ops/linear': 'bias|refused|needs no gradient|^N(3|16|130) .*kept',
  'ops/pointwise': 'agrees$|hardware, whose|needs no gradient|refused|^N(3 16|4 24) .*kept',
  'train/own_parts': 'resumed ends bit for bit.*sgd|begun with',
  'train/trainer': 'f16|resumed.*sgd|creates no buffer|is refused|device lost',
};
