import { Message } from './protobuf.js';

/**
 * TensorBoard's event files: records of the TFRecord format, each an Event of TensorFlow's protocol buffers
 * (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto).
 */

/** The record that an event file begins with. `time` in seconds since 1970. */
export function fileVersion(time: number): Uint8Array<ArrayBuffer> {
  return record(new Message().double(1, time).text(3, 'brain.Event:2').finish());
}

/** The scalars of a step. `time` in seconds since 1970. */
export function scalarEvent(
  step: number,
  time: number,
  scalars: Readonly<Record<string, number>>,
): Uint8Array<ArrayBuffer> {
  const summary = new Message();
  for (const [tag, value] of Object.entries(scalars)) summary.message(1, new Message().text(1, tag).float(2, value));
  return record(new Message().double(1, time).int(2, step).message(5, summary).finish());
}

/** Length (u64), its checksum, the data, their checksum: all little-endian. */
function record(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(16 + data.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedChecksum(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedChecksum(data), true);
  return bytes;
}

/** CRC-32C, turned by 15 bits and moved, so that the checksum of a record that holds a checksum is no special number. */
function maskedChecksum(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** CRC-32C (Castagnoli), bit-reversed polynomial 0x82f63b78. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff];
  return ~crc >>> 0;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});
