import { meant } from '../checks/nearest.js';
import { ConfigError, DeviceError } from '../errors.js';
import type { Device } from './device.js';

/** One of several ways to compute the same thing. */
export interface Candidate {
  readonly name: string;
  /** The smallest subgroup size it needs; it also runs on larger ones. */
  readonly subgroups?: number;
}

/** What was chosen while a plan of type P was recorded, and what might have been. */
export interface Choice<P = never, C extends Candidate = Candidate> {
  readonly key: string;
  /** The key and the choice's number among those of the key: `pointwise.forward 3`. */
  readonly id: string;
  /** Those that run on the device, best guess first. */
  readonly candidates: readonly C[];
  readonly chosen: C;
  /** Records a candidate into any plan. */
  readonly record: (form: C, plan: P) => void;
}

/** The candidate that `variants` names by the choice's id, its key or the key's stem; else the first that runs on the device. */
export function pick<C extends Candidate>(
  device: Device,
  variants: Readonly<Record<string, string>>,
  { key, id }: Pick<Choice, 'key' | 'id'>,
  candidates: readonly C[],
): Omit<Choice<never, C>, 'record'> {
  const running = candidates.filter(({ subgroups = 0 }) => subgroups <= device.subgroupSize);
  const [stem] = key.split('.');
  const wanted = variants[id] ?? variants[key] ?? variants[stem];
  const chosen = wanted === undefined ? running[0] : running.find(({ name }) => name === wanted);
  if (!chosen)
    throw new DeviceError(
      `${key}: expected variant ${wanted ?? 'of any kind'} among those that ${device.name} can run: ` +
        running.map(({ name }) => name).join(', '),
    );
  return { key, id, candidates: running, chosen };
}

/** Whether a key is one that `tune` gives, of a single choice, and not one of a kind that somebody wrote. */
const isNumbered = (key: string) => key.includes(' ');

/**
 * Refuses variants of a kind that no choice is of: a name that is spelt wrong would change nothing. Those of single choices are
 * let be: another version of the library may have made other choices.
 */
export function expectVariants(
  label: string,
  variants: Readonly<Record<string, string>>,
  choices: readonly Pick<Choice, 'key'>[],
): void {
  const kinds = new Set(choices.flatMap(({ key }) => [key, key.split('.')[0]]));
  for (const key of Object.keys(variants)) {
    if (isNumbered(key) || kinds.has(key)) continue;
    throw new ConfigError(
      `${label}: variants: nothing that was recorded chooses by '${key}': ${meant(key, [...kinds])}`,
    );
  }
}
