// A setting as a flag of a command line: its name, the default that help prints, and the check of its value.
// Independent of commands and of parsing (../node/cli/flags.ts).
import { fitsF32 } from '../checks/range.js';
import { ConfigError } from '../errors.js';
import { show } from '../train/schedule.js';
import { required, type Setting, type Settled } from './kinds.js';
import { nearest } from './names.js';

export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type Values<S extends Settings> = { -readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** A setting as a command line needs it. */
export interface Flag {
  key: string;
  /** With its dashes, as `--out`. */
  flag: string;
  /** An earlier spelling, also accepted. */
  formerly?: string;
  group?: string;
  doc: string;
  /** Placeholder of the value; '' for a switch, which also has `--no-...`, `=true` and `=false`. */
  value: string;
  /** As help prints it; undefined if there is none. */
  default?: string;
  fromText(text: string): unknown;
}

/** Flags more descriptive than their settings' keys; the keys' spellings are also accepted. */
const longer: Readonly<Record<string, string>> = {
  eps: '--adam-eps',
  epsilon: '--sinkhorn-epsilon',
  sinkhorn: '--sinkhorn-iterations',
  ema: '--ema-momentum',
  trust: '--lars-trust',
  clip: '--lars-clip',
  scale: '--loss-scale',
  map: '--feature-map',
};

/** Earlier spellings of flags. */
const former: Readonly<Record<string, string>> = { neighbors: '--neighbours' };

const kebab = (key: string) => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** The flag of a setting: its key in kebab-case, or a longer name. */
export function flagOf(key: string): string {
  return Object.hasOwn(longer, key) ? longer[key] : kebab(key);
}

/** Settings as flags, in the order of their table. */
export function flagsOf(settings: Settings, group?: string): Flag[] {
  return Object.entries(settings).map(([key, setting]) => {
    const { doc, value, fromText } = setting;
    const printed = printedDefault(setting);
    return {
      key,
      flag: flagOf(key),
      ...(Object.hasOwn(longer, key) ? { formerly: kebab(key) } : former[key] && { formerly: former[key] }),
      ...(group && { group }),
      doc,
      value,
      ...(printed && { default: printed }),
      fromText,
    };
  });
}

function printedDefault({ shown, default: standard }: Setting<unknown>): string | undefined {
  if (shown !== undefined) return shown;
  if (standard === required) return 'required';
  return standard === null || standard === undefined ? undefined : String(standard);
}

/**
 * The value of a setting: the given one, checked, or its default.
 *
 * @param name for messages
 * @param above the values that a computed default depends on
 * @param Missing the kind of error for a value that is required
 * @throws ConfigError if the value is invalid, naming the expected and the actual value, and the remedy
 */
export function completeSetting(
  name: string,
  setting: Setting<unknown>,
  given: unknown,
  above: Settled = {},
  Missing: typeof ConfigError = ConfigError,
): unknown {
  const { default: standard, accept, expected, remedy = '', value } = setting;
  if (given === undefined || given === null) {
    if (standard === required) throw new Missing(`${name} is required. ${remedy}`.trim());
    return typeof standard === 'function' ? standard(above) : standard;
  }
  const accepted = accept(given);
  if (accepted !== undefined) return accepted;
  const names = value.split('|').filter((each) => each === each.toLowerCase()); // N or DIR stand for something
  const close = typeof given === 'string' ? nearest(given, names) : undefined;
  const beyond = Number.isFinite(given) && !fitsF32(given as number) ? ', which is beyond f32' : '';
  const advice = close ? `Did you mean '${close}'?` : remedy;
  throw new ConfigError(`${name}: expected ${expected}, got ${show(given)}${beyond}. ${advice}`.trim());
}
