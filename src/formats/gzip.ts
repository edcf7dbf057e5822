import { DataError } from '../errors.js';

/**
 * The bytes themselves, or what they unpack to when they begin as gzip does. A DataError names `name` where that fails,
 * and where more than `most` bytes come out.
 */
export async function gunzip(bytes: Uint8Array, name: string, most = 2 ** 30): Promise<Uint8Array> {
  if (bytes.length < 2 || bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const parts: Uint8Array[] = [];
  let total = 0;
  try {
    const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream('gzip'));
    const reader = stream.getReader();
    // Memory follows what really comes out, and a small file that unpacks without end is cut off.
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      total += part.value.length;
      if (total > most) {
        await reader.cancel();
        throw new DataError(`${name}: unpacks to more than ${most} bytes; unpack it yourself if that is meant`);
      }
    }
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`${name}: not a complete gzip file of ${bytes.length} bytes; fetch it again`, { cause });
  }
  const whole = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
