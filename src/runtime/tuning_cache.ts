import { DeviceError } from '../errors.js';
import type { TuningCache } from './tuner.js';

/** Keeps results in memory, for the lifetime of the page or process. */
export function memoryTuningCache(): TuningCache {
  const adapters = new Map<string, Readonly<Record<string, string>>>();
  return {
    load: async (adapter) => adapters.get(adapter) ?? {},
    save: async (adapter, winners) => void adapters.set(adapter, { ...winners }),
  };
}

const store = 'winners';

/**
 * Keeps results in the browser's IndexedDB `name`, for this origin.
 *
 * @throws DeviceError, on use, where IndexedDB is missing or cannot be opened, as in private windows of some browsers:
 * use `memoryTuningCache()` there
 */
export function browserTuningCache(name = 'slimgrad'): TuningCache {
  const transact = async <T>(mode: IDBTransactionMode, use: (winners: IDBObjectStore) => IDBRequest<T>): Promise<T> => {
    if (!globalThis.indexedDB)
      throw new DeviceError('tuning: this environment has no indexedDB; use memoryTuningCache()');
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(store);
    const database = await settled(opening);
    try {
      return await settled(use(database.transaction(store, mode).objectStore(store)));
    } finally {
      database.close();
    }
  };
  return {
    load: async (adapter) => (await transact('readonly', (winners) => winners.get(adapter))) ?? {},
    save: async (adapter, found) => void (await transact('readwrite', (winners) => winners.put({ ...found }, adapter))),
  };
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () =>
      reject(
        new DeviceError(`tuning: the browser's database failed: ${request.error?.message}`, { cause: request.error }),
      );
  });
}
