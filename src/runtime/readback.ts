import { ValidationError } from '../errors.js';
import type { Device } from './device.js';

/** Copies one small buffer back again and again through a fixed ring of staging buffers: nothing is created a step. */
export class Readback {
  readonly #device: Device;
  readonly #source: GPUBuffer;
  readonly #bytes: number;
  readonly #free: GPUBuffer[];
  readonly #all: readonly GPUBuffer[];

  /** @param depth how many snapshots may be under way at once. */
  constructor(device: Device, source: GPUBuffer, bytes: number, depth = 3) {
    this.#device = device;
    this.#source = source;
    this.#bytes = bytes;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    this.#all = Array.from({ length: depth }, (_, i) => device.buffer(`${source.label}.readback${i}`, bytes, usage));
    this.#free = [...this.#all];
  }

  /** The source's contents after all work submitted so far. */
  async snapshot(): Promise<Float32Array<ArrayBuffer>> {
    const staging = this.#free.pop();
    if (!staging)
      throw new ValidationError(`internal: readback of ${this.#source.label}: more than ${this.#all.length} under way`);
    const encoder = this.#device.gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#source, 0, staging, 0, this.#bytes);
    this.#device.gpu.queue.submit([encoder.finish()]);
    await this.#device.wait(staging.mapAsync(GPUMapMode.READ));
    const data = new Float32Array(staging.getMappedRange().slice(0));
    staging.unmap();
    this.#free.push(staging);
    return data;
  }

  dispose(): void {
    for (const buffer of this.#all) this.#device.free(buffer);
  }
}
