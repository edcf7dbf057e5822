import { ValidationError } from '../errors.js';
import type { Device } from './device.js';
import { bufferUsage, mapRead } from './flags.js';

/** A range of a buffer, in bytes. */
export interface Range {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** Reads back a few ranges in every step, through a staging buffer that is created once: a steady step creates nothing. */
export class Readback<Name extends string = string> {
  readonly #device: Device;
  readonly #sources: readonly (readonly [name: Name, range: Range, at: number])[];
  readonly #staging: GPUBuffer;

  constructor(device: Device, label: string, sources: Readonly<Record<Name, Range>>) {
    this.#device = device;
    let end = 0;
    this.#sources = (Object.entries(sources) as [Name, Range][]).map(([name, range]) => {
      const at = end;
      end += range.bytes;
      return [name, range, at];
    });
    const usage = bufferUsage.MAP_READ | bufferUsage.COPY_DST;
    this.#staging = device.buffer(`${label}.readback`, end, usage);
  }

  /** Whether a snapshot is pending. */
  get busy(): boolean {
    return this.#staging.mapState !== 'unmapped';
  }

  /** The ranges' contents after all work submitted so far. One snapshot at a time. */
  async snapshot(): Promise<Record<Name, Float32Array<ArrayBuffer>>> {
    const staging = this.#staging;
    if (this.busy) throw new ValidationError(`${staging.label}: a read is already pending; await it first`);
    const encoder = this.#device.gpu.createCommandEncoder();
    for (const [, { buffer, offset, bytes }, at] of this.#sources)
      encoder.copyBufferToBuffer(buffer, offset, staging, at, bytes);
    this.#device.gpu.queue.submit([encoder.finish()]);
    let data: ArrayBuffer;
    try {
      await this.#device.wait(staging.mapAsync(mapRead));
      data = staging.getMappedRange().slice(0);
    } finally {
      staging.unmap();
    }
    const rows = this.#sources.map(([name, { bytes }, at]) => [name, new Float32Array(data, at, bytes / 4)] as const);
    return Object.fromEntries(rows) as Record<Name, Float32Array<ArrayBuffer>>;
  }

  dispose(): void {
    this.#device.release([this.#staging]);
  }
}
