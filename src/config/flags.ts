// A setting as a flag of a command line: its name, what help prints as its default, and the check of what is given.
// Knows neither commands nor how a command line is read (../node/cli/flags.ts).
import { fitsF32 } from '../checks/range.js';
import { ConfigError } from '../errors.js';
import { show } from '../train/schedule.js';
import { required, type Setting, type Settled } from './kinds.js';
import { nearest } from './names.js';

export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type Values<S extends Settings> = { -readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** What a command line needs to know about a setting. */
export interface Flag {
  key: string;
  /** With its dashes, as `--out`. */
  flag: string;
  /** An earlier spelling, which is read as well. */
  formerly?: string;
  group?: string;
  doc: string;
  /** Placeholder of the value; '' for a switch, which also has `--no-...`, `=true` and `=false`. */
  value: string;
  /** As help prints it; nothing where there is none. */
  default?: string;
  fromText(text: string): unknown;
}

/** Flags that say more than their settings' keys do; the keys' own spellings are read as well. */
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

/** Other spellings that flags had. */
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
 * The value of a setting: what is given, checked, or its default.
 *
 * @param name as messages have it
 * @param above the values that a computed default depends on
 * @param Missing the kind of error for a value that is required
 * @throws ConfigError where the value is out of range, naming what was expected, what came, and the remedy
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
