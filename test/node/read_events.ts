import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';

/** An event of TensorBoard's: its version where it is the first, else a step's scalars. */
export interface Event {
  readonly time: number;
  readonly step: number;
  readonly version?: string;
  readonly scalars: ReadonlyMap<string, number>;
}

/** The one event file of a folder, every checksum and every byte of it accounted for. */
export function readEvents(folder: string): Event[] {
  const names = readdirSync(folder).filter((name) => name.includes('tfevents'));
  assert.is(names.length, 1, `one event file, found ${names}`);
  const file = readFileSync(join(folder, names[0]));
  const events: Event[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    assert.is(file.readUInt32LE(at + 8), masked(file.subarray(at, at + 8)), `checksum of the length at byte ${at}`);
    const data = file.subarray(at + 12, at + 12 + length);
    assert.is(data.length, length, `a whole record at byte ${at}`);
    assert.is(file.readUInt32LE(at + 12 + length), masked(data), `checksum of the record at byte ${at}`);
    events.push(eventOf(data));
    at += 16 + length;
  }
  return events;
}

function eventOf(data: Buffer): Event {
  const fields = fieldsOf(data);
  const values = (fields.get(5) ?? []).flatMap((summary) => fieldsOf(summary).get(1) ?? []);
  return {
    time: fields.get(1)![0].readDoubleLE(0),
    step: varint(fields.get(2)?.[0] ?? Buffer.of(0)).value,
    ...(fields.has(3) && { version: fields.get(3)![0].toString() }),
    scalars: new Map(
      values.map((value) => {
        const parts = fieldsOf(value);
        assert.equal([...parts.keys()], [1, 2], 'a tag and a simple value');
        return [parts.get(1)![0].toString(), parts.get(2)![0].readFloatLE(0)];
      }),
    ),
  };
}

/** Payloads of a message's fields, by number. */
function fieldsOf(message: Buffer): Map<number, Buffer[]> {
  const fields = new Map<number, Buffer[]>();
  for (let at = 0; at < message.length; ) {
    const tag = varint(message.subarray(at));
    at += tag.bytes;
    const rest = message.subarray(at);
    const fixed = { 0: varint, 1: () => ({ bytes: 8 }), 5: () => ({ bytes: 4 }) }[tag.value & 7];
    let head = 0;
    let bytes = fixed?.(rest).bytes;
    if (bytes === undefined) {
      assert.is(tag.value & 7, 2, 'a wire type of 0, 1, 2 or 5');
      const length = varint(rest);
      [head, bytes] = [length.bytes, length.value];
    }
    const payload = rest.subarray(head, head + bytes);
    assert.is(payload.length, bytes, `field ${tag.value >> 3} is whole`);
    fields.set(tag.value >> 3, [...(fields.get(tag.value >> 3) ?? []), payload]);
    at += head + bytes;
  }
  return fields;
}

function varint(bytes: Buffer): { value: number; bytes: number } {
  let value = 0;
  for (let i = 0; i < bytes.length; i++) {
    value += (bytes[i] & 0x7f) * 2 ** (7 * i);
    if (bytes[i] < 0x80) return { value, bytes: i + 1 };
  }
  throw new Error('a varint is cut short');
}

/** CRC-32C bit by bit, then masked as TFRecord asks. */
function masked(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc & 1n ? 0x82f63b78n : 0n);
  }
  crc ^= 0xffffffffn;
  return Number((((crc >> 15n) | ((crc << 17n) & 0xffffffffn)) + 0xa282ead8n) & 0xffffffffn);
}

/** Fails unless the folder's event file says what its metrics.jsonl does, each step once. */
export function eventsMatchMetrics(folder: string): void {
  const [version, ...events] = readEvents(folder);
  assert.equal([version.version, version.step, version.scalars.size], ['brain.Event:2', 0, 0]);
  const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n');
  assert.is(events.length, lines.length, 'an event a step');
  for (const [i, line] of lines.entries()) {
    const { step, time, ...metrics } = JSON.parse(line);
    assert.equal([events[i].step, events[i].time], [step, Date.parse(time) / 1000]);
    const rounded = Object.entries(metrics).map(([name, value]) => [
      name.replace('.', '/'),
      Math.fround(Number(value)),
    ]);
    assert.ok(rounded.length > 3, 'metrics are logged');
    assert.equal([...events[i].scalars], rounded, `step ${step}`);
  }
}
