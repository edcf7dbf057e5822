// Images that tests make for themselves, in memory.
import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { generator } from '../../random.js';

const random = generator();
export const integer = (from: number, to: number) => from + Math.floor(random() * (to - from + 1));

export const raw = (data: Uint8Array | Uint16Array, width: number, height: number, channels: 1 | 2 | 3 | 4) =>
  sharp(data, { raw: { width, height, channels } });

/** Noise: nothing that a format can leave out. */
export function noise(width: number, height: number, channels: 1 | 3 | 4 = 3): Sharp {
  const data = Uint8Array.from({ length: width * height * channels }, () => integer(0, 255));
  return raw(data, width, height, channels);
}

/** A TIFF of one strip, its directory before the values. Kinds: 1 unsigned, 2 signed, 3 float. */
export function tiff(
  values: Uint16Array | Int16Array | Uint32Array | Float32Array | Float64Array | Uint8Array,
  width: number,
  height: number,
  channels: number,
  kind: number,
  bits = values.BYTES_PER_ELEMENT * 8,
): Buffer {
  const short = (tag: number, ...all: number[]) => ({ tag, type: 3, all });
  const long = (tag: number, value: number) => ({ tag, type: 4, all: [value] });
  const size = values.byteLength;
  const entries = (start: number) => [
    long(256, width),
    long(257, height),
    short(258, ...new Array(channels).fill(bits)),
    short(259, 1),
    short(262, channels > 2 ? 2 : 1),
    long(273, start),
    short(277, channels),
    long(278, height),
    long(279, size),
    ...(channels % 2 ? [] : [short(338, 2)]),
    short(339, ...new Array(channels).fill(kind)),
  ];
  const count = entries(0).length;
  const beside = 8 + 2 + 12 * count + 4;
  const start = beside + 2 * 2 * channels;
  const head = Buffer.alloc(start);
  head.write('II*\0', 'latin1');
  head.writeUInt32LE(8, 4);
  head.writeUInt16LE(count, 8);
  let far = beside;
  for (const [i, { tag, type, all }] of entries(start).entries()) {
    const at = 10 + 12 * i;
    head.writeUInt16LE(tag, at);
    head.writeUInt16LE(type, at + 2);
    head.writeUInt32LE(all.length, at + 4);
    if (type === 4) head.writeUInt32LE(all[0], at + 8);
    else if (all.length <= 2) for (const [k, value] of all.entries()) head.writeUInt16LE(value, at + 8 + 2 * k);
    else {
      head.writeUInt32LE(far, at + 8);
      for (const value of all) far = head.writeUInt16LE(value, far);
    }
  }
  return Buffer.concat([head, Buffer.from(values.buffer, values.byteOffset, size)]);
}

/** A PNG with a chunk after its header. */
export const withChunk = (png: Buffer, type: string, data: Buffer | string, wrong = 0) => {
  const body = Buffer.concat([Buffer.from(type), Buffer.from(data as string, 'latin1')]);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(body.length - 4, 0);
  numbers.writeUInt32BE((crc32(body) ^ wrong) >>> 0, 4);
  return Buffer.concat([png.subarray(0, 33), numbers.subarray(0, 4), body, numbers.subarray(4), png.subarray(33)]);
};
