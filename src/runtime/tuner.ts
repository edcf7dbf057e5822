// Autotuning: times the variants of every choice of a plan on this adapter and keeps the fastest correct one.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { SlimgradError, ValidationError } from '../errors.js';
import { type Binding, isBuffer, type Slot } from '../tensor/binding.js';
import { fromHalf, toHalf } from '../tensor/float16.js';
import { benchmark, fastestOf, type Runner } from './benchmark.js';
import type { Dispatch } from './commands.js';
import type { Device } from './device.js';
import { Plan } from './plan.js';
import type { VariantChoice as ChoiceOf, Variant } from './variants.js';

type Choice<C extends Variant = Variant> = ChoiceOf<Plan, C>;

/** The result of one variant. */
export interface Measurement {
  readonly variant: string;
  /** Median milliseconds per run; absent if the variant was rejected before it was timed. */
  readonly ms?: number;
  /** Why it was rejected: it does not compile here, its values differ from the reference's, or the reference's are not finite. */
  readonly refused?: string;
}

/** The result of one choice. */
export interface Tuned {
  /** The choice and its sizes: `pointwise.forward N=128 I=24 O=64 P=256`. */
  readonly problem: string;
  readonly chosen: string;
  /** The variant that is used without tuning. */
  readonly standard: string;
  /** Empty if the cache had the choice. */
  readonly trials: readonly Measurement[];
}

/** Stores, for each adapter, the fastest variant of a problem. */
export interface TuningCache {
  load(adapter: string): Promise<Readonly<Record<string, string>>>;
  save(adapter: string, winners: Readonly<Record<string, string>>): Promise<void>;
}

export interface TuneOptions {
  cache?: TuningCache;
  /** Called after each problem. */
  onTuned?: (tuned: Tuned, done: number, total: number) => void;
}

const tuneOptions: Kinds<TuneOptions> = { cache: 'object', onTuned: 'function' };

const tolerance = 1e-4; // of the largest value; sums in another order differ by some 1e-6
const halfTolerance = 2e-3; // two units in the last place of f16

/**
 * Runs the variants of every choice in a recorded plan on scratch buffers and random numbers: those whose values match the
 * reference's are timed in turns. The plan may be compiled or not; it is not modified.
 *
 * @returns variants for the options of another plan with the same recording.
 */
export async function tune(plan: Plan, options: TuneOptions = {}): Promise<Record<string, string>> {
  const { cache, onTuned } = expectOptions('tune', options, tuneOptions);
  expectArguments('tune', { plan });
  const { device } = plan;
  const adapter = adapterOf(device);
  const winners: Record<string, string> = { ...(await cache?.load(adapter)) };
  const problems = new Map<string, { sketch: Sketch; choices: Choice[] }>();
  for (const choice of plan.choices) {
    if (choice.variants.length < 2) continue;
    const sketch = sketchOf(device, choice);
    const known = problems.get(sketch.key);
    if (known) known.choices.push(choice);
    else problems.set(sketch.key, { sketch, choices: [choice] });
  }
  const variants: Record<string, string> = {};
  let done = 0;
  for (const [key, { sketch, choices }] of problems) {
    const [choice] = choices;
    const standard = choice.variants[0].name;
    const isKnown = choice.variants.some(({ name }) => name === winners[key]);
    const trials = isKnown ? [] : await contest(device, choice, sketch.bindings);
    const times = new Map(trials.flatMap(({ variant, ms }) => (ms === undefined ? [] : [[variant, ms] as const])));
    const chosen = isKnown ? winners[key] : fastestOf(times, standard);
    if (times.size > 0) winners[key] = chosen; // a variant that was not timed is not stored
    for (const { id } of choices) variants[id] = chosen;
    onTuned?.({ problem: sketch.problem, chosen, standard, trials }, ++done, problems.size);
  }
  await cache?.save(adapter, winners);
  return variants;
}

/** A description of the adapter and its driver. */
function adapterOf({ info, name }: Device): string {
  return [info.vendor, info.architecture, info.device, name].filter(Boolean).join(' ');
}

/** The problem of a choice. */
interface Sketch {
  /** Human-readable. */
  readonly problem: string;
  /** Equal exactly for choices that dispatch the same code on the same sizes. */
  readonly key: string;
  /** All external buffers of the variants. */
  readonly bindings: readonly Binding[];
}

