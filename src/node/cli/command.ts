import { completeSetting, type Flag } from '../../config/flags.js';
import type { Setting } from '../../config/kinds.js';
import { type CommandLine, describeFlags, parseFlags, UsageError } from './flags.js';

/** A command of the command line. */
export interface Command {
  /** Its line of usage, after "slimgrad". */
  usage: string;
  /** What stands without a flag; each is required. */
  positional: readonly Setting<string>[];
  flags: readonly Flag[];
  /** Command lines to copy, each with what it does. */
  examples: readonly (readonly [line: string, doc: string])[];
  /** Runs it; the number is the exit code. */
  run(line: CommandLine): Promise<number>;
}

/** A command in the overview, which loads none. */
export interface CommandEntry {
  readonly name: string;
  readonly group: string;
  /** What it does, in a line. */
  readonly summary: string;
  load(): Promise<Command>;
}

/** Reads a command's flags and checks what stands without one. */
export function readCommand(name: string, { flags, positional }: Command, args: readonly string[]): CommandLine {
  const line = parseFlags(args, flags);
  const see = `see slimgrad ${name} --help`;
  const [extra] = line.positional.slice(positional.length);
  if (extra !== undefined) throw new UsageError(`${name}: did not expect '${extra}'; ${see}`);
  for (const [i, setting] of positional.entries()) {
    const { value, doc } = setting;
    if (i >= line.positional.length) throw new UsageError(`${name}: expected ${value}, ${doc}; ${see}`);
    completeSetting(`${name}: ${value}`, setting, line.positional[i]);
  }
  return line;
}

/** The help text of a command. */
export function helpOf({ name, summary }: CommandEntry, { usage, flags, examples }: Command): string {
  const lines = examples.flatMap(([line, doc]) => [`  # ${doc}`, `  ${line}`]);
  const parts = [`slimgrad ${name}: ${summary}`, `Usage: slimgrad ${usage}`, describeFlags(flags)];
  return [...parts, `Examples:\n${lines.join('\n')}`].filter((part) => part !== '').join('\n\n');
}
