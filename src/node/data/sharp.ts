import { createRequire } from 'node:module';
import { join } from 'node:path';
import { DataError } from '../../errors.js';

export { MID_GREY } from '../../data/picture.js';

type SharpModule = typeof import('sharp').default;

/** Looked for once, though every picture asks. */
let usable: SharpModule | undefined;

/**
 * The optional package that decodes pictures: the user's own where there is one, else one installed beside this library. A
 * DataError prints the line that installs it.
 */
export async function loadSharp(wanted: string): Promise<SharpModule> {
  if (usable) return usable;
  const sharp = await load(wanted);
  if (typeof sharp.prototype.autoOrient === 'function') {
    usable = sharp;
    return sharp;
  }
  throw new DataError(
    `${wanted} needs sharp 0.34 or newer, but ${sharp.versions.sharp} is installed: npm i -D sharp@latest`,
  );
}

async function load(wanted: string): Promise<SharpModule> {
  try {
    return createRequire(join(process.cwd(), 'package.json'))('sharp') as SharpModule;
  } catch {
    // Not installed there.
  }
  try {
    return (await import('sharp')).default;
  } catch (cause) {
    throw new DataError(`${wanted} needs the package sharp, which cannot be loaded here: npm i -D sharp`, { cause });
  }
}
