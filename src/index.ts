export { type Blocks, parseConfig, presets, type TrainConfig } from './config.js';
export {
  type Augmentation,
  augment,
  type CentreCrop,
  centreCrop,
  defaultViews,
  imagenetStatistics,
  type Pictures,
} from './data/augment.js';
export { openCifar } from './data/cifar.js';
export { openIdx } from './data/idx.js';
export { Loader, type LoaderOptions } from './data/loader.js';
export { eachPicture, holdOut, type ImageSource, type Picture, subset } from './data/source.js';
export { type EncoderSpec, ImageEncoder, openEncoder } from './encoder.js';
export { type Block, type Encoder, mobilenetV1, mobilenetV1Blocks } from './encoders/mobilenet_v1.js';
export * from './errors.js';
export { collapse } from './eval/collapse.js';
export { knn } from './eval/knn.js';
export { retrieval } from './eval/retrieval.js';
export { readSafetensors, type Safetensors, type SavedTensor, writeSafetensors } from './io/safetensors.js';
export { barlowTwins } from './methods/barlow_twins.js';
export { Network } from './methods/network.js';
export type { Objective, Settings, Views } from './methods/objective.js';
export { sacl } from './methods/sacl.js';
export { saclXd } from './methods/sacl_xd.js';
export { xd } from './methods/xd.js';
export { conv, convNorm, dense, depthwiseConv, norm } from './nn/blocks.js';
export { type Module, type Pass, sequential } from './nn/module.js';
export { projector } from './nn/projector.js';
export { type Activation, activation } from './ops/activation.js';
export { add } from './ops/add.js';
export { batchnorm } from './ops/batchnorm.js';
export { conv2d } from './ops/conv2d.js';
export { crossCorrelation, crossCorrelationLoss, standardize } from './ops/cross_correlation.js';
export { depthwise } from './ops/depthwise.js';
export { linear } from './ops/linear.js';
export { matmul } from './ops/matmul.js';
export { pointwise } from './ops/pointwise.js';
export { averagePool, globalAveragePool, maxPool } from './ops/pool.js';
export { adamw } from './optim/adamw.js';
export { lars } from './optim/lars.js';
export type { Optimizer } from './optim/optimizer.js';
export { learningRate } from './optim/schedule.js';
export { sgd } from './optim/sgd.js';
export { type Channels, type Parameter, Parameters, type Statistic, type Tensors, type Width } from './parameters.js';
export { Device, type DeviceOptions, openDevice } from './runtime/device.js';
export { type Binding, Plan, type PlanOptions, type ProfileEntry, type StepScalars } from './runtime/plan.js';
export { Tape } from './tape.js';
export { contiguous, numel, prefix, reshape, type Tensor, tensor } from './tensor.js';
export { type StepMetrics, Trainer, type TrainerOptions } from './train.js';
