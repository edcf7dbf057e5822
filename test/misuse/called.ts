// What is called with devices, plans, tapes, tensors, encoders, modules and files: right arguments by name, any of which may be put
// wrong. All of it needs no GPU but where it says so.

import { Parameters, parameter } from '../../src/core/parameters.js';
import { record } from '../../src/core/record.js';
import { Tape } from '../../src/core/tape.js';
import { Loader } from '../../src/data/loader.js';
import type { ImageSource } from '../../src/data/source.js';
import { pooledEncoder, slimOf } from '../../src/encoders/encoder.js';
import { exportOnnx } from '../../src/export/onnx.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { readEncoder, writeEncoder } from '../../src/inference/encoder_file.js';
import { featuresOf } from '../../src/inference/features.js';
import { ImageClassifier, openClassifier } from '../../src/inference/image_classifier.js';
import { ImageEncoder, openEncoder, openTorchvision } from '../../src/inference/image_encoder.js';
import { unitHead } from '../../src/methods/contrast.js';
import { oneEncoder, twoEncoders } from '../../src/methods/method.js';
import { minimize } from '../../src/methods/minimize.js';
import { mocoV2 } from '../../src/methods/moco_v2.js';
import { embedder, Network } from '../../src/methods/network.js';
import { oss } from '../../src/methods/oss.js';
import { rekd } from '../../src/methods/rekd.js';
import { saclXd } from '../../src/methods/sacl_xd.js';
import { batchNormLayer, convBatchNorm, convLayer, depthwiseLayer, linearLayer } from '../../src/nn/blocks.js';
import { mlp } from '../../src/nn/mlp.js';
import { prefixed, sequential } from '../../src/nn/module.js';
import { projector } from '../../src/nn/projector.js';
import { residual } from '../../src/nn/residual.js';
import { squeezeExcite } from '../../src/nn/squeeze_excite.js';
import { activation } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { augment, defaultViews } from '../../src/ops/augment.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { contrastiveLogits } from '../../src/ops/contrastive_logits.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { concat, contiguous, detach, narrow, slice, transpose } from '../../src/ops/copy.js';
import { crossCorrelation, crossCorrelationLoss, standardize } from '../../src/ops/cross_correlation.js';
import { depthwise } from '../../src/ops/depthwise.js';
import { div, exp, log, mul, scale, sqrt, square, sub } from '../../src/ops/elementwise.js';
import { l2Normalize, l2NormalizeInPlace } from '../../src/ops/l2_normalize.js';
import { linear } from '../../src/ops/linear.js';
import { matmul, matmulInto } from '../../src/ops/matmul.js';
import { nearestNeighborTargets } from '../../src/ops/nearest_neighbors.js';
import { pointwise } from '../../src/ops/pointwise.js';
import { averagePool, globalAveragePool, maxPool } from '../../src/ops/pool.js';
import { queuePush } from '../../src/ops/queue_push.js';
import { mean, sum } from '../../src/ops/reduce.js';
import { scaleChannels } from '../../src/ops/scale_channels.js';
import { sinkhorn } from '../../src/ops/sinkhorn.js';
import { softmax, softmaxCrossEntropy } from '../../src/ops/softmax.js';
import { squaredDistance } from '../../src/ops/squared_distance.js';
import { adamw } from '../../src/optim/adamw.js';
import { ema } from '../../src/optim/ema.js';
import { lars } from '../../src/optim/lars.js';
import { sgd } from '../../src/optim/sgd.js';
import { metaDevice } from '../../src/runtime/meta.js';
import { Plan } from '../../src/runtime/plan.js';
import { tune } from '../../src/runtime/tuner.js';
import { narrowView, reshapeView, selectView, sliceView, type Tensor, transient } from '../../src/tensor/tensor.js';
import { Trainer } from '../../src/train/trainer.js';
import { channels } from './door.js';
import { file, host, state, tiny } from './learned.js';

// biome-ignore lint/suspicious/noExplicitAny: a program without types gives anything
type Given = any;

export interface Call {
  /** What its messages begin with. */
  readonly where: RegExp;
  /** The right arguments; those called `device`, `plan`, `tape` and all that `tensors` names are of these kinds. */
  readonly given: Readonly<Record<string, unknown>>;
  readonly call: (given: Given) => unknown;
}

export const device = metaDevice();
export const plan = new Plan(device);
export const tape = new Tape(plan);
export const x = (...shape: readonly number[]): Tensor => transient(plan, 'x', shape);

const [map, rows] = [x(2, 4, 6, 6), x(4, 6)];
const kernel = x(4, 4, 3, 3);
const [gamma, beta, runningMean, runningVar] = [x(4), x(4), x(4), x(4)];

