import { createRequire } from 'node:module';
import { DataError } from '../../errors.js';
import { findEntries, wordsFor } from '../system/packages.js';

export { MID_GRAY } from '../../data/rgba_image.js';

type SharpModule = typeof import('sharp').default;

/** Looked for once, though every image asks. */
let usable: SharpModule | undefined;

/**
 * The optional package that decodes images, from the project that installed slimgrad. A DataError prints the line that
 * installs it.
 */
export async function loadSharp(wanted: string): Promise<SharpModule> {
  if (usable) return usable;
  const sharp = load(wanted);
  if (typeof sharp.prototype.autoOrient === 'function') {
    usable = sharp;
    return sharp;
  }
  throw new DataError(
    `${wanted} needs sharp 0.34 or newer, but ${sharp.versions.sharp} is installed: npm i -D sharp@latest`,
  );
}

function load(wanted: string): SharpModule {
  let cause: unknown;
  for (const entry of findEntries('sharp')) {
    try {
      return createRequire(entry)(entry) as SharpModule;
    } catch (error) {
      // Its native part may be another platform's; the next place may have the right one.
      cause ??= error;
    }
  }
  const why =
    cause === undefined ? 'is not installed' : `cannot be loaded (${(cause as Error).message.split('\n')[0]})`;
  throw new DataError(`${wanted} needs the package sharp, which ${why}, ${wordsFor()}: npm i -D sharp`, { cause });
}
