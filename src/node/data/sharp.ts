import { DataError } from '../../errors.js';

type SharpModule = typeof import('sharp').default;

/** What transparent pixels are laid on, in every reader: mid-grey. */
export const MID_GREY = { r: 128, g: 128, b: 128 } as const;

/** The optional package that decodes pictures. A DataError prints the line that installs it. */
export async function loadSharp(wanted: string): Promise<SharpModule> {
  try {
    return (await import('sharp')).default;
  } catch (cause) {
    throw new DataError(`${wanted} needs the package sharp, which cannot be loaded here: npm i -D sharp`, { cause });
  }
}
