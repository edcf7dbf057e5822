/**
 * Finds an encoder's tensors in a state dict that another program saved: under any prefix that its wrappers put before the names,
 * and in any of the known naming schemes. Knows no files and no device.
 */

import type { Tensors } from '../core/state.js';
import type { Encoder } from '../encoders/encoder.js';
import { DataError } from '../errors.js';
import { type SavedTensor, toTensors } from '../formats/safetensors.js';
import { shapeText } from '../tensor/tensor.js';

/** How another program names the tensors of an encoder. */
export interface Naming {
  /** Its name of a tensor, from ours. */
  rename(name: string): string;
  /** Makes of its tensors, under our names, those that make our network the same function; they are the same where it is absent. */
  convert?(state: Tensors): Tensors;
  /** Why tensors so named are refused. */
  readonly refuse?: string;
}

/** How a state dict is searched. */
interface SearchOptions {
  /** What the network is called in errors. */
  readonly what: string;
  /** The naming schemes to try in addition to our own. */
  readonly namings?: readonly Naming[];
  /** The prefix of the encoder's names; default: it is found. */
  readonly prefix?: string | undefined;
}

/** The shape of every tensor of an encoder as a lone network of the host's width, by its name. */
export function shapesOf({ parameters, statistics }: Encoder): Map<string, readonly number[]> {
  return new Map<string, readonly number[]>([
    ...parameters.map(({ name, shape }) => [name, shape] as const),
    ...statistics.map(({ name, channels }) => [name, [channels.host]] as const),
  ]);
}

/**
 * The encoder's tensors, by our names and as f32. What else a state dict holds is ignored, unless it lies among them: a deeper
 * network has all the tensors of a shallower one, and more.
 *
 * @param file the name for error messages
 * @throws DataError where no prefix has all of the tensors, or several have, or shapes or types do not fit
 */
export function findState(
  encoder: Encoder,
  saved: ReadonlyMap<string, SavedTensor>,
  { what, namings = [], prefix }: SearchOptions,
  file: string,
): Tensors {
  const shapes = shapesOf(encoder);
  const candidates = [{ rename: (name: string) => name }, ...namings]
    .flatMap((naming) => candidatesOf(shapes, saved, naming, prefix))
    .sort((a, b) => a.missing.length - b.missing.length || faults(a) - faults(b));
  const [best] = candidates;
  const fits = candidates.filter((one) => one.missing.length + faults(one) === 0);
  if (fits.length === 0) throw refusal(shapes, saved, best, what, file);
  if (fits.length > 1)
    throw new DataError(
      `${file}: expected one ${what}, got ${fits.length}, under the prefixes ${few(fits.map((one) => quoted(one.prefix)))}; ` +
        'name the one that is meant as `prefix` (--prefix)',
    );
  const { refuse, convert } = best.naming;
  if (refuse !== undefined) throw new DataError(`${file}: expected ${what} of torchvision; ${refuse}`);
  const tensors = toTensors(
    Array.from(best.names, ([, name]) => [name, saved.get(name)!] as const),
    file,
  );
  const state: Tensors = new Map(Array.from(best.names, ([ours, name]) => [ours, tensors.get(name)!] as const));
  return convert ? convert(state) : state;
}

/** What a state dict has of an encoder under one prefix, by one way of naming. All names but the keys of `names` are the file's. */
interface Candidate {
  readonly naming: Naming;
  readonly prefix: string;
  /** The file's name of every tensor, by ours. */
  readonly names: ReadonlyMap<string, string>;
  readonly missing: readonly string[];
  /** By our names. */
  readonly misshapen: readonly string[];
  /** Tensors next to the encoder's that do not belong to it. */
  readonly extra: readonly string[];
}

const faults = ({ misshapen, extra }: Candidate) => misshapen.length + extra.length;

/** The prefixes under which most of the encoder's tensors are found; none where there is not one. */
function candidatesOf(
  shapes: ReadonlyMap<string, readonly number[]>,
  saved: ReadonlyMap<string, SavedTensor>,
  naming: Naming,
  prefix: string | undefined,
): Candidate[] {
  const theirs = new Map(Array.from(shapes.keys(), (ours) => [ours, naming.rename(ours)] as const));
  const wanted = new Set(theirs.values());
  const longest = Math.max(...Array.from(wanted, (name) => name.length));
  const counts = new Map<string, number>();
  for (const name of saved.keys())
    for (const at of starts(name, longest))
      if (wanted.has(name.slice(at))) counts.set(name.slice(0, at), (counts.get(name.slice(0, at)) ?? 0) + 1);
  if (prefix !== undefined) for (const other of [...counts.keys()]) if (other !== prefix) counts.delete(other);
  const most = [...counts.values()].reduce((a, b) => Math.max(a, b), 0);
  return [...counts]
    .filter(([, count]) => count === most)
    .map(([found]) => candidate(naming, found, shapes, saved, theirs));
}

