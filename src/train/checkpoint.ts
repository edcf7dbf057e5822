// Everything that determines a run's results, stored in its checkpoint and compared when it is resumed.
import { digestOf, type Tensors } from '../core/state.js';
import { fnv1a } from '../data/fnv1a.js';
import type { ImageSource } from '../data/source.js';
import { DataError } from '../errors.js';
import { type Checkpoint, differencesOf, type Json, readCheckpoint, writeCheckpoint } from '../formats/checkpoint.js';
import { f32 } from '../formats/safetensors.js';
import type { Plan } from '../runtime/plan.js';
import type { Settled } from './options.js';
import type { Schedule } from './schedule.js';

/** A key that checkpoints of older SSL-Small runs have. */
const distilledSteps = 'steps that come before';

type Facts = Checkpoint['config'];

const what = 'checkpoint';
const remedy = 'open the trainer as it was, or start again without resume';

/** What determines a run's results besides its method and optimizer, by name. */
export function factsOf(
  { batch, seed, precision, views, sliceEvery, sliceWarmup }: Settled,
  { steps, warmup, peak }: Schedule,
  source: Pick<ImageSource, 'length' | 'images' | 'digests' | 'names'>,
  init: Tensors | undefined,
): Facts {
  return {
    batch,
    steps,
    warmup,
    'peak learning rate': peak,
    seed,
    precision,
    'number of images': source.length,
    'images an item': source.images,
    pictures: fingerprintOf(source),
    sliceEvery,
    sliceWarmup: sliceWarmup ?? null,
    init: init ? digestOf(new Map([...init].sort(byName))).join(' ') : null,
    ...Object.fromEntries(leaves('views', views as unknown as Json)),
  };
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : 1);

/** Tells images from others, where their bytes or names are known. */
function fingerprintOf({ digests, names }: Pick<ImageSource, 'digests' | 'names'>): string | null {
  const told = digests ? String(digests) : names?.join('\n');
  return told === undefined ? null : fnv1a(told).toString(16);
}

/** The primitive values inside a value, by path. */
function leaves(path: string, value: Json): [path: string, value: Json][] {
  if (typeof value !== 'object' || value === null) return [[path, value]];
  return Object.entries(value).flatMap(([key, part]) => leaves(`${path}.${key}`, part));
}

/**
 * What a step computes, by phase: digests of its dispatches and their parameters, in which the settings of method and optimizer
 * are. Equal kernels and settings have equal digests.
 */
export function digestsOf(plan: Plan): Facts {
  const phases: Record<string, number> = {};
  for (const { phase, label, uniforms } of plan.dispatches) {
    const bytes = [...new TextEncoder().encode(label), ...new Uint8Array(uniforms)];
    const name = phase || '(none)';
    phases[name] = fnv1a(bytes, phases[name]);
  }
  return Object.fromEntries(Object.entries(phases).map(([phase, hash]) => [phase, hash.toString(16).padStart(8, '0')]));
}

/** The complete state of a run at a step, as `checkpoint()` returns it. */
interface Run {
  readonly step: number;
  readonly facts: Facts;
  readonly recompute: boolean;
  /** Of the current step. */
  readonly plan: Plan;
  readonly variants: Checkpoint['variants'];
  readonly tensors: Tensors;
}

/** The bytes of a run, one safetensors file. */
export function writeRun({ step, facts, recompute, plan, variants, tensors }: Run): Uint8Array<ArrayBuffer> {
  return writeCheckpoint({
    step,
    config: { ...facts, recompute, recorded: digestsOf(plan) },
    variants,
    adapter: plan.device.name,
    tensors: new Map(Array.from(tensors, ([name, { shape, data }]) => [name, f32(shape, data)])),
  });
}

/**
 * Reads what `writeRun` wrote.
 *
 * @throws DataError if the bytes are not a checkpoint, or the checkpoint of a different run; lists every difference
 */
export function readRun(bytes: Uint8Array, facts: Facts): Checkpoint {
  const checkpoint = readCheckpoint(bytes, what);
  const { recorded, recompute, [distilledSteps]: distilled = 0, init = null, ...there } = checkpoint.config;
  if (distilled !== 0)
    throw new DataError(
      `${what}: the run began with ${distilled} steps of distillation, which are a run of their own now: train by seed, then ` +
        'start this one from its encoder, by init (--init)',
    );
  const isSame = facts.init === null || init === facts.init; // not given: as it began
  refuse(differencesOf({ ...there, init: isSame ? facts.init : init }, facts), 'the run is another');
  return checkpoint;
}

/**
 * Checks that a step is recorded as in the checkpoint. On another adapter kernels differ, and it cannot be checked. If
 * only `recompute` differs, which does not change results, the forward alone is compared.
 *
 * @throws DataError naming the phases that differ
 */
export function checkRecorded({ config, adapter }: Checkpoint, plan: Plan, recompute: boolean): void {
  if (adapter !== plan.device.name) return;
  const [there, here] = [{ ...(config.recorded as Facts) }, digestsOf(plan)];
  const phases = [...new Set([...Object.keys(here), ...Object.keys(there)])].filter(
    (phase) => recompute === config.recompute || !phase.startsWith('backward'),
  );
  refuse(
    phases.filter((phase) => there[phase] !== here[phase]),
    'the method, the optimizer, their settings or slimgrad itself are others, for the step computes something else in',
  );
}

function refuse(differing: readonly string[], how: string): void {
  if (differing.length > 0) throw new DataError(`${what}: ${how}: ${differing.join(', ')}; ${remedy}`);
}
