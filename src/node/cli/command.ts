import { describeFlags, type Flag, type Parsed, parseFlags, UsageError } from './flags.js';

/** A command of the command line. */
export interface Command {
  name: string;
  /** What it does, in a line. */
  summary: string;
  /** Its line of usage, after "slimgrad". */
  usage: string;
  /** Names of what stands without a flag; each is needed. */
  positional: readonly string[];
  flags: readonly Flag[];
  /** Command lines to copy, each with what it does. */
  examples: readonly (readonly [line: string, doc: string])[];
  /** Runs it; the number is the exit code. */
  run(parsed: Parsed): Promise<number>;
}

/** Reads a command's flags and checks what stands without one. */
export function readCommand({ name, flags, positional }: Command, args: readonly string[]): Parsed {
  const parsed = parseFlags(args, flags);
  const [extra] = parsed.positional.slice(positional.length);
  if (extra !== undefined) {
    throw new UsageError(`${name}: did not expect '${extra}'; see slimgrad ${name} --help`);
  }
  const missing = positional[parsed.positional.length];
  if (missing !== undefined) throw new UsageError(`${name}: expected ${missing}; see slimgrad ${name} --help`);
  return parsed;
}

/** The help text of a command. */
export function helpOf({ name, summary, usage, flags, examples }: Command): string {
  const lines = examples.flatMap(([line, doc]) => [`  # ${doc}`, `  ${line}`]);
  const parts = [`slimgrad ${name}: ${summary}`, `Usage: slimgrad ${usage}`, describeFlags(flags)];
  return [...parts, `Examples:\n${lines.join('\n')}`].filter((part) => part !== '').join('\n\n');
}
