export { type Dataset, type DatasetOptions, openDataset } from './node/datasets.js';
export { type AdapterChoice, type NodeDeviceOptions, openDevice } from './node/device.js';
export { doctor, type Report } from './node/doctor.js';
export { EMOJI_ATTRIBUTION, type EmojiSource, openEmoji } from './node/emoji.js';
export { type LoadedEncoder, loadEncoder } from './node/encoder.js';
export {
  type Contender,
  type Embedder,
  type EvaluateOptions,
  evaluate,
  evaluationText,
  pixelContender,
} from './node/evaluate.js';
export { type ImageFolder, type ImageFolderOptions, openImageFolder } from './node/image_folder.js';
export { Interrupted, type OpenSession, type PretrainResult, pretrain, type Session } from './node/pretrain.js';
export type { Screen } from './node/progress.js';
export type { Evaluation, Score } from './node/report.js';
export { openSession } from './node/session.js';