function sketchOf(device: Device, choice: Choice): Sketch {
  const bindings: Binding[] = [];
  const texts = choice.variants.map((candidate) => {
    const slots = new Map<string, Slot>();
    const plan: Plan = new Plan(device, {
      substitute: (binding) => {
        const name = nameOf(binding);
        if (!slots.has(name)) {
          slots.set(name, plan.slot(name, binding.bytes));
          bindings.push(binding);
        }
        return { ...binding, storage: slots.get(name) as Slot, offset: 0 };
      },
    });
    choice.record(candidate, plan);
    return { sizes: sizesOf(plan.dispatches[0]), text: [candidate.name, ...plan.dispatches.map(textOf)].join('\n') };
  });
  return {
    problem: `${choice.key} ${texts[0].sizes}`,
    key: `${choice.key} ${texts[0].sizes} ${digest(texts.map(({ text }) => text).join('\n'))}`,
    bindings,
  };
}

const ids = new WeakMap<object, number>();
let count = 0;

/** Equal for the same range of the same storage. */
function nameOf({ storage, offset, bytes, half = false }: Binding): string {
  if (!ids.has(storage)) ids.set(storage, count++);
  return `${ids.get(storage)}:${offset}:${bytes}:${half}`;
}

/** The parameters whose names are letters, which by convention are sizes. */
function sizesOf({ params }: Dispatch): string {
  const sizes = Object.entries(params).filter(([name]) => /^[A-Z]+$/.test(name));
  return sizes.map(([name, value]) => `${name}=${value}`).join(' ');
}

function textOf({ label, params, bindings, workgroups, consts, kernel }: Dispatch): string {
  const sizes = [...bindings].map(([name, { bytes, half = false }]) => [name, bytes, half]);
  return [label, digest(kernel.code), JSON.stringify([params, sizes, workgroups, consts])].join(' ');
}

/** FNV-1a in two lanes. */
function digest(text: string): string {
  let [a, b] = [0x811c9dc5, 0x1b873593];
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(i), 0x01000197);
  }
  return [a, b].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}

/** Runs all variants on the same numbers. */
async function contest(device: Device, choice: Choice, bindings: readonly Binding[]): Promise<Measurement[]> {
  const stand = await standIns(device, bindings);
  if (!stand) return [];
  const plans: Plan[] = [];
  try {
    const trials: Measurement[] = [];
    const runners: Runner[] = [];
    let expected: Float32Array[] | undefined;
    const written = new Set<GPUBuffer>();
    for (const candidate of choice.variants.toReversed()) {
      const plan = new Plan(device, { label: `tune ${choice.key}`, substitute: stand.of });
      plans.push(plan);
      choice.record(candidate, plan);
      for (const buffer of writtenBy(plan)) written.add(buffer);
    }
    plans.reverse();
    const tolerances = [...written].map((buffer) => (stand.isHalf(buffer) ? halfTolerance : tolerance));
    for (const [i, { name: variant }] of [...choice.variants.entries()].reverse()) {
      const outcome = await attempt(plans[i], stand, [...written]);
      if ('refused' in outcome) {
        trials.push({ variant, refused: outcome.refused });
        continue;
      }
      expected ??= outcome.values;
      const refused = refusal(outcome.values, expected, tolerances);
      if (refused) trials.push({ variant, refused });
      else runners.push({ variant, time: (runs) => time(device, plans[i], runs) });
    }
    for (const [variant, ms] of await benchmark(runners, choice.variants[0].name)) trials.push({ variant, ms });
    const order = choice.variants.map(({ name }: Variant) => name);
    return trials.sort((a, b) => order.indexOf(a.variant) - order.indexOf(b.variant));
  } finally {
    for (const plan of plans) plan.dispose();
    stand.dispose();
  }
}

/** Milliseconds per run. */
async function time(device: Device, plan: Plan, runs: number): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < runs; i++) plan.run();
  await device.settled();
  return (performance.now() - started) / runs;
}

/** Compiles a variant and runs it once on fresh numbers and poisoned scratch memory. */
async function attempt(
  plan: Plan,
  stand: StandIns,
  outputs: readonly GPUBuffer[],
): Promise<{ values: Float32Array[] } | { refused: string }> {
  try {
    await plan.compile();
  } catch (error) {
    if (!(error instanceof SlimgradError)) throw error;
    return { refused: error.message.split('\n')[0] };
  }
  for (const buffer of outputs) stand.fill(buffer);
  plan.poison();
  plan.run();
  const values: Float32Array[] = [];
  for (const buffer of outputs) {
    const bytes = await plan.device.read(buffer);
    values.push(stand.isHalf(buffer) ? fromHalf(new Uint16Array(bytes)) : new Float32Array(bytes));
  }
  return { values };
}

