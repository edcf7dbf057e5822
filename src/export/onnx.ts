// An encoder as an ONNX model: each op of the graph in ONNX's operators.
import { expectOptions, type Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import type { Tensors } from '../core/state.js';
import { checkEncoder, type Encoder } from '../encoders/encoder.js';
import { ConfigError, DataError, ValidationError } from '../errors.js';
import { checkState } from '../formats/checkpoint.js';
import { Message } from '../formats/protobuf.js';
import { checkBackbone } from '../inference/torchvision.js';
import { classifier, classifierShapes } from '../nn/classifier.js';
import type { Module } from '../nn/module.js';
import { imagenetStatistics } from '../ops/augment.js';
import { shortest } from '../ops/l2_normalize.js';
import { foldBatchnorm, type Graph, type Node, traceEncoder, unused, type Value } from './graph.js';

/** The version of ONNX's operators that files are written in: the first with HardSwish. Runtimes since 2021 know it. */
export const onnxOpset = 14;
const irVersion = 7; // of the format itself, as it was with that opset
const largest = 2 ** 31 - 1; // bytes that a protocol buffer may have

/** What can be exported: an encoder of one width with its tensors. What `readEncoder()` gives is one. */
export interface OnnxSource {
  /** Of a two-wide network the host: a slim encoder stands by itself (`slimOf`). */
  readonly encoder: Encoder;
  /** Its tensors, as `Trainer.encoderState()` or `readEncoder()` give them. */
  readonly state: Tensors;
  /** Side S of the images that the file will be fed. */
  readonly imageSize: number;
  /** A layer behind the encoder, (K, F): the file then also gives `logits` (batch, K). */
  readonly classifier?: { readonly state: Tensors };
  /** Stored in the file's metadata, in addition to `image_size`, `mean` and `std`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface OnnxOptions {
  /** In place of the source's. */
  imageSize?: number;
  /** Take every batchnorm into the weights of the layer before it. */
  fold?: boolean;
  /** In place of the source's. */
  classifier?: Tensors;
  /** In place of the source's. */
  metadata?: Readonly<Record<string, string>>;
}

const onnxOptions: Kinds<OnnxOptions> = {
  imageSize: 'number',
  fold: 'boolean',
  classifier: 'object',
  metadata: 'object',
};

/**
 * An encoder as an ONNX file: input `image` (batch, 3, S, S), output `features` (batch, F), f32, any batch; with a classifier
 * also `logits` (batch, K). Images are RGB from 0 to 1, less ImageNet's mean, over its standard deviation: both are in the
 * file's metadata.
 *
 * The graph is what the encoder's own forward records for images of that side, so any encoder of ops that ONNX knows can be
 * exported. It needs no GPU.
 *
 * @throws DataError where the tensors are not the encoder's, or not a classifier's of its features; ConfigError where S is
 * below the encoder's stride; ValidationError, by the op's name, where the forward uses an op without a counterpart in ONNX, a
 * tensor that no op made, or settings that depend on the batch
 */
export function exportOnnx(source: OnnxSource, options: OnnxOptions = {}): Uint8Array<ArrayBuffer> {
  const { encoder, state } = Object(source) as OnnxSource;
  expectOptions('exportOnnx', options, onnxOptions);
  checkEncoder('exportOnnx', encoder);
  const { imageSize = source.imageSize, fold = false, metadata = source.metadata ?? {} } = options;
  const layer = options.classifier ?? source.classifier?.state;
  if (!(Number.isInteger(imageSize) && imageSize >= encoder.stride))
    throw new ConfigError(
      `exportOnnx: expected a whole imageSize of at least the encoder's stride, ${encoder.stride}, got ${imageSize}`,
    );
  const texts = Object.values(Object(metadata));
  if (Object(metadata) !== metadata || texts.some((value) => typeof value !== 'string'))
    throw new ConfigError(`exportOnnx: expected metadata of texts by their names, got ${textOf(metadata)}`);
  checkBackbone(encoder, state, 'exportOnnx');
  const head = layer && headOf(layer, encoder.features.host);
  const traced = traceEncoder(encoder, new Map([...state, ...(layer ?? [])]), imageSize, head);
  const graph = fold ? foldBatchnorm(traced) : traced;
  const { mean, std } = imagenetStatistics;
  const about = { ...metadata, image_size: String(imageSize), mean: mean.join(' '), std: std.join(' ') };

  const model = new Message()
    .int(1, irVersion)
    .text(2, 'slimgrad')
    .text(6, `image: RGB from 0 to 1, less ${mean.join(', ')}, over ${std.join(', ')}. features: one row an image.`)
    .message(7, graphMessage(graph, imageSize))
    .message(8, new Message().text(1, '').int(2, onnxOpset));
  for (const [key, value] of Object.entries(about)) model.message(14, new Message().text(1, key).text(2, value));
  if (model.length > largest)
    throw new DataError(
      `exportOnnx: the file would have ${model.length} bytes, over the ${largest} that ONNX can hold; export it as safetensors`,
    );
  return model.finish();
}

function headOf(layer: Tensors, features: number): Module {
  if (!((layer as unknown) instanceof Map))
    throw new DataError(`exportOnnx: expected the classifier's tensors by name, a Map, got ${textOf(layer)}`);
  const classes = layer.get('classifier.bias')?.shape[0] ?? 0;
  checkState(layer, classifierShapes(features, classes), 'exportOnnx');
  return classifier(features, classes);
}

function graphMessage({ nodes, input, outputs, parameters }: Graph, imageSize: number): Message {
  const writer = new Writer(nodes, input, outputs, parameters);
  for (const node of nodes) {
    const convert = converters[node.op];
    if (!convert) throw new ValidationError(`exportOnnx: there is no ONNX for the op "${node.op}"`);
    convert(writer, node);
  }
  const graph = new Message();
  for (const node of writer.nodes) graph.message(1, node);
  graph.text(2, 'encoder');
  for (const tensor of writer.tensors.values()) graph.message(5, tensor);
  graph.message(11, valueMessage('image', [...input.shape.slice(1, 2), imageSize, imageSize]));
  for (const [name, { shape }] of outputs) graph.message(12, valueMessage(name, shape.slice(1)));
  return graph;
}

function tensorMessage(name: string, shape: readonly number[], data: Float32Array | BigInt64Array): Message {
  const message = new Message();
  for (const side of shape) message.int(1, side);
  const type = data instanceof Float32Array ? 1 : 7; // f32 or int64
  return message
    .int(2, type)
    .text(8, name)
    .bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

/** A value of f32 whose first side is the batch. */
function valueMessage(name: string, sides: readonly number[]): Message {
  const shape = new Message().message(1, new Message().text(2, 'batch'));
  for (const side of sides) shape.message(1, new Message().int(1, side));
  return new Message().text(1, name).message(2, new Message().message(1, new Message().int(1, 1).message(2, shape)));
}

/** An attribute of a node: a float, an integer, or some integers. */
type Attribute = { readonly float: number } | { readonly int: number } | { readonly ints: readonly number[] };

/** Collects the nodes of a file and the tensors that they read, and gives values their names. */
class Writer {
  readonly nodes: Message[] = [];
  readonly tensors = new Map<string, Message>();
  readonly #parameters: Tensors;
  readonly #names = new Map<Value, string>();
  readonly #taken = new Set(['image', 'features', 'logits']);
  /** Names of tensors by what they are: a parameter of this shape, or numbers. */
  readonly #constants = new Map<string, string>();

  constructor(nodes: readonly Node[], input: Value, outputs: Graph['outputs'], parameters: Tensors) {
    this.#parameters = parameters;
    this.#names.set(input, 'image');
    const own = new Map(Array.from(outputs, ([name, value]) => [value, name]));
    const names = new Set(parameters.keys());
    // layers with parameters are named after them, others after their op
    for (const node of nodes) {
      const { label = node.op } = node.inputs.find((value) => !this.#names.has(value)) ?? {};
      const name = label.replace(/\.[^.]*$/, '');
      this.#names.set(node.output, own.get(node.output) ?? this.unused(names.has(name) ? node.op : name));
    }
  }

  /** The name of an activation, or of a parameter, which then becomes a tensor of the file. */
  name(value: Value, shape: readonly number[] = value.shape): string {
    return this.#names.get(value) ?? this.constant(value.label, shape, this.#parameters.get(value.label)!.data);
  }

  /** Appends a node; what it makes is called `output`, and so is it. */
  emit(type: string, inputs: readonly string[], output: string, attributes: Readonly<Record<string, Attribute>> = {}) {
    const node = new Message();
    for (const input of inputs) node.text(1, input);
    node.text(2, output).text(3, output).text(4, type);
    for (const [name, attribute] of Object.entries(attributes)) node.message(5, attributeMessage(name, attribute));
    this.nodes.push(node);
    return output;
  }

  /** A constant tensor, of this name where nothing else has it; equal names and shapes are one. */
  constant(name: string, shape: readonly number[], values: Float32Array | BigInt64Array): string {
    const key = `${name} (${shape})`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const own = this.unused(name);
    this.#constants.set(key, own);
    this.tensors.set(own, tensorMessage(own, shape, values));
    return own;
  }

  /** This name, or it with a number, that nothing in the file has yet. */
  unused(name: string): string {
    const found = unused(name, this.#taken);
    this.#taken.add(found);
    return found;
  }
}

function attributeMessage(name: string, attribute: Attribute): Message {
  const message = new Message().text(1, name);
  if ('float' in attribute) return message.float(2, attribute.float).int(20, 1);
  if ('int' in attribute) return message.int(3, attribute.int).int(20, 2);
  for (const value of attribute.ints) message.int(8, value);
  return message.int(20, 7);
}

type Converter = (writer: Writer, node: Node) => void;

/** Each op in ONNX's words (https://onnx.ai/onnx/operators). */
const converters: Readonly<Record<string, Converter>> = {
  conv2d: convolution,
  pointwise: convolution,
  depthwise: convolution,
  linear: (writer, { inputs, output }) =>
    writer.emit('Gemm', named(writer, inputs), writer.name(output), { transB: { int: 1 } }),
  batchnorm(writer, { inputs, output, attributes: { activation, eps } }) {
    const name = writer.name(output);
    const epsilon = { epsilon: { float: Number(eps) } };
    if (activation === 'none') writer.emit('BatchNormalization', named(writer, inputs), name, epsilon);
    else
      activate(
        writer,
        activation,
        writer.emit('BatchNormalization', named(writer, inputs), writer.unused(`${name}.norm`), epsilon),
        name,
      );
  },
  ...Object.fromEntries(
    ['relu', 'relu6', 'hardswish', 'hardsigmoid', 'silu', 'sigmoid'].map((name): [string, Converter] => [
      name,
      (writer, { inputs: [x], output }) => activate(writer, name, writer.name(x), writer.name(output)),
    ]),
  ),
  add: plainly('Add'),
  sub: plainly('Sub'),
  mul: plainly('Mul'),
  div: plainly('Div'),
  exp: plainly('Exp'),
  log: plainly('Log'),
  sqrt: plainly('Sqrt'),
  detach: plainly('Identity'),
  contiguous: plainly('Identity'),
  square: (writer, { inputs: [x], output }) =>
    writer.emit('Mul', [writer.name(x), writer.name(x)], writer.name(output)),
  scale(writer, { inputs: [x], output, attributes: { factor, shift } }) {
    const name = writer.name(output);
    const scaled = writer.emit(
      'Mul',
      [writer.name(x), scalar(writer, Number(factor))],
      writer.unused(`${name}.scaled`),
    );
    writer.emit('Add', [scaled, scalar(writer, Number(shift))], name);
  },
  reciprocal: (writer, { inputs: [x], output, attributes: { factor } }) =>
    writer.emit('Div', [scalar(writer, Number(factor)), writer.name(x)], writer.name(output)),
  sum: reduction,
  mean: reduction,
  concat: (writer, { inputs, output, attributes: { dim } }) =>
    writer.emit('Concat', named(writer, inputs), writer.name(output), { axis: { int: Number(dim) } }),
  narrow(writer, { inputs: [x], output, attributes: { dim, start, length } }) {
    const range = [start, Number(start) + Number(length), dim].map((value) => integers(writer, [Number(value)]));
    writer.emit('Slice', [writer.name(x), ...range], writer.name(output));
  },
  reshape: (writer, { inputs: [x], output, attributes: { shape } }) =>
    writer.emit(
      'Reshape',
      [writer.name(x), integers(writer, String(shape).split(' ').map(Number))],
      writer.name(output),
    ),
  l2Normalize(writer, { inputs: [x], output }) {
    const name = writer.name(output);
    const norm = { axes: { ints: [1] }, keepdims: { int: 1 } };
    const length = writer.emit('ReduceL2', [writer.name(x)], writer.unused(`${name}.length`), norm);
    const least = writer.emit('Max', [length, scalar(writer, shortest)], writer.unused(`${name}.least`));
    writer.emit('Div', [writer.name(x), least], name);
  },
  transpose: (writer, { inputs: [x], output }) => turned(writer, writer.name(x), writer.name(output)),
  matmul(writer, { inputs, output, attributes: { transposeA, transposeB } }) {
    const name = writer.name(output);
    const [a, b] = named(writer, inputs);
    const left = transposeA ? turned(writer, a, writer.unused(`${name}.a`)) : a;
    writer.emit('MatMul', [left, transposeB ? turned(writer, b, writer.unused(`${name}.b`)) : b], name);
  },
  globalAveragePool(writer, { inputs, output }) {
    const name = writer.name(output);
    const mean = writer.emit('GlobalAveragePool', named(writer, inputs), writer.unused(`${name}.mean`)); // (N, C, 1, 1)
    writer.emit('Flatten', [mean], name);
  },
  averagePool: (writer, node) => pool('AveragePool', writer, node),
  maxPool: (writer, node) => pool('MaxPool', writer, node),
  scaleChannels(writer, { inputs: [x, scale], output }) {
    const name = writer.name(output);
    const axes = writer.constant('spatial_axes', [2], BigInt64Array.of(2n, 3n));
    const planes = writer.emit('Unsqueeze', [writer.name(scale), axes], writer.unused(`${name}.scale`)); // (N, C, 1, 1)
    writer.emit('Mul', [writer.name(x), planes], name);
  },
};

/** An op that ONNX has as it is, without attributes. */
function plainly(type: string): Converter {
  return (writer, { inputs, output }) => writer.emit(type, named(writer, inputs), writer.name(output));
}

const scalar = (writer: Writer, value: number) => writer.constant(`scalar_${value}`, [], Float32Array.of(value));
const integers = (writer: Writer, values: readonly number[]) =>
  writer.constant(`integers_${values.join('_')}`, [values.length], BigInt64Array.from(values, BigInt));
const turned = (writer: Writer, x: string, name: string) =>
  writer.emit('Transpose', [x], name, { perm: { ints: [1, 0] } });

/** ReduceSum takes its axes as an input, ReduceMean as an attribute. A scalar has shape (1) here and () in ONNX. */
function reduction(writer: Writer, { op, inputs: [x], output, attributes: { dim, keepdim } }: Node): void {
  const name = writer.name(output);
  const axes = dim === undefined ? [...x.shape.keys()] : [Number(dim)];
  const alone = !keepdim && axes.length === x.shape.length;
  const result = alone ? writer.unused(`${name}.number`) : name;
  const keepdims = { int: keepdim ? 1 : 0 };
  if (op === 'sum') writer.emit('ReduceSum', [writer.name(x), integers(writer, axes)], result, { keepdims });
  else writer.emit('ReduceMean', [writer.name(x)], result, { axes: { ints: axes }, keepdims });
  if (alone) writer.emit('Reshape', [result, integers(writer, [1])], name);
}

const named = (writer: Writer, values: readonly Value[]) => values.map((value) => writer.name(value));
const square = (side: unknown) => ({ ints: [Number(side), Number(side)] });
const around = (padding: unknown) => ({ ints: Array<number>(4).fill(Number(padding)) });

function convolution(writer: Writer, { op, inputs, output, attributes }: Node): void {
  const { stride = 1, padding = 0 } = attributes;
  const [x, weight, ...bias] = inputs;
  const [O, I, K = 1] = weight.shape; // a pointwise one may be a matrix
  const read = [writer.name(x), writer.name(weight, [O, I, K, K]), ...named(writer, bias)];
  writer.emit('Conv', read, writer.name(output), {
    kernel_shape: square(K),
    strides: square(stride),
    pads: around(padding),
    group: { int: op === 'depthwise' ? O : 1 },
  });
}

function pool(type: string, writer: Writer, { inputs, output, attributes }: Node): void {
  const { kernelSize, stride, padding = 0 } = attributes;
  writer.emit(type, named(writer, inputs), writer.name(output), {
    kernel_shape: square(kernelSize),
    strides: square(stride),
    pads: around(padding),
  });
}

/** y = act(x). ONNX's HardSwish is x · HardSigmoid(x) with alpha 1/6 and beta 1/2, as PyTorch's and ours. */
function activate(writer: Writer, activation: unknown, x: string, y: string): void {
  if (activation === 'relu') writer.emit('Relu', [x], y);
  else if (activation === 'relu6') writer.emit('Clip', [x, scalar(writer, 0), scalar(writer, 6)], y);
  else if (activation === 'hardswish') writer.emit('HardSwish', [x], y);
  else if (activation === 'hardsigmoid')
    writer.emit('HardSigmoid', [x], y, { alpha: { float: 1 / 6 }, beta: { float: 0.5 } });
  else if (activation === 'sigmoid') writer.emit('Sigmoid', [x], y);
  else if (activation === 'silu')
    writer.emit('Mul', [x, writer.emit('Sigmoid', [x], writer.unused(`${y}.sigmoid`))], y);
  else throw new ValidationError(`exportOnnx: there is no ONNX for the activation "${activation}"`);
}