const ofOne = (name: string, op: (tape: Tape, x: Tensor) => unknown, given = rows): [string, Call] => [
  name,
  { where: new RegExp(`^${name}: `), given: { tape, x: given }, call: ({ tape, x }) => op(tape, x) },
];
const ofTwo = (name: string, op: (tape: Tape, a: Tensor, b: Tensor) => unknown): [string, Call] => [
  name,
  { where: new RegExp(`^${name}: `), given: { tape, a: rows, b: rows }, call: ({ tape, a, b }) => op(tape, a, b) },
];
const call = (where: string, given: Call['given'], called: Call['call']): Call => ({
  where: new RegExp(`^${where}: `),
  given,
  call: called,
});

/** Ops, and what makes views: devices, plans, tapes and tensors are all that they are given. */
export const ops: Readonly<Record<string, Call>> = {
  ...Object.fromEntries([
    ...Object.entries({ exp, log, sqrt, square, sum, mean, l2Normalize, transpose, detach, contiguous }).map(
      ([name, op]) => ofOne(name, op),
    ),
    ...Object.entries({ add, sub, mul, div }).map(([name, op]) => ofTwo(name, op)),
    ofOne('scale', (tape, x) => scale(tape, x, 2)),
    ofOne('narrow', (tape, x) => narrow(tape, x, 0, 1, 2)),
    ofOne('slice', (tape, x) => slice(tape, x, [2, 2])),
    ofOne('activation', (tape, x) => activation(tape, x, 'relu')),
    ofOne('globalAveragePool', globalAveragePool, map),
    ofOne('averagePool', (tape, x) => averagePool(tape, x, { kernelSize: 2 }), map),
    ofOne('maxPool', (tape, x) => maxPool(tape, x, { kernelSize: 2 }), map),
  ]),
  conv2d: call('conv2d', { tape, x: map, weight: kernel }, (g) => conv2d(g.tape, g.x, g.weight)),
  depthwise: call('depthwise', { tape, x: map, weight: x(4, 1, 3, 3) }, (g) => depthwise(g.tape, g.x, g.weight)),
  pointwise: call('pointwise', { tape, x: map, weight: x(5, 4) }, (g) => pointwise(g.tape, g.x, g.weight)),
  scaleChannels: call('scaleChannels', { tape, x: map, scale: x(2, 4) }, (g) => scaleChannels(g.tape, g.x, g.scale)),
  linear: call('linear', { tape, x: rows, weight: x(5, 6), bias: x(5) }, (g) => linear(g.tape, g.x, g.weight, g.bias)),
  matmul: call('matmul', { tape, a: rows, b: x(6, 5) }, (g) => matmul(g.tape, g.a, g.b)),
  matmulInto: call('matmul', { plan, a: rows, b: x(6, 5), out: x(4, 5) }, ({ plan, ...rest }) =>
    matmulInto(plan, rest),
  ),
  batchnorm: call('batchnorm', { tape, x: map, gamma, beta, runningMean, runningVar }, ({ tape, x, ...parameters }) =>
    batchnorm(tape, x, parameters),
  ),
  concat: call('concat', { tape, 'tensor 0': rows, 'tensor 1': rows }, (g) =>
    concat(g.tape, [g['tensor 0'], g['tensor 1']]),
  ),
  contrastiveLogits: call('contrastiveLogits', { tape, q: rows, own: rows, queue: x(7, 6) }, (g) =>
    contrastiveLogits(g.tape, g.q, g.own, g.queue),
  ),
  squaredDistance: call('squaredDistance', { tape, a: rows, target: rows }, (g) =>
    squaredDistance(g.tape, g.a, g.target),
  ),
  softmaxCrossEntropy: call('softmaxCrossEntropy', { tape, logits: rows, targets: rows }, (g) =>
    softmaxCrossEntropy(g.tape, g.logits, g.targets),
  ),
  softmax: call('softmax', { tape, logits: rows }, (g) => softmax(g.tape, g.logits)),
  sinkhorn: call('sinkhorn', { plan, scores: rows }, (g) => sinkhorn(g.plan, g.scores)),
  nearestNeighborTargets: call('nearestNeighborTargets', { plan, similarities: rows }, (g) =>
    nearestNeighborTargets(g.plan, g.similarities, { count: 2 }),
  ),
  l2NormalizeInPlace: call('l2NormalizeInPlace', { plan, rows }, (g) => l2NormalizeInPlace(g.plan, g.rows)),
  queuePush: call('queuePush', { plan, queue: x(7, 6), rows }, (g) => queuePush(g.plan, g.queue, g.rows)),
  standardize: call('standardize', { plan, z: rows }, (g) => standardize(g.plan, g.z)),
  crossCorrelation: call('crossCorrelation', { tape, za: rows, zb: rows }, (g) => crossCorrelation(g.tape, g.za, g.zb)),
  crossCorrelationLoss: call(
    'crossCorrelationLoss',
    { plan, 'u.a': rows, 'v.a': rows, metrics: x(1, 4) },
    ({ plan, metrics, ...z }) => {
      const [u, v] = [z['u.a'], z['v.a']].map((a) => ({ a, r: x(6) }));
      crossCorrelationLoss(plan, [{ u, v }], [], metrics);
    },
  ),
  'tape.requireGrad': call('requireGrad', { x: rows }, (g) => tape.requireGrad(g.x)),
  'tape.backward': call('backward', { output: rows }, (g) => tape.backward(g.output)),
  'tape.gradient': call('gradient', { x: rows }, (g) => tape.gradient(g.x)),
  'tape.reshape': call('reshape', { x: rows }, (g) => tape.reshape(g.x, [8, 3])),
  'tape.record': call('mine', { input: rows, output: x(4) }, (g) => tape.record('mine', [g.input], g.output)),
  reshapeView: call('reshapeView', { x: rows }, (g) => reshapeView(g.x, [8, 3])),
  sliceView: call('sliceView', { x: rows }, (g) => sliceView(g.x, [2, 2])),
  selectView: call('selectView', { x: rows }, (g) => selectView(g.x, [2, 2], {})),
  narrowView: call('narrowView', { x: rows }, (g) => narrowView(g.x, 1, 2)),
  transient: call('y', { plan }, (g) => transient(g.plan, 'y', [2])),
  Plan: call('plan', { device }, (g) => new Plan(g.device)),
  Tape: call('tape', { plan }, (g) => new Tape(g.plan)),
  minimize: call('minimize', { tape, loss: tape.requireGrad(x(1)) }, (g) =>
    minimize(g.tape, { loss: g.loss }, { embeddings: { zA: rows, zB: rows } }),
  ),
  'encoder.forward': call('encoder', { tape, x: x(2, 3, 8, 8) }, ({ tape, x }) => {
    const parameters = new Parameters(device, tiny.parameters, tiny.statistics, { bn: 'shared' });
    const pass = { tape, parameters, width: 'host', training: true, updateStats: false } as const;
    return tiny.forward(pass, x);
  }),
};