function candidate(
  naming: Naming,
  prefix: string,
  shapes: ReadonlyMap<string, readonly number[]>,
  saved: ReadonlyMap<string, SavedTensor>,
  theirs: ReadonlyMap<string, string>,
): Candidate {
  const names = new Map(Array.from(theirs, ([ours, name]) => [ours, prefix + name] as const));
  const used = new Set(names.values());
  const parts = new Set(Array.from(theirs.values(), (name) => first(name)));
  return {
    naming,
    prefix,
    names,
    missing: [...used].filter((name) => !saved.has(name)),
    misshapen: [...names].flatMap(([ours, name]) => {
      const shape = saved.get(name)?.shape;
      return shape && shapeText(shape) !== shapeText(shapes.get(ours)!) ? [ours] : [];
    }),
    extra: [...saved.keys()].filter(
      (name) =>
        name.startsWith(prefix) &&
        parts.has(first(name.slice(prefix.length))) &&
        !used.has(name) &&
        !name.endsWith('.num_batches_tracked'),
    ),
  };
}

/** Where a name, or what follows one of its dots, begins, from the last on, as far as it is at most `longest` letters. */
function* starts(name: string, longest: number): Generator<number> {
  for (let dot = name.lastIndexOf('.'); dot >= 0; dot = dot === 0 ? -1 : name.lastIndexOf('.', dot - 1)) {
    if (name.length - dot - 1 > longest) return;
    yield dot + 1;
  }
  yield 0;
}

/** A name up to its first dot, and with it. */
const first = (name: string) => name.slice(0, name.indexOf('.') + 1 || name.length);

/** What is wrong with a state dict, of which `found` is the most that was found: nothing, where it is but a block's names. */
function refusal(
  shapes: ReadonlyMap<string, readonly number[]>,
  saved: ReadonlyMap<string, SavedTensor>,
  found: Candidate | undefined,
  what: string,
  file: string,
): DataError {
  const best = found && found.missing.length <= 0.9 * shapes.size ? found : undefined;
  const missing = best?.missing ?? [...shapes.keys()];
  const { misshapen = [], extra = [], names } = best ?? {};
  const wrong: string[] = [];
  if (missing.length > 0) wrong.push(`${missing.length} missing: ${few(missing)}`);
  const both = (ours: string) => {
    const name = names!.get(ours)!;
    return `${brief(name)} is ${shapeText(saved.get(name)!.shape)}, expected ${shapeText(shapes.get(ours)!)}`;
  };
  if (misshapen.length > 0) wrong.push(`${misshapen.length} of other shapes: ${few(misshapen.map(both), '; ')}`);
  if (extra.length > 0) wrong.push(`${extra.length} more than it has: ${few(extra.map(brief))}`);
  if (missing.length > 0) wrong.push(`its names begin with ${beginnings(saved)}`);
  return new DataError(
    `${file}: expected the ${shapes.size} tensors of ${what}; ${wrong.join('; ')}; ` +
      'another encoder (--encoder) or width (--width) may be meant',
  );
}

/** What most of the file's names begin with. */
function beginnings(saved: ReadonlyMap<string, SavedTensor>): string {
  const counts = new Map<string, number>();
  for (const name of saved.keys()) counts.set(first(name), (counts.get(first(name)) ?? 0) + 1);
  if (counts.size === 0) return 'nothing, it has none';
  const common = [...counts].sort(([, a], [, b]) => b - a).map(([name]) => quoted(name));
  return few(common);
}

/** The first three of a list. */
function few(list: readonly string[], separator = ', '): string {
  return list.length > 3 ? `${list.slice(0, 3).join(separator)}${separator}…` : list.join(separator);
}

const brief = (name: string) => (name.length > 60 ? `${name.slice(0, 60)}…` : name);
const quoted = (name: string) => `'${brief(name)}'`;
