import { nearest } from '../../config/names.js';
import { ConfigError } from '../../errors.js';

/** A flag of a command. */
export interface Flag {
  /** With its dashes, as `--out`. */
  flag: string;
  /** Key of the value among the parsed ones. */
  key: string;
  doc: string;
  /** Placeholder of the value; '' for a switch, which also knows `--no-...` and `=true`, `=false`. */
  value: string;
  /** As help prints it; nothing where there is none. */
  default?: string;
  group?: string;
  fromText?(text: string): unknown;
}

/** What a command line says. */
export interface Parsed {
  values: Record<string, unknown>;
  positional: string[];
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
export function parseFlags(args: readonly string[], flags: readonly Flag[]): Parsed {
  const values: Record<string, unknown> = {};
  const positional: string[] = [];
  const given = new Set<string>();
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === '--') {
      positional.push(...args.slice(i + 1));
      break;
    }
    if (!/^--?[a-z]/i.test(arg)) {
      positional.push(arg);
      continue;
    }
    const equals = arg.indexOf('=');
    const name = equals < 0 ? arg : arg.slice(0, equals);
    const negated = name.startsWith('--no-')
      ? flags.find((f) => f.value === '' && f.flag === `--${name.slice(5)}`)
      : undefined;
    const flag = negated ?? flags.find((f) => f.flag === name);
    if (!flag) throw unknownFlag(name, flags);
    if (given.has(flag.key)) throw new UsageError(`${flag.flag}: given twice; expected it once`);
    given.add(flag.key);
    if (flag.value === '') {
      if (negated && equals >= 0) throw new UsageError(`${name}: takes no value, got '${arg.slice(equals + 1)}'`);
      values[flag.key] = switched(flag, negated ? 'false' : equals < 0 ? 'true' : arg.slice(equals + 1));
      continue;
    }
    const text = equals < 0 ? args[++i] : arg.slice(equals + 1);
    if (text === undefined || (equals < 0 && /^--[a-z]/i.test(text))) {
      throw new UsageError(`${flag.flag}: expected ${flag.value} after it, got ${text ? `'${text}'` : 'nothing'}`);
    }
    if (text === '' && !flag.fromText) throw new UsageError(`${flag.flag}: expected ${flag.value} after it, got ''`);
    values[flag.key] = flag.fromText ? flag.fromText(text) : text;
  }
  return { values, positional };
}

function switched(flag: Flag, text: string): boolean {
  if (text !== 'true' && text !== 'false') {
    throw new UsageError(`${flag.flag}: expected nothing, =true or =false after it, got '${text}'`);
  }
  return text === 'true';
}

function unknownFlag(name: string, flags: readonly Flag[]): UsageError {
  const close = nearest(
    name,
    flags.map((f) => f.flag),
  );
  return new UsageError(
    `unknown flag '${name}': ${close ? `did you mean '${close}'?` : 'see --help for those there are'}`,
  );
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
    // A switch that is on by default is there to be turned off.
    const name = flag.value === '' && flag.default?.startsWith('true') ? flag.flag.replace('--', '--[no-]') : flag.flag;
    const head = `  ${name}${flag.value ? ` ${flag.value}` : ''}`;
    const note = flag.default ? `${flag.doc} [${flag.default}]` : flag.doc;
    const [first, ...rest] = wrap(note, 80 - column);
    if (head.length < column - 1) lines.push(head.padEnd(column) + first);
    else lines.push(...folded(head, name.length + 3), ' '.repeat(column) + first);
    for (const line of rest) lines.push(' '.repeat(column) + line);
  }
  return lines.join('\n').replace(/^\n/, '');
}

const column = 26;

/** A flag whose values, divided by |, are too many for a line of 80 columns; later lines are indented. */
function folded(head: string, indent: number): string[] {
  const lines = [''];
  for (const part of head.split(/(?<=\|)/)) {
    if (lines[lines.length - 1].length + part.length > 80) lines.push(' '.repeat(indent));
    lines[lines.length - 1] += part;
  }
  return lines;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const last = lines.length - 1;
    if (lines[last] === '') lines[last] = word;
    else if (lines[last].length + 1 + word.length <= width) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}
