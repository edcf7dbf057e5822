// All of slimgrad with what needs Node beside it, so that a program has one line to import; `openDevice` is Node's own here.
export * from './index.js';
export { type Dataset, type DatasetOptions, openDataset } from './node/data/datasets.js';
export { EMOJI_ATTRIBUTION, type EmojiSource, openEmoji } from './node/data/emoji.js';
export { type ImageFolder, type ImageFolderOptions, openImageFolder } from './node/data/image_folder.js';
export { type AdapterChoice, type NodeDeviceOptions, openDevice } from './node/device.js';
export { doctor, type Report } from './node/doctor.js';
export {
  type Contender,
  type EvaluateOptions,
  evaluate,
  type PictureEmbedder,
  pixelContender,
} from './node/evaluate.js';
export type { MapMethod } from './node/feature_map.js';
export {
  type LoadedClassifier,
  type LoadedEncoder,
  type LoadOptions,
  loadClassifier,
  loadEncoder,
  loadTorchvision,
} from './node/load_encoder.js';
export {
  Interrupted,
  type OpenSession,
  type PretrainResult,
  pretrain,
  type Session,
  type SessionTrainer,
} from './node/pretrain.js';
export type { Screen } from './node/progress.js';
export type { Kernels } from './node/run_folder.js';
export { type Confusion, type Evaluation, evaluationText, type FeatureMap, type Score } from './node/scores.js';
export { openSession } from './node/session.js';
