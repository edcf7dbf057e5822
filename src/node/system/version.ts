import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The version in slimgrad's own package.json, which stands above this file wherever that was built to. */
export const version = versionAbove(dirname(fileURLToPath(import.meta.url)));

function versionAbove(folder: string): string {
  try {
    const { name, version: found } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    if (name === 'slimgrad') return found;
  } catch {
    // Not this folder.
  }
  const above = dirname(folder);
  return above === folder ? 'unknown' : versionAbove(above);
}
