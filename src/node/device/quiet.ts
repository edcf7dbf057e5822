// Keeps what Dawn and the GPU drivers print out of a command's output. They write to descriptor 2 from native code when an instance
// first looks for adapters; Dawn has no option against it, and Node no call that exchanges a descriptor for another and back. So
// the descriptor is closed and opened again, which is for a process that is slimgrad's own: in a program's, another thread could open
// a file in between. `driverLines` shows what was printed.
import { closeSync, fstatSync, openSync } from 'node:fs';

let quiet = false;

/** Has `quietly` keep the standard error clean from now on: for the command line. */
export function keepQuiet(): void {
  quiet = true;
}

/**
 * Does some work at once, and where `keepQuiet` was called what it writes to the standard error goes nowhere. That is so on Linux
 * with a terminal or a pipe, which can be opened a second time; a file or a socket is left alone, whose place others share.
 */
export function quietly<T>(work: () => T): T {
  const again = quiet ? reopened() : undefined;
  if (again === undefined) return work();
  closeSync(2);
  openSync('/dev/null', 'w'); // takes the lowest number that is free
  try {
    return work();
  } finally {
    closeSync(2);
    openSync(`/proc/self/fd/${again}`, 'a');
    closeSync(again);
  }
}

/** The standard error under another number; undefined where it cannot be had, or must not. */
function reopened(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const kind = fstatSync(2);
    const again = kind.isCharacterDevice() || kind.isFIFO() ? openSync('/proc/self/fd/2', 'a') : undefined;
    if (again !== 2) return again;
  } catch {
    // closed, or not this user's to open
  }
  return undefined;
}
