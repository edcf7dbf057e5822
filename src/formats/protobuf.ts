/**
 * Protocol buffers, as far as they are written here: a message is its fields in order, each a tag and a value
 * (https://protobuf.dev/programming-guides/encoding). Bytes are appended and joined once, at the end, so that
 * hundreds of megabytes of weights are copied once.
 */
export class Message {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;

  /** Bytes of the message so far. */
  get length(): number {
    return this.#length;
  }

  /** An int32, int64, uint64 or enum. */
  int(field: number, value: number | bigint): this {
    return this.#tag(field, 0).#append(varint(BigInt.asUintN(64, BigInt(value))));
  }

  float(field: number, value: number): this {
    return this.#tag(field, 5).#append(new Uint8Array(littleEndian(4, (view) => view.setFloat32(0, value, true))));
  }

  double(field: number, value: number): this {
    return this.#tag(field, 1).#append(new Uint8Array(littleEndian(8, (view) => view.setFloat64(0, value, true))));
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  bytes(field: number, value: Uint8Array): this {
    return this.#tag(field, 2)
      .#append(varint(BigInt(value.length)))
      .#append(value);
  }

  /** A message within this one. */
  message(field: number, value: Message): this {
    this.#tag(field, 2).#append(varint(BigInt(value.length)));
    for (const chunk of value.#chunks) this.#append(chunk);
    return this;
  }

  /** The message's bytes. */
  finish(): Uint8Array<ArrayBuffer> {
    return join(this.#chunks);
  }

  #tag(field: number, wireType: number): this {
    return this.#append(varint(BigInt((field << 3) | wireType)));
  }

  #append(chunk: Uint8Array): this {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    return this;
  }
}

/** Seven bits a byte, the lowest first; all bytes but the last have their highest bit set. */
function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (; value > 0x7fn; value >>= 7n) bytes.push(Number(value & 0x7fn) | 0x80);
  return Uint8Array.of(...bytes, Number(value));
}

function littleEndian(bytes: number, write: (view: DataView) => void): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(bytes));
  write(view);
  return view.buffer;
}

function join(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
