export { type Dataset, openDataset } from './node/datasets.js';
export { type AdapterChoice, type NodeDeviceOptions, openDevice } from './node/device.js';
export { doctor, type Report } from './node/doctor.js';
export { EMOJI_ATTRIBUTION, openEmoji } from './node/emoji.js';
export { loadEncoder } from './node/encoder.js';
export { evaluate, evaluationText } from './node/evaluate.js';
export { openImageFolder } from './node/image_folder.js';
export { pretrain } from './node/pretrain.js';
export { openSession } from './node/session.js';
