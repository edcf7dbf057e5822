import { dirname, join } from 'node:path';
import { DataError } from '../../errors.js';
import type { TuningCache } from '../../runtime/tuner.js';
import { cacheFolders, closeFolder, makeClosedFolder } from '../system/cache.js';
import { readBytes, writeFileAtomic } from '../system/files.js';

type Adapters = Record<string, Readonly<Record<string, string>>>;

/** Where tuned kernels are remembered unless a file is named. */
export function tuningPath(): string {
  return join(cacheFolders()[0], 'tuning.json');
}

/**
 * Remembers what won in a file, by adapter. Its folder is to be this user's alone: writing follows links. A file that cannot
 * be read counts as empty; one that cannot be written is noted.
 */
export function fileTuningCache(file: string, note: (line: string) => void): TuningCache {
  const read = async (): Promise<Adapters> => {
    try {
      closeFolder(dirname(file));
      return adaptersIn(JSON.parse(new TextDecoder().decode(await readBytes(file))));
    } catch {
      return {};
    }
  };
  return {
    load: async (adapter) => (await read())[adapter] ?? {},
    save: async (adapter, winners) => {
      try {
        makeClosedFolder(dirname(file));
      } catch (error) {
        note(`Tuned kernels are not remembered: ${(error as Error).message}`);
        return;
      }
      try {
        await writeFileAtomic(file, `${JSON.stringify({ ...(await read()), [adapter]: winners }, null, 1)}\n`);
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        note(`Tuned kernels are not remembered: ${error.message}`);
      }
    },
  };
}

/** The entries of a file's contents that are what this module writes. */
function adaptersIn(contents: unknown): Adapters {
  const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
  if (!isObject(contents)) return {};
  return Object.fromEntries(
    Object.entries(contents).filter(
      ([, winners]) => isObject(winners) && Object.values(winners).every((name) => typeof name === 'string'),
    ),
  );
}