/** How these values differ from the reference's; undefined if they match. */
function refusal(
  values: readonly Float32Array[],
  reference: readonly Float32Array[],
  tolerances: readonly number[],
): string | undefined {
  if (!reference.every((each) => each.every(Number.isFinite)))
    return 'is not judged: on made-up numbers the reference is not finite';
  const errors = values.map((each, at) => differ(each, reference[at]));
  if (errors.every((error, at) => error <= tolerances[at])) return undefined;
  return `differs from the reference by ${Math.max(...errors).toExponential(1)} of its largest value`;
}

function writtenBy({ dispatches }: Plan): GPUBuffer[] {
  return dispatches.flatMap(({ kernel, bindings }) =>
    [...bindings].flatMap(([name, { storage }]) =>
      kernel.buffers[name].type === 'storage' && isBuffer(storage) ? [storage] : [],
    ),
  );
}

/** max |a − b| / max |b|, or Infinity where a value is not finite. */
function differ(a: Float32Array, b: Float32Array): number {
  let worst = 0;
  let scale = 0;
  for (let i = 0; i < b.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= worst)) worst = difference;
    if (!Number.isFinite(worst)) return Number.POSITIVE_INFINITY;
    scale = Math.max(scale, Math.abs(b[i]));
  }
  return worst / (scale || 1);
}

/** Scratch buffers that replace a choice's own. */
interface StandIns {
  readonly of: (binding: Binding) => Binding;
  isHalf(buffer: GPUBuffer): boolean;
  /** Writes a buffer's initial numbers. */
  fill(buffer: GPUBuffer): void;
  dispose(): void;
}

/** Scratch buffers for these bindings; undefined if memory is insufficient. */
async function standIns(device: Device, bindings: readonly Binding[]): Promise<StandIns | undefined> {
  const buffers = new Map<string, GPUBuffer>();
  const dispose = () => {
    for (const buffer of buffers.values()) device.free(buffer);
  };
  const halves = new Set<GPUBuffer>();
  const isHalf = (buffer: GPUBuffer) => halves.has(buffer);
  const order = new Map<GPUBuffer, number>();
  const fill = (buffer: GPUBuffer) =>
    device.write(buffer, numbers(buffer.size, isHalf(buffer), order.get(buffer) as number));
  const wanted = new Map(bindings.map((binding) => [nameOf(binding), binding]));
  const held = [...wanted.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  if (device.allocated + held > device.memory) return undefined;
  device.gpu.pushErrorScope('out-of-memory');
  for (const [name, { bytes, half }] of wanted) {
    const buffer = device.buffer('tune', bytes);
    order.set(buffer, buffers.size);
    buffers.set(name, buffer);
    if (half) halves.add(buffer);
  }
  if (await device.wait(device.gpu.popErrorScope())) {
    dispose();
    return undefined;
  }
  for (const buffer of buffers.values()) fill(buffer);
  const of = (binding: Binding) => {
    const storage = buffers.get(nameOf(binding));
    if (!storage) throw new ValidationError(`tune: there is no scratch buffer for "${binding.storage.label}"`);
    return { ...binding, storage, offset: 0 };
  };
  return { of, isHalf, fill, dispose };
}

const period = 65_521; // a prime, so that no side of a tensor is a multiple of it
const apart = 7919; // from one buffer's first number to the next one's
let block: Float32Array<ArrayBuffer> | undefined;

/**
 * Numbers from 0.25 to 1.25: above 0, because some are used as variances and sums of exponentials; with a nonzero mean,
 * so that a sum that omits terms is detected.
 *
 * @param the index of the buffer: each has different numbers, because much would cancel if a gradient equaled its input
 */
function numbers(bytes: number, half: boolean, which: number): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  if (!block) {
    let state = 1;
    block = Float32Array.from({ length: period }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32 + 0.25;
    });
  }
  const [values, source] = half ? [new Uint16Array(bytes / 2), toHalf(block)] : [new Float32Array(bytes / 4), block];
  for (let at = -((which * apart) % period); at < values.length; at += period)
    values.set(source.subarray(Math.max(0, -at), values.length - at), Math.max(0, at));
  return values;
}
