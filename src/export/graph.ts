// An encoder's forward as a graph of ops with their settings, traced from a recorded tape; batchnorm folded into convolutions
// where asked. Knows no file format.
import { Parameters } from '../core/parameters.js';
import type { Tensors } from '../core/state.js';
import { type Operation, Tape, weightedOps } from '../core/tape.js';
import type { Encoder } from '../encoders/encoder.js';
import { ValidationError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { metaDevice } from '../runtime/meta.js';
import { Plan } from '../runtime/plan.js';
import { isDense } from '../tensor/footprint.js';
import { denseStrides, numel, shapeText, type Tensor, transient } from '../tensor/tensor.js';

/** What flows between the nodes of a graph, compared by identity: an activation, or a parameter by its name. */
export type Value = Pick<Tensor, 'label' | 'shape'>;

/** An operation of the tape, or one that took the place of some. */
export interface Node extends Pick<Operation, 'op' | 'attributes'> {
  readonly inputs: readonly Value[];
  readonly output: Value;
}

/** What an encoder computes of `input` (N, 3, H, W): nodes in the order of their work, and the parameters by their labels. */
export interface Graph {
  readonly nodes: readonly Node[];
  readonly input: Value;
  /** What it gives, by name: `features` (N, F), and `logits` (N, K) where there is a head. */
  readonly outputs: ReadonlyMap<string, Value>;
  readonly parameters: Tensors;
}

/**
 * The graph of a lone encoder in use on images of `side` pixels, by its running statistics: its own forward, recorded on a
 * device of no adapter. With `head` also what that makes of the features. It is recorded for two batch sizes, which shows what
 * depends on the batch.
 *
 * @param state values of all parameters and statistics, of the host's shapes
 * @throws ValidationError where a setting of an op depends on the batch, an op reads what none made, or features are no (N, F)
 */
export function traceEncoder(encoder: Encoder, state: Tensors, side: number, head?: Module): Graph {
  const [trace, other] = [2, 3].map((N) => record(encoder, N, side, head));
  if (other.operations.length !== trace.operations.length)
    throw new ValidationError('exportOnnx: expected the same ops for any batch, got others for 3 images than for 2');
  const made = new Set<Value>([trace.input, ...trace.operations.map(({ output }) => output)]);
  const parameters = new Map(state);
  const nodes = trace.operations.map((operation, i): Node => {
    const { op, output } = operation;
    const inputs = operation.inputs.map((x) => (made.has(x) ? x : parameterOf(trace.parameters, parameters, op, x)));
    return { op, inputs, output, attributes: settingsOf(operation, other.operations[i]) };
  });
  return { nodes: joinPixels(nodes, trace.outputs), input: trace.input, outputs: trace.outputs, parameters };
}

/** What the forward records for N images. */
function record(encoder: Encoder, N: number, side: number, head?: Module) {
  const device = metaDevice();
  const plan = new Plan(device, { label: 'trace' });
  const tape = new Tape(plan, { noGrad: true });
  const all = [...encoder.parameters, ...(head?.parameters ?? [])];
  const parameters = new Parameters(device, all, encoder.statistics, { bn: 'shared' });
  const input = transient(plan, 'image', [N, 3, side, side]);
  const pass = { tape, parameters, width: 'host', training: false, updateStats: false } as const;
  const features = encoder.forward(pass, input);
  const expected = [N, encoder.features.host];
  if (shapeText(features.shape) !== shapeText(expected))
    throw new ValidationError(
      `exportOnnx: expected features ${shapeText(expected)} of ${N} images, got ${shapeText(features.shape)}`,
    );
  const outputs = new Map<string, Value>([['features', features]]);
  if (head) outputs.set('logits', head.forward(pass, features));
  return { operations: tape.operations, input, outputs, parameters };
}

/** An op's settings for any batch, those of a reshape among them: the side that grows with the batch is −1. */
function settingsOf(two: Operation, three: Operation): Node['attributes'] {
  const { op, attributes } = two;
  const [settings, others] = [two, three].map((one) => JSON.stringify([one.op, one.attributes]));
  const [inputs, more] = [two, three].map((one) => one.inputs.length);
  if (inputs !== more)
    throw new ValidationError(
      `exportOnnx: ${op}: expected the same inputs for any batch, got ${inputs} for 2 images and ${more} for 3`,
    );
  if (settings !== others)
    throw new ValidationError(
      `exportOnnx: ${op}: expected the same settings for any batch, got ${settings} for 2 images and ${others} for 3`,
    );
  if (op !== 'reshape') return attributes;
  const sides = two.output.shape.map((side, d) => (side === three.output.shape[d] ? side : -1));
  if (sides.filter((side) => side === -1).length > 1 || sides.length !== three.output.shape.length)
    throw new ValidationError(
      `exportOnnx: reshape: expected one side at most to grow with the batch, got ${shapeText(two.output.shape)} for 2 ` +
        `images and ${shapeText(three.output.shape)} for 3`,
    );
  return { shape: sides.join(' ') };
}

/** A parameter or statistic that an op reads; a view of one, as `prefix` makes it, becomes one of its own among `values`. */
function parameterOf(owner: Parameters, values: Tensors, op: string, x: Tensor): Value {
  const isStatistic = x.storage === owner.stats;
  if (x.storage !== owner.weights && !isStatistic)
    throw new ValidationError(
      `exportOnnx: ${op}: expected what the tape's ops made of the image, parameters or statistics, got "${x.label}", ` +
        'which is none of them; make views by narrow, transpose and the reshape of the tape',
    );
  const whole = isStatistic ? owner.statistic(x.label, 'host') : owner.tensor(x.label, 'host');
  if (isDense(x) && numel(x.shape) === numel(whole.shape)) return x;
  const { data } = values.get(x.label)!;
  const steps = denseStrides(x.shape);
  const first = (x.offset - whole.offset) / 4;
  const place = (i: number) =>
    x.shape.reduce((at, side, d) => at + (Math.floor(i / steps[d]) % side) * x.strides[d], first);
  const view = { shape: x.shape, data: Float32Array.from({ length: numel(x.shape) }, (_, i) => data[place(i)]) };
  const label = unused(`${x.label}.view`, values);
  values.set(label, view);
  return { label, shape: x.shape };
}

/** Nodes with pointwise convolutions of maps of one pixel, which are computed as a linear layer of rows, as what they are. */
function joinPixels(nodes: readonly Node[], outputs: Graph['outputs']): Node[] {
  const makers = makersOf(nodes);
  const replaced = new Map<Node, readonly Node[]>();
  for (const last of nodes) {
    const layer = last.op === 'reshape' ? makers.get(last.inputs[0]) : undefined;
    const first = layer?.op === 'linear' && layer.inputs.length === 2 ? makers.get(layer.inputs[0]) : undefined;
    if (!layer || first?.op !== 'reshape') continue;
    const [x] = first.inputs;
    const isPixel = ({ shape }: Value) => shape.length === 4 && shape[2] * shape[3] === 1;
    if (!isPixel(x) || !isPixel(last.output) || x.shape[1] !== layer.inputs[0].shape[1]) continue;
    if ([first, layer].some(({ output }) => readersOf(nodes, output).length > 1 || isOutput(outputs, output))) continue;
    replaced.set(first, []);
    replaced.set(layer, []);
    replaced.set(last, [{ op: 'pointwise', inputs: [x, layer.inputs[1]], output: last.output, attributes: {} }]);
  }
  return nodes.flatMap((node) => replaced.get(node) ?? [node]);
}

const makersOf = (nodes: readonly Node[]) => new Map(nodes.map((node) => [node.output, node]));
const readersOf = (nodes: readonly Node[], value: Value) =>
  nodes.flatMap((node) => node.inputs.filter((input) => input === value).map(() => node));
const isOutput = (outputs: Graph['outputs'], value: Value) => [...outputs.values()].includes(value);

/** A unique name: the given one, with a number if it is taken. */
export function unused(name: string, taken: { has(name: string): boolean }): string {
  let found = name;
  for (let i = 2; taken.has(found); i++) found = `${name}_${i}`;
  return found;
}

/**
 * The same function with each batchnorm taken into the weight of the layer before it, which gets a bias: computed in f64,
 * rounded once. A batchnorm that stands elsewhere stays, as does one whose layer shares its weight with others.
 */
export function foldBatchnorm({ nodes, parameters, ...graph }: Graph): Graph {
  const makers = makersOf(nodes);
  const folded = new Map(parameters);
  const replaced = new Map<Node, readonly Node[]>();
  const readers = (label: string) =>
    nodes.flatMap(({ inputs }) => inputs.filter((input) => !makers.has(input) && input.label === label)).length;
  for (const norm of nodes) {
    const [x, ...channels] = norm.inputs;
    const layer = makers.get(x);
    if (norm.op !== 'batchnorm' || !layer || !weightedOps.includes(layer.op)) continue;
    if (readersOf(nodes, x).length > 1 || isOutput(graph.outputs, x)) continue;
    const [, weight, given] = layer.inputs;
    const own = given ? [weight, given] : [weight];
    if ([...own, ...channels].some((value) => makers.has(value) || !parameters.has(value.label))) continue;
    if (own.some(({ label }) => readers(label) > 1)) continue;
    const bias = given ?? { label: biasOf(weight.label, folded), shape: weight.shape.slice(0, 1) };
    const { activation, eps } = norm.attributes;
    const values = foldInto(parameters, weight, bias, channels, Number(eps));
    for (const { label } of channels) if (readers(label) === 1) folded.delete(label);
    folded.set(weight.label, { shape: parameters.get(weight.label)!.shape, data: values.weight });
    folded.set(bias.label, { shape: bias.shape, data: values.bias });
    const inputs = [layer.inputs[0], weight, bias];
    if (activation === 'none') {
      replaced.set(layer, [{ ...layer, inputs, output: norm.output }]);
      replaced.set(norm, []);
    } else {
      replaced.set(layer, [{ ...layer, inputs }]);
      replaced.set(norm, [{ op: String(activation), inputs: [x], output: norm.output, attributes: {} }]);
    }
  }
  return { ...graph, nodes: nodes.flatMap((node) => replaced.get(node) ?? [node]), parameters: folded };
}

/** What the bias of a layer is called that had none. */
const biasOf = (weight: string, taken: Tensors) =>
  unused(weight.endsWith('weight') ? weight.replace(/weight$/, 'bias') : `${weight}.bias`, taken);

/** weight · g and (bias − mean) · g + beta, where g = gamma / sqrt(var + eps), a row each. */
function foldInto(parameters: Tensors, weight: Value, bias: Value, channels: readonly Value[], eps: number) {
  const [gamma, beta, mean, variance] = channels.map(({ label }) => parameters.get(label)!.data);
  const given = parameters.get(bias.label)?.data;
  const row = numel(weight.shape) / weight.shape[0];
  const factor = (o: number) => gamma[o] / Math.sqrt(variance[o] + eps);
  return {
    weight: parameters.get(weight.label)!.data.map((value, i) => value * factor(Math.floor(i / row))),
    bias: Float32Array.from(gamma, (_, o) => ((given?.[o] ?? 0) - mean[o]) * factor(o) + beta[o]),
  };
}
