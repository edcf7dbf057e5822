import { DataError } from '../../errors.js';
import { readBytes } from '../system/files.js';

/** The object in a JSON file of settings. */
export async function readSettings(file: string): Promise<object> {
  const text = new TextDecoder().decode(await readBytes(file));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${file}: not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DataError(`${file}: expected a JSON object of settings, such as {"data": "emoji"}`);
  }
  return value;
}
