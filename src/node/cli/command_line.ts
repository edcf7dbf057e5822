// Runs a command line: finds the command, runs it, reports errors. It knows no process: its arguments come in, its exit code goes out.

import { unknown } from '../../config/names.js';
import { SlimgradError } from '../../errors.js';
import { exitCodes, Interrupted } from '../run/pretrain.js';
import { version } from '../system/version.js';
import { helpOf, readCommand } from './command.js';
import { commands } from './commands.js';
import { UsageError } from './flags.js';

const groups = [...new Set(commands.map(({ group }) => group))].map((group) => {
  const own = commands.filter((command) => command.group === group);
  return `${group}:\n${own.map(({ name, summary }) => `  ${name.padEnd(11)} ${summary}`).join('\n')}`;
});

const overview = `slimgrad ${version}: train small vision encoders without labels, on any GPU.

Usage: slimgrad COMMAND [FLAGS]

${groups.join('\n\n')}

  slimgrad COMMAND --help   flags and examples of a command
  slimgrad --version        ${version}

The environment's SLIMGRAD_ADAPTER (auto, system, lavapipe, swiftshader) chooses
the adapter; SLIMGRAD_DEBUG=1 prints plans, 2 also looks for NaN, 3 also prints
WGSL; NO_COLOR keeps the output plain.`;

async function run(args: readonly string[]): Promise<number> {
  const [first, ...others] = args;
  // 'help eval' asks what 'eval --help' does
  const [name, ...rest] = first === 'help' && others.length > 0 ? [others[0], '--help'] : args;
  if (name === '--version' || name === '-v') return say(version);
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console[name === undefined ? 'error' : 'log'](overview);
    return name === undefined ? 2 : 0;
  }
  const entry = commands.find((c) => c.name === name);
  if (!entry) {
    const { message } = unknown(
      name.startsWith('-') ? 'flag' : 'command',
      name,
      commands.map((c) => c.name),
    );
    throw new UsageError(message);
  }
  const command = await entry.load();
  if (rest.includes('--help') || rest.includes('-h')) return say(helpOf(entry, command));
  return command.run(readCommand(name, command, rest));
}

function say(text: string): 0 {
  console.log(text);
  return 0;
}

/** Prints what went wrong, in a line where the user can mend it, and returns the exit code. */
function codeOf(error: unknown): number {
  if (error instanceof Interrupted) {
    console.error(error.message);
    return exitCodes[error.signal];
  }
  if (error instanceof SlimgradError) {
    console.error(`slimgrad: ${error.message}`);
    return error.name === 'UsageError' || error.name === 'ConfigError' ? 2 : 1;
  }
  console.error('slimgrad: internal error. This is a bug of slimgrad; please report it with these lines.');
  console.error(error instanceof Error ? error.stack : error);
  return 1;
}

/** Runs a command line, and prints what goes wrong; the code is the process's exit code. */
export function runCommandLine(args: readonly string[]): Promise<number> {
  return run(args).catch(codeOf);
}
