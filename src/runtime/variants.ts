// Kernel variants: those of a choice, and the one that a plan records.
import { meant } from '../checks/nearest.js';
import { textOf } from '../checks/text_of.js';
import { ConfigError, DeviceError } from '../errors.js';
import type { Device } from './device.js';

/** One of several ways to compute the same thing. */
export interface Variant {
  readonly name: string;
  /** The smallest subgroup size it needs; it also runs on larger ones. */
  readonly subgroups?: number;
}

/** A choice made while a plan of type P was recorded, with its alternatives. */
export interface VariantChoice<P = never, C extends Variant = Variant> {
  readonly key: string;
  /** The key and the index among the choices with that key: `pointwise.forward 3`. */
  readonly id: string;
  /** Those that run on the device, ordered by expected speed. */
  readonly variants: readonly C[];
  readonly chosen: C;
  /** Records a variant into any plan. */
  readonly record: (form: C, plan: P) => void;
  /** The commands recorded for it: `first` inclusive, `end` exclusive. */
  readonly first: number;
  readonly end: number;
}

/** The variant that `variants` names by the choice's id, key or stem of the key; else the first that runs on the device. */
export function chooseVariant<C extends Variant>(
  device: Device,
  variants: Readonly<Record<string, string>>,
  { key, id }: Pick<VariantChoice, 'key' | 'id'>,
  candidates: readonly C[],
): Omit<VariantChoice<never, C>, 'record' | 'first' | 'end'> {
  const running = candidates.filter(({ subgroups = 0 }) => subgroups <= device.subgroupSize);
  const [stem] = key.split('.');
  const wanted = variants[id] ?? variants[key] ?? variants[stem];
  const chosen = wanted === undefined ? running[0] : running.find(({ name }) => name === wanted);
  if (!chosen)
    throw new DeviceError(
      `${key}: expected variant ${wanted ?? '(any)'} among those that ${device.name} can run: ` +
        running.map(({ name }) => name).join(', '),
    );
  return { key, id, variants: running, chosen };
}

/** Whether a key is of a single choice, as `tune` returns, and not of a group of choices. */
export const isNumbered = (key: string) => key.includes(' ');

/** Checks that variants are names. */
export function expectVariantNames(variants: Readonly<Record<string, unknown>>): void {
  for (const [key, name] of Object.entries(variants))
    if (typeof name !== 'string')
      throw new ConfigError(`plan: variants: expected the name of a variant for '${key}', got ${textOf(name)}`);
}

/**
 * Refuses variants that match no choice, since a misspelled key would have no effect. Keys of single choices are not
 * checked: another version of the library may make other choices.
 */
export function expectVariants(
  label: string,
  variants: Readonly<Record<string, string>>,
  choices: readonly Pick<VariantChoice, 'key'>[],
): void {
  const kinds = new Set(choices.flatMap(({ key }) => [key, key.split('.')[0]]));
  for (const key of Object.keys(variants)) {
    if (isNumbered(key) || kinds.has(key)) continue;
    const remedy = kinds.size ? meant(key, [...kinds]) : 'it has no op with variants';
    throw new ConfigError(`${label}: variants: no recorded choice matches '${key}': ${remedy}`);
  }
}
