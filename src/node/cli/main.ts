#!/usr/bin/env node
// The command line as a process: its arguments, its output, its exit code.

import { keepQuiet } from '../device/quiet.js';
import { runCommandLine } from './command_line.js';

// A reader that goes away, as in `slimgrad --help | head -1`, is no error. A run that listens writes its checkpoint first.
process.stdout.once('error', (error: NodeJS.ErrnoException) => {
  process.stdout.on('error', () => undefined);
  const isGone = error.code === 'EPIPE';
  if (!isGone) console.error(`slimgrad: cannot write to the standard output: ${error.message}`);
  if (!process.emit('SIGPIPE')) process.exit(isGone ? 0 : 1);
});
keepQuiet();
process.exitCode = await runCommandLine(process.argv.slice(2));