const parameters = new Parameters(device, [parameter('w', [4, 4], () => 1)], []);
const bytes = writeEncoder(file);
const none: ImageSource = {
  name: 'none',
  length: 0,
  images: 1,
  load: async () => ({ width: 1, height: 1, pixels: new Uint8Array(4) }),
};
const method = mocoV2(tiny);
const owned = { parameters: tiny.parameters, statistics: tiny.statistics };
const weighted = { backbone: tiny, parameters, imageSize: 8 };
const batch = { batch: 1, maxSide: 8, bindings: { pixels: x(16), table: x(16), batch: x(16) } };
/** A plan of its own in place of the one that all share: its optimizer gives the rate. */
const fresh = (given: unknown): Given => (given === plan ? new Plan(device) : given);
const layer = { classes: ['a'], state: new Map() };

/** What takes a device, a plan, modules, encoders or files. */
export const others: Readonly<Record<string, Call>> = {
  saclXd: call('saclXd', { encoder: host }, (g) => saclXd(g.encoder)),
  mocoV2: call('mocoV2', { encoder: tiny }, (g) => mocoV2(g.encoder)),
  rekd: call('rekd(: wide)?', { encoder: tiny, wide: host }, (g) => rekd(g.encoder, g.wide)),
  oss: call('oss(: wide)?', { encoder: tiny, wide: host }, (g) => oss(g.encoder, g.wide)),
  oneEncoder: call('oneEncoder', { encoder: tiny, head: tiny }, (g) => oneEncoder(g.encoder, g.head)),
  twoEncoders: call('twoEncoders(: wide)?', { encoder: tiny, wide: host }, (g) => twoEncoders(g.encoder, g.wide)),
  embedder: call('embedder', { encoder: tiny, head: tiny }, (g) => embedder(g.encoder, g.head)),
  unitHead: call('head', { encoder: tiny }, (g) => unitHead('head', g.encoder, { hidden: 4, output: 4 })),
  Network: call('network', { device, method }, (g) => new Network(g.device, g.method)),
  slimOf: call('slimOf', { encoder: host }, (g) => slimOf(g.encoder)),
  pooledEncoder: call('pooledEncoder', { body: tiny, features: channels, stride: 2 }, (g) =>
    pooledEncoder(g.body, g.features, g.stride),
  ),
  conv: call('c(\\.weight)?', { input: channels, output: channels }, (g) => convLayer('c', g.input, g.output)),
  depthwiseLayer: call('c(\\.weight)?', { channels }, (g) => depthwiseLayer('c', g.channels)),
  norm: call('n(\\.weight)?', { channels }, (g) => batchNormLayer('n', g.channels)),
  convBatchNorm: call('(sequential|n(\\.weight)?)', { conv: tiny, channels }, (g) =>
    convBatchNorm(g.conv, 'n', g.channels),
  ),
  dense: call('d(\\.weight)?', { input: channels, output: channels }, (g) => linearLayer('d', g.input, g.output)),
  mlp: call('m\\.0(\\.weight)?', { features: channels }, (g) => mlp('m', g.features, { hidden: 4, output: 4 })),
  projector: call('projector\\.\\d(\\.weight)?', { features: channels, units: 8 }, (g) =>
    projector(g.features, g.units),
  ),
  squeezeExcite: call('s(\\.fc.)?(\\.weight)?', { channels, squeezed: channels }, (g) =>
    squeezeExcite('s', g.channels, g.squeezed, { activation: 'relu', gate: 'sigmoid' }),
  ),
  residual: call('residual', { body: tiny }, (g) => residual(g.body)),
  sequential: call('sequential', { first: tiny, second: tiny }, (g) => sequential(g.first, g.second)),
  scoped: call('scope', { module: tiny }, (g) => prefixed('scope', g.module)),
  parameter: call('w', { sides: [4, 4], init: () => 1 }, (g) => parameter('w', g.sides, g.init)),
  Parameters: call('parameters', { device, parameters: tiny.parameters, statistics: tiny.statistics }, (g) =>
    new Parameters(g.device, g.parameters, g.statistics).dispose(),
  ),
  'parameters.initialize': call('parameters', { random: Math.random }, (g) => parameters.initialize(g.random)),
  'parameters.load': call('parameters', { tensors: new Map() }, (g) => parameters.load(g.tensors)),
  'parameters.state': call('parameters(: width)?', { owned, width: 'host' }, (g) => parameters.state(g.owned, g.width)),
  'parameters.loadState': call(
    '(parameters(: width)?|state of the host encoder)',
    { owned, width: 'host', state },
    (g) => parameters.loadState(g.owned, g.width, g.state),
  ),
  sgd: call('sgd', { plan, parameters }, (g) => sgd(fresh(g.plan), g.parameters, { lr: 1 })),
  lars: call('lars', { plan, parameters }, (g) => lars(fresh(g.plan), g.parameters, { lr: 1 })),
  adamw: call('adamw', { plan, parameters }, (g) => adamw(fresh(g.plan), g.parameters, { lr: 1 })),
  ema: call('ema', { plan, target: parameters, source: parameters }, (g) => ema(g.plan, g.target, g.source)),
  record: call('record', { device, record: () => undefined }, (g) => record(g.device, g.record)),
  'record, outputs': call('(record|step)', { output: rows }, (g) => record(device, () => ({ y: g.output }))),
  tune: call('tune', { plan }, (g) => tune(g.plan)),
  augment: call('augment(\\.\\w+)?', { plan, images: batch }, (g) => augment(g.plan, g.images, 0, defaultViews(8)[0])),
  'Loader.open': call('.*', { device, source: none }, (g) => Loader.open(g.device, g.source, { batch: 1 })),
  'Trainer.open': call('.*', { device, method, source: none }, (g) => Trainer.open(g.device, g.method, g.source)),
  featuresOf: call('.*', { device, encoder: weighted, source: none }, (g) => featuresOf(g.device, g.encoder, g.source)),
  ImageEncoder: call('ImageEncoder', { device, file }, (g) => new ImageEncoder(g.device, g.file)),
  'ImageEncoder, state': call('ImageEncoder', { state }, (g) => new ImageEncoder(device, { ...file, state: g.state })),
  ImageClassifier: call(
    'ImageClassifier',
    { device, encoder: new ImageEncoder(device, file), layer },
    (g) => new ImageClassifier(g.device, g.encoder, g.layer),
  ),
  openEncoder: call('(ImageEncoder|encoder)', { device, bytes }, (g) =>
    openEncoder(g.device, g.bytes, { encoder: tiny }),
  ),
  openClassifier: call('classifier', { bytes }, (g) => openClassifier(device, g.bytes, { encoder: tiny })),
  openTorchvision: call('encoder', { bytes }, (g) => openTorchvision(device, g.bytes, { encoder: 'resnet18' })),
  readEncoder: call('encoder', { bytes }, (g) => readEncoder(g.bytes, { encoder: tiny })),
  readSafetensors: call('f', { bytes }, (g) => readSafetensors(g.bytes, 'f')),
  writeEncoder: call('writeEncoder', { file }, (g) => writeEncoder(g.file)),
  'writeEncoder, parts': call('writeEncoder', { state, metadata: {}, classifier: layer }, (g) =>
    writeEncoder({ ...file, ...g }),
  ),
  exportOnnx: call('exportOnnx', { source: file }, (g) => exportOnnx(g.source)),
  'exportOnnx, state': call('exportOnnx', { state }, (g) => exportOnnx({ ...file, state: g.state })),
};
