import { Tape } from '../src/core/tape.js';
import type { Device } from '../src/runtime/device.js';
import { Plan } from '../src/runtime/plan.js';
import { type Binding, bufferOf } from '../src/tensor/binding.js';
import { numel, selectView, type Tensor } from '../src/tensor/tensor.js';
import { error, upload, uploadList } from '../test/check.js';
import { generator, randoms } from '../test/random.js';
import { type Cost, measure, type Rounds, still } from './measure.js';
import { type Case, type Cut, cuts, type Layer } from './ops.js';
import type { Reference } from './reference.js';

/** A pass of a layer: its cost at each share of the channels, and how far its answer is from f64. */
export interface Row {
  readonly stem: string;
  readonly layer: string;
  /** Whether it is a convolution of MobileNet-V1. */
  readonly network: boolean;
  readonly pass: string;
  /** The kernel variants that the plan chose for it, where there is a choice. */
  readonly variant: string;
  /** The worst over the shares of max |a − b| / max |b|, over sampled elements; NaN where none could be compared. */
  readonly error: number;
  readonly wrong: boolean;
  /** Dense first. */
  readonly widths: readonly (Cost & Cut)[];
}

const tolerance = 1e-5;
const samples = 48;

type Kept = readonly (readonly number[] | undefined)[];

/** A tensor that the op writes, what it should hold at a flat index, and which pass writes it. */
interface Output {
  readonly pass: string;
  readonly tensor: Tensor;
  readonly expected: (index: number) => number | undefined;
}

/** Checks every pass of a layer against f64 at each share of its channels, then times them all in one plan, in turn. */
export async function benchLayer(device: Device, layer: Layer, rounds: Rounds, seed: number): Promise<Row[]> {
  using plan = new Plan(device, { label: layer.name });
  const random = generator(seed);
  const buffers: GPUBuffer[] = [];
  const variants = new Map<string, string>();
  const recorded = cuts.filter(
    ({ share, listed }) => share === 1 || (layer.slims && !(listed && !layer.at(1).weights)),
  );
  const outputs = recorded.flatMap((cut) => {
    const phase = (pass: string, record: () => void) => {
      const before = plan.choices.length;
      plan.phase(keyOf(cut, pass), record);
      const names = plan.choices.slice(before).map(({ chosen }) => chosen.name);
      if (cut.share === 1) variants.set(pass, [...new Set(names)].join(' '));
    };
    return record(plan, layer, cut, phase, random, buffers);
  });
  try {
    for (const { tensor } of outputs) plan.retain(tensor);
    await plan.compile();
    plan.poison();
    plan.run(still);
    const errors = new Map<string, number>();
    for (const { pass, tensor, expected } of outputs) {
      const found = await sampledError(plan, tensor, expected, random);
      const worst = errors.get(pass) ?? 0;
      errors.set(pass, Math.max(worst, found)); // NaN stays NaN
    }
    const costs = await measure(plan, ({ phase }) => phase.split('/')[0], rounds);
    return [...errors].flatMap(([pass, error]) => {
      const widths = recorded.flatMap((cut) => {
        const cost = costs.get(keyOf(cut, pass));
        return cost ? [{ ...cut, ...cost }] : [];
      });
      // a pass without a dispatch, as the backward of an addition, has nothing to time
      if (widths.length === 0) return [];
      const { stem, name, network = false } = layer;
      const wrong = !(error <= tolerance);
      return [{ stem, layer: name, network, pass, variant: variants.get(pass) ?? '', error, wrong, widths }];
    });
  } finally {
    for (const buffer of buffers) device.free(buffer);
  }
}

const keyOf = ({ share, listed }: Cut, pass: string) => `${share}${listed ? ' listed' : ''} ${pass}`;

