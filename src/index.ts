// Everything that `slimgrad` exports, file by file. Runs in browsers and in Node alike.
export { backbone, type EncoderName, type EncoderSpec, encoderNames } from './config/encoders.js';
export type { Blocks } from './config/kinds.js';
export { type MethodName, methodNames, methods } from './config/methods.js';
export { presets } from './config/presets.js';
export { methodOf, trainerOptionsOf } from './config/run.js';
export { parseConfig, type TrainConfig } from './config/settings.js';
export { ChannelSelection, type SliceMode, sliceModes } from './core/channel_selection.js';
export {
  type Channels,
  type Dim,
  type ModuleState,
  type Parameter,
  parameter,
  type Random,
  type Statistic,
  type Width,
} from './core/parameter.js';
export { type BnMode, bnModes, Parameters, type ParameterView, type Slicing } from './core/parameters.js';
export type { Place } from './core/places.js';
export { generator } from './core/random.js';
export { type Outputs, type RecordOptions, record, type Step } from './core/record.js';
export type { Tensors } from './core/state.js';
export { type Attributes, type Operation, Tape, type TapeOptions } from './core/tape.js';
export { runCost } from './cost/run.js';
export {
  type NetworkCost,
  type TrainingCost,
  type TrainingSpec,
  trainingCost,
} from './cost/training_cost.js';
export { type PublishedWork, type Work, workOf } from './cost/work.js';
export { openCifar } from './data/cifar.js';
export { eachImage, oneImage, subset } from './data/derived.js';
export { openIdx } from './data/idx.js';
export { Loader, type LoaderOptions } from './data/loader.js';
export type { ImageDataLike, ImageLike, ImageSource, Interpolation, RgbaImage, SquareOptions } from './data/source.js';
export { holdOut, stemOf } from './data/split.js';
export { leaveOutTrained, readTrained, type Trained, trainedOn, writeTrained } from './data/trained.js';
export { efficientnetB0 } from './encoders/efficientnet.js';
export {
  type Encoder,
  type EncoderOptions,
  makeDivisible,
  mapChannels,
  pooledEncoder,
  rgb,
  slimOf,
  widthMultiplier,
} from './encoders/encoder.js';
export { type Block, type MobilenetV1Options, mobilenetV1, mobilenetV1Blocks } from './encoders/mobilenet_v1.js';
export { mobilenetV3Large } from './encoders/mobilenet_v3.js';
export { resnet18, resnet20, resnet50, resnet101 } from './encoders/resnet.js';
export * from './errors.js';
export type {
  EpochLog,
  FinetuneResult,
  FitProgress,
  RateTrial,
  SupervisedOptions,
  SupervisedResult,
} from './eval/classifier_training.js';
export { finetune, finetuneDefaults } from './eval/finetune.js';
export type { ClassCounts } from './eval/labels.js';
export { type LinearOptions, linearDefaults, linearEvaluation } from './eval/linear.js';
export { pixelEncoder } from './eval/raw_pixels.js';
export { exportOnnx, type OnnxOptions, type OnnxSource, onnxOpset } from './export/onnx.js';
export {
  type DType,
  readSafetensors,
  type Safetensors,
  type SavedTensor,
  toTensors,
  writeSafetensors,
} from './formats/safetensors.js';
export {
  type EncoderFile,
  type ReadEncoderOptions,
  type RunEncoderFile,
  readEncoder,
  readEncoderOf,
  writeEncoder,
} from './inference/encoder_file.js';
export { featuresOf, type WeightedEncoder } from './inference/features.js';
export { type Classified, ImageClassifier, openClassifier } from './inference/image_classifier.js';
export { ImageEncoder, openEncoder, openTorchvision, type TorchvisionOptions } from './inference/image_encoder.js';
export { barlowTwins } from './methods/barlow_twins.js';
export { type ByolSettings, byol } from './methods/byol.js';
export { type ContrastSettings, contrastDefaults, type HeadSettings, infoNce, unitHead } from './methods/contrast.js';
export {
  type CorrelationSettings,
  type CrossCorrelationOptions,
  type LossSettings,
  minimizeCrossCorrelation,
  type SlicedSettings,
} from './methods/cross_correlation.js';
export { type DiscoSettings, disco } from './methods/disco.js';
export {
  type Method,
  type Networks,
  oneEncoder,
  type StepOutputs,
  type Summary,
  twoEncoders,
  type Views,
} from './methods/method.js';
export { minimize } from './methods/minimize.js';
export { mocoV2 } from './methods/moco_v2.js';
export { type Embedder, type Embedding, embedder, Network } from './methods/network.js';
export { type OssSettings, oss } from './methods/oss.js';
export { type RekdSettings, rekd } from './methods/rekd.js';
export { sacl } from './methods/sacl.js';
export { type Distillation, type SaclXdSettings, saclXd } from './methods/sacl_xd.js';
export { type SeedSettings, seed } from './methods/seed.js';
export type { Default, MethodSetting, MethodSpec, Passes, Role } from './methods/settings.js';
export { sslSmall } from './methods/ssl_small.js';
export { type Teacher, teacherFeatures } from './methods/teacher.js';
export { xd } from './methods/xd.js';
export { type Classification, classification, confusionMatrix } from './metrics/classification.js';
export { type Collapse, collapse } from './metrics/collapse.js';
export { type Correlation, correlation } from './metrics/correlation.js';
export { deviceKnn, type KnnOptions, type KnnResult, knn, type Labeled } from './metrics/knn.js';
export { type Pca, pca } from './metrics/pca.js';
export { type RetrievalResult, retrieval } from './metrics/retrieval.js';
export {
  type BatchNormLayerOptions,
  batchNormLayer,
  type ConvLayerOptions,
  convBatchNorm,
  convLayer,
  depthwiseLayer,
  linearLayer,
} from './nn/blocks.js';
export type { Classifier } from './nn/classifier.js';
export { constant, kaimingNormal, normal, standardNormal, uniformFanIn } from './nn/init.js';
export { type InvertedResidualOptions, invertedResidual } from './nn/inverted_residual.js';
export { l2NormalizeLayer, linearNoBias, type MlpOptions, mlp } from './nn/mlp.js';
export { type Module, type Pass, prefixed, sequential } from './nn/module.js';
export { projector } from './nn/projector.js';
export { type ResidualOptions, residual } from './nn/residual.js';
export { type SqueezeExciteOptions, squeezeExcite } from './nn/squeeze_excite.js';
export { type Activation, activation } from './ops/activation.js';
export { add } from './ops/add.js';
export {
  type Augmentation,
  augment,
  type CenterCrop,
  centerCrop,
  cleanView,
  defaultViews,
  type ImageBatch,
  imagenetStatistics,
  type Normalization,
} from './ops/augment.js';
export { type BatchNormOptions, type BatchNormParameters, batchnorm } from './ops/batchnorm.js';
export { contrastiveLogits } from './ops/contrastive_logits.js';
export { type ConvOptions, conv2d } from './ops/conv2d.js';
export { concat, contiguous, detach, narrow, slice, transpose } from './ops/copy.js';
export {
  crossCorrelation,
  crossCorrelationLoss,
  type LossOptions,
  standardize,
} from './ops/cross_correlation.js';
export { depthwise } from './ops/depthwise.js';
export { div, exp, log, mul, scale, sqrt, square, sub } from './ops/elementwise.js';
export { l2Normalize, l2NormalizeInPlace } from './ops/l2_normalize.js';
export { linear } from './ops/linear.js';
export { type MatmulIntoOptions, type MatmulOptions, matmul, matmulInto } from './ops/matmul.js';
export { nearestNeighborTargets } from './ops/nearest_neighbors.js';
export { pointwise } from './ops/pointwise.js';
export { averagePool, globalAveragePool, type MaxPoolOptions, maxPool, type PoolOptions } from './ops/pool.js';
export { queuePush } from './ops/queue_push.js';
export { mean, type ReduceOptions, sum } from './ops/reduce.js';
export { scaleChannels } from './ops/scale_channels.js';
export { type SinkhornOptions, sinkhorn } from './ops/sinkhorn.js';
export { type CrossEntropyOptions, softmax, softmaxCrossEntropy } from './ops/softmax.js';
export { squaredDistance } from './ops/squared_distance.js';
export type { Standardized, Target, Term } from './ops/terms.js';
export { type AdamWOptions, adamw } from './optim/adamw.js';
export { type Averaged, type EmaOptions, ema } from './optim/ema.js';
export { type LarsOptions, lars } from './optim/lars.js';
export type { Optimizer, OptimizerOptions, Trainable } from './optim/optimizer.js';
export { emaMomentum, learningRate, type Rates, steppedRate } from './optim/schedule.js';
export { type SgdOptions, sgd } from './optim/sgd.js';
export type {
  Clear,
  Command,
  Dispatch,
  DispatchOptions,
  Encoded,
  PlanOptions,
  ProfileEntry,
  Recorded,
} from './runtime/commands.js';
export { Debug } from './runtime/debug.js';
export { describe } from './runtime/describe.js';
export { Device, openDevice } from './runtime/device.js';
export type { DeviceOptions } from './runtime/device_options.js';
export { type Ledger, type LedgerPart, ledgerOf } from './runtime/ledger.js';
export type { Lifetime } from './runtime/memory.js';
export { metaDevice } from './runtime/meta.js';
export { Plan } from './runtime/plan.js';
export { profile } from './runtime/profile.js';
export { type PlanStats, statsOf } from './runtime/stats.js';
export type { StepScalars } from './runtime/step_scalars.js';
export { type Measurement, type Tuned, type TuneOptions, type TuningCache, tune } from './runtime/tuner.js';
export { browserTuningCache, memoryTuningCache } from './runtime/tuning_cache.js';
export type { Variant, VariantChoice } from './runtime/variants.js';
export type { Binding, Integer, Slot } from './tensor/binding.js';
export type { DeviceIntegers, DeviceParameter, DeviceTensor, TensorOptions, Values } from './tensor/device_tensor.js';
export type { Numbers } from './tensor/read_numbers.js';
export {
  denseStrides,
  type IntegerTensor,
  narrowView,
  numel,
  type Precision,
  reshapeView,
  type Selection,
  selectView,
  sliceView,
  type Tensor,
  tensor,
  transient,
} from './tensor/tensor.js';
export type { RunCost } from './train/cost.js';
export { initialState } from './train/initial_state.js';
export type { TrainerOptions } from './train/options.js';
export { type Recalibrated, type RecalibrateOptions, recalibrate } from './train/recalibrate.js';
export type { Schedule } from './train/schedule.js';
export { type StepMetrics, type TrainedEncoder, Trainer } from './train/trainer.js';
