// How a command line is read, by `parseArgs` of Node; one mechanism for commands, benches and experiments. A flag is declared
// once, as a setting (../../config/kinds.ts): parsing, checks, help and completion all come from there.
import { parseArgs } from 'node:util';
import { completeSetting, type Flag, flagOf, type Settings, type Values } from '../../config/flags.js';
import { nearest } from '../../config/names.js';
import { ConfigError } from '../../errors.js';

/** A parsed command line: values as they were given, unchecked, and positional arguments. */
export interface CommandLine {
  readonly values: Readonly<Record<string, unknown>>;
  readonly positional: readonly string[];
}

/** A command line that cannot be understood: exit code 2. */
export class UsageError extends ConfigError {
  override name = 'UsageError';
}

/**
 * Reads `args` by `flags`. `--flag value` and `--flag=value` mean the same; `--` ends the flags.
 *
 * @throws UsageError for an unknown flag (with the nearest known one), a flag given twice, or a missing value
 */
export function parseFlags(args: readonly string[], flags: readonly Flag[]): CommandLine {
  const known = new Map<string, Flag>();
  for (const flag of flags) for (const name of [flag.flag, flag.formerly]) if (name) known.set(name.slice(2), flag);
  const options = Object.fromEntries(
    Array.from(known, ([name, { value }]) => [name, { type: value ? ('string' as const) : ('boolean' as const) }]),
  );
  const { tokens, positionals } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  const values: Record<string, unknown> = {};
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const { name, value, inlineValue } = token;
    const own = token.rawName.startsWith('--') ? known.get(name) : undefined;
    const switched = own || !name.startsWith('no-') ? undefined : known.get(name.slice(3));
    const negated = switched?.value === '' ? switched : undefined;
    const flag = own ?? negated;
    if (!flag) throw unknownFlag(args[token.index].split('=')[0], flags);
    if (Object.hasOwn(values, flag.key)) throw new UsageError(`${flag.flag}: given twice; expected it once`);
    if (negated && inlineValue) throw new UsageError(`--${name}: takes no value, got '${value}'`);
    values[flag.key] = flag.value ? readValue(flag, value, inlineValue) : readSwitch(flag, negated ? 'false' : value);
  }
  return { values, positional: positionals };
}

function readValue(flag: Flag, text: string | undefined, inline: boolean | undefined): unknown {
  if (text === undefined || (!inline && /^--[a-z]/i.test(text)))
    throw new UsageError(`${flag.flag}: expected ${flag.value} after it, got ${text ? `'${text}'` : 'nothing'}`);
  return flag.fromText(text);
}

function readSwitch(flag: Flag, text = 'true'): boolean {
  if (text !== 'true' && text !== 'false')
    throw new UsageError(`${flag.flag}: expected nothing, =true or =false after it, got '${text}'`);
  return text === 'true';
}

function unknownFlag(name: string, flags: readonly Flag[]): UsageError {
  const names = flags.map(({ flag }) => flag);
  const close = nearest(name, names);
  return new UsageError(
    `unknown flag '${name}': ${close ? `did you mean '${close}'?` : 'see --help for the available flags'}`,
  );
}

/**
 * The values of `settings`, defaults filled in.
 *
 * @param help the command line that prints the help, for what is missing
 * @throws UsageError where one is missing, ConfigError where one is out of range, by the name of its flag
 */
export function completeFlags<S extends Settings>(
  help: string,
  settings: S,
  given: Readonly<Record<string, unknown>>,
): Values<S> {
  const complete = Object.entries(settings).map(([key, setting]) => {
    const helped = given[key] === undefined ? { ...setting, remedy: `See ${help} --help.` } : setting;
    return [key, completeSetting(flagOf(key), helped, given[key], {}, UsageError)] as const;
  });
  return Object.fromEntries(complete) as Values<S>;
}

/** The flags as help text of at most 80 columns, by group. */
export function describeFlags(flags: readonly Flag[]): string {
  const lines: string[] = [];
  let group: string | undefined;
  for (const flag of flags) {
    if (flag.group !== group) {
      group = flag.group;
      lines.push('', `${group}:`);
    }
    // a switch that is on by default is shown with the form that turns it off
    const name = flag.value === '' && flag.default?.startsWith('true') ? flag.flag.replace('--', '--[no-]') : flag.flag;
    const head = `  ${name}${flag.value ? ` ${flag.value}` : ''}`;
    const [first, ...rest] = wrap([...flag.doc.split(' '), ...noteOf(flag)], 80 - column);
    if (head.length < column - 1) lines.push(head.padEnd(column) + first);
    else lines.push(...folded(head, name.length + 3), ' '.repeat(column) + first);
    for (const line of rest) lines.push(' '.repeat(column) + line);
  }
  return lines.join('\n').replace(/^\n/, '');
}

const column = 26;

/** The default in brackets, as one word that is not broken across lines unless it is longer than a line. Switches default to off. */
function noteOf({ value, default: standard }: Flag): string[] {
  if (!standard || (value === '' && standard === 'false')) return [];
  const note = standard.startsWith('required') ? `[${standard}]` : `[default ${standard}]`;
  return note.length <= 80 - column ? [note] : note.split(' ');
}

/** A flag whose values, divided by |, are too many for a line of 80 columns; later lines are indented. */
function folded(head: string, indent: number): string[] {
  const lines = [''];
  for (const part of head.split(/(?<=\|)/)) {
    if (lines[lines.length - 1].length + part.length > 80) lines.push(' '.repeat(indent));
    lines[lines.length - 1] += part;
  }
  return lines;
}

function wrap(words: readonly string[], width: number): string[] {
  const lines: string[] = [''];
  for (const word of words) {
    const last = lines.length - 1;
    if (lines[last] === '') lines[last] = word;
    else if (lines[last].length + 1 + word.length <= width) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}