/** Records the passes of a layer at one share of its channels, on random tensors, and says what they should write. */
function record(
  plan: Plan,
  layer: Layer,
  { share, listed }: Cut,
  phase: (pass: string, record: () => void) => void,
  random: () => number,
  buffers: GPUBuffer[],
): Output[] {
  const { inputs, weights = {}, run, reference } = layer.at(share);
  const values: Record<string, Float32Array> = {};
  const make = (name: string, shape: readonly number[], mean: number): Tensor => {
    values[name] = randoms(random, numel(shape), mean, 1);
    const made = upload(plan.device, name, shape, values[name] as Float32Array<ArrayBuffer>);
    buffers.push(made.storage);
    return made;
  };
  const lists = new Map<string, { readonly channels: number[]; readonly binding: Binding }>();
  /** The list that keeps `count` of `all` channels, one for all tensors: batchnorm's have to share theirs. */
  const listOf = (all: number, count: number) => {
    const key = `${count} of ${all}`;
    const known = lists.get(key);
    if (known) return known;
    const channels = subset(all, count, random);
    const made = { channels, binding: uploadList(plan.device, channels) };
    buffers.push(bufferOf(made.binding));
    lists.set(key, made);
    return made;
  };
  const tensors: Record<string, Tensor> = {};
  for (const [name, shape] of Object.entries(inputs)) tensors[name] = make(name, shape, 0.3);
  const parameters: Record<string, Tensor> = {};
  const kept: Record<string, Kept> = {};
  for (const [name, shape] of Object.entries(weights)) {
    const host = make(name, (layer.at(1) as Required<Case>).weights[name], 0.2);
    const grad = make(`before.${name}`, host.shape, -0.4);
    const sides = [0, 1].map((d) => (listed && shape[d] < host.shape[d] ? listOf(host.shape[d], shape[d]) : undefined));
    const [rows, columns] = sides.map((list) => list?.binding);
    parameters[name] = selectView({ ...host, grad }, shape, { rows, columns });
    kept[name] = sides.map((list) => list?.channels);
    values[name] = gather(values[name], parameters[name], kept[name]);
  }

  /** Records run and backward on a tape of their own, which differentiates what it is asked to. */
  const differentiate = (tracked: readonly string[], given: Record<string, Tensor>, passes: [string, string]) => {
    const tape = new Tape(plan);
    for (const name of tracked) tape.requireGrad(tensors[name]);
    let y: Tensor | undefined;
    phase(passes[0], () => {
      y = run(tape, { ...tensors, ...given });
    });
    const output = y as Tensor;
    if (!tensors.dy) tensors.dy = make('dy', output.shape, 0.1);
    // what is no op of the tape, as a queue's, has nothing that goes back
    const isDifferentiable = tape.operations.length > 0 && tape.requiresGrad(output);
    phase(passes[1], () => isDifferentiable && tape.backward(output, tensors.dy));
    const gradients = tracked.map((name) => [name, tape.gradient(tensors[name])] as const);
    return { y: output, gradients };
  };
  const names = Object.keys(inputs);
  const constants = Object.fromEntries(
    Object.entries(parameters).map(([name, t]) => [name, { ...t, grad: undefined }]),
  );
  const backward = layer.joint ? 'backward' : 'backward_input';
  const { y, gradients } = differentiate(names, layer.joint ? parameters : constants, ['forward', backward]);
  if (!layer.joint) differentiate([], parameters, ['again', 'backward_weight']);

  const element = expectations(reference, values);
  const outputs: Output[] = [{ pass: 'forward', tensor: y, expected: element('y') }];
  for (const [name, dx] of gradients)
    if (dx) outputs.push({ pass: backward, tensor: dx, expected: element(`d${name}`) });
  for (const [name, weight] of Object.entries(parameters)) {
    const before = gather(values[`before.${name}`], weight, kept[name]);
    const added = element(`d${name}`);
    const expected = (index: number) => {
      const sum = added(index);
      return sum === undefined ? undefined : before[index] + sum;
    };
    outputs.push({
      pass: layer.joint ? 'backward' : 'backward_weight',
      tensor: weight.grad as Tensor,
      expected,
    });
  }
  return outputs;
}

function expectations(reference: Reference, values: Record<string, Float32Array>) {
  let elements: ReturnType<Reference> | undefined;
  return (name: string) => (index: number) => {
    elements ??= reference(values);
    return elements[name](index);
  };
}

/** Where the element of a view lies in its buffer, counted from the view's start. */
function place({ shape, strides }: Tensor, index: number, kept: Kept = []): number {
  let at = 0;
  for (let d = shape.length - 1; d >= 0; d--) {
    const i = index % shape[d];
    at += (kept[d]?.[i] ?? i) * strides[d];
    index = Math.floor(index / shape[d]);
  }
  return at;
}

/** `count` of the numbers below `all`, in order. */
function subset(all: number, count: number, random: () => number): number[] {
  const drawn = Array.from({ length: all }, (_, i) => [random(), i] as const).sort(([a], [b]) => a - b);
  return drawn
    .slice(0, count)
    .map(([, i]) => i)
    .sort((a, b) => a - b);
}

function gather(values: Float32Array, view: Tensor, kept: Kept): Float32Array {
  const gathered = new Float32Array(numel(view.shape));
  for (let i = 0; i < gathered.length; i++) gathered[i] = values[place(view, i, kept)];
  return gathered;
}

async function sampledError(
  plan: Plan,
  tensor: Tensor,
  expected: Output['expected'],
  random: () => number,
): Promise<number> {
  const data = await plan.read(tensor);
  const count = numel(tensor.shape);
  const all = count <= samples;
  const found: number[] = [];
  const wanted: number[] = [];
  for (let k = 0; k < Math.min(samples, count); k++) {
    const index = all ? k : Math.floor(random() * count);
    const value = expected(index);
    if (value === undefined) continue;
    wanted.push(value);
    found.push(data[index]);
  }
  return found.length > 0 ? error(found, wanted) : Number.NaN;
}
