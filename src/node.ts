// All of slimgrad with what needs Node beside it, so that a program has one line to import; `openDevice` is Node's own here.
export * from './index.js';
export type { Dataset, DatasetOptions } from './node/data/dataset.js';
export { openDataset } from './node/data/datasets.js';
export { EMOJI_ATTRIBUTION, type EmojiSource, openEmoji } from './node/data/emoji.js';
export { type ImageFolder, type ImageFolderOptions, openImageFolder } from './node/data/image_folder.js';
export { type AdapterChoice, type NodeDeviceOptions, openDevice } from './node/device/device.js';
export { doctor } from './node/device/doctor.js';
export type { Chosen, Report, Versions } from './node/device/doctor_report.js';
export type { Speed } from './node/device/speed.js';
export {
  type Baseline,
  type EvaluateOptions,
  evaluate,
  type ImageEmbedder,
  pixelBaseline,
} from './node/eval/evaluate.js';
export type { MapMethod } from './node/eval/feature_map.js';
export { type Confusion, type Evaluation, evaluationText, type FeatureMap, type Score } from './node/eval/scores.js';
export {
  type LoadedClassifier,
  type LoadedEncoder,
  type LoadOptions,
  loadClassifier,
  loadEncoder,
  loadTorchvision,
} from './node/run/load_encoder.js';
export {
  Interrupted,
  type OpenSession,
  type PretrainResult,
  pretrain,
  type Session,
  type SessionTrainer,
} from './node/run/pretrain.js';
export type { Terminal } from './node/run/progress.js';
export type { Kernels } from './node/run/run_folder.js';
export { openSession } from './node/run/session.js';
