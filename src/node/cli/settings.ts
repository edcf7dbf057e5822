import { dataSettings } from '../../config/data.js';
import { required, type Setting } from '../../config/kinds.js';
import { flagOf } from '../../config/settings.js';
import { ConfigError } from '../../errors.js';
import { type Flag, UsageError } from './flags.js';

type Settings = Readonly<Record<string, Setting<unknown>>>;
type Values<S extends Settings> = { -readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** The settings of a command as flags: a key in camelCase is a flag in kebab-case. */
export function flagsOf(settings: Settings): Flag[] {
  return Object.entries(settings).map(([key, { doc, value, shown, default: standard, fromText }]) => ({
    key,
    flag: flagOf(key),
    doc,
    value,
    ...(standard === required
      ? { default: 'needed' }
      : standard === null || standard === undefined
        ? shown !== undefined && { default: shown }
        : { default: shown ?? String(standard) }),
    fromText,
  }));
}

/**
 * The values of a command's settings, defaults filled in.
 *
 * @throws UsageError where one is missing, ConfigError where one is out of range, by the name of its flag
 */
export function settle<S extends Settings>(command: string, settings: S, values: Record<string, unknown>): Values<S> {
  const settled = Object.entries(settings).map(([key, { default: standard, accept, expected, remedy }]) => {
    const given = values[key];
    if (given === undefined) {
      if (standard === required)
        throw new UsageError(`${flagOf(key)}: needed, but not given; see slimgrad ${command} --help`);
      return [key, standard] as const;
    }
    const accepted = accept(given);
    if (accepted === undefined)
      throw new ConfigError(
        `${flagOf(key)}: expected ${expected}, got ${Array.isArray(given) ? `'${given.join(',')}'` : `'${given}'`}` +
          `${remedy ? `. ${remedy}` : ''}`,
      );
    return [key, accepted] as const;
  });
  return Object.fromEntries(settled) as Values<S>;
}

/** --range, for commands whose other flags are no settings. */
export const rangeFlag: Flag = {
  flag: '--range',
  key: 'range',
  value: dataSettings.range.value,
  doc: dataSettings.range.doc,
  default: "that of the encoder's training",
  fromText: (given) => settle('', { range: dataSettings.range }, { range: dataSettings.range.fromText(given) }).range,
};
