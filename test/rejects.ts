import * as assert from 'uvu/assert';
import type { SlimgradError } from '../src/errors.js';

/** Fails unless `work` throws, at once or by its promise, an error of this kind with this message. */
export async function rejects(
  work: () => unknown,
  kind: new (message: string) => SlimgradError,
  message: RegExp,
): Promise<void> {
  let error: unknown;
  try {
    await work();
  } catch (thrown) {
    error = thrown;
  }
  assert.instance(error, kind, `expected ${message}, got ${(error as Error)?.stack ?? 'no error'}`);
  assert.match((error as Error).message, message);
}
