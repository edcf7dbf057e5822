import type { Encoder } from '../encoders/encoder.js';
import type { Module } from '../nn/module.js';
import { Parameters, type Tensors } from '../parameters.js';
import { metaDevice } from '../runtime/meta.js';
import { Plan } from '../runtime/plan.js';
import { type Operation, Tape, weightedOps } from '../tape.js';
import { numel, type Tensor, transient } from '../tensor.js';

/** What flows between the nodes of a graph, told apart by identity: an activation, or a parameter by its name. */
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
 * The graph of a lone encoder in use, by its running statistics: its own forward, recorded on a device of no adapter. With
 * `head` also what that makes of the features.
 *
 * @param state values of all parameters and statistics, of the host's shapes
 */
export function traceEncoder(encoder: Encoder, state: Tensors, head?: Module): Graph {
  const device = metaDevice();
  const plan = new Plan(device, { label: 'trace' });
  const tape = new Tape(plan, { frozen: true });
  const all = [...encoder.parameters, ...(head?.parameters ?? [])];
  const parameters = new Parameters(device, all, encoder.statistics, { bn: 'shared' });
  const side = 2 * encoder.stride; // no map is a single pixel, for which ops take other ways
  const input = transient(plan, 'image', [1, 3, side, side]);
  const pass = { tape, parameters, width: 'host', training: false, updateStats: false } as const;
  const features = encoder.forward(pass, input);
  const outputs = new Map<string, Value>([['features', features]]);
  if (head) outputs.set('logits', head.forward(pass, features));
  return { nodes: tape.operations, input, outputs, parameters: state };
}

/**
 * The same function with each batchnorm taken into the weight of the layer before it, which gets a bias: computed in f64,
 * rounded once. A batchnorm that stands elsewhere stays.
 */
export function foldBatchnorm({ nodes, parameters, ...graph }: Graph): Graph {
  const makers = new Map(nodes.map((node) => [node.output, node]));
  const outputs = new Set(graph.outputs.values());
  const uses = (value: Value) => nodes.flatMap(({ inputs }) => inputs).filter((input) => input === value).length;
  const folded = new Map(parameters);
  const replaced = new Map<Node, readonly Node[]>();
  for (const norm of nodes) {
    const [x, ...channels] = norm.inputs;
    const layer = makers.get(x);
    if (norm.op !== 'batchnorm' || !layer || !weightedOps.includes(layer.op)) continue;
    if (uses(x) > 1 || outputs.has(x)) continue;
    const [, weight, bias = { label: weight.label.replace(/weight$/, 'bias'), shape: weight.shape.slice(0, 1) }] =
      layer.inputs;
    const { activation, eps } = norm.attributes;
    const values = foldInto(parameters, weight, bias, channels, Number(eps));
    for (const { label } of channels) folded.delete(label);
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
