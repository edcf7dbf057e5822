import { ValidationError } from '../errors.js';
import type { Device } from './device.js';

/** Copies a small buffer back, step after step, by a staging buffer that is made once: a steady step creates nothing. */
export class Readback {
  readonly #device: Device;
  readonly #source: GPUBuffer;
  readonly #staging: GPUBuffer;

  constructor(device: Device, source: GPUBuffer, bytes: number) {
    this.#device = device;
    this.#source = source;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    this.#staging = device.buffer(`${source.label}.readback`, bytes, usage);
  }

  /** The source's contents after all work submitted so far. One snapshot at a time. */
  async snapshot(): Promise<Float32Array<ArrayBuffer>> {
    if (this.#staging.mapState !== 'unmapped')
      throw new ValidationError(`internal: readback of ${this.#source.label}: one is under way`);
    const encoder = this.#device.gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#source, 0, this.#staging, 0, this.#staging.size);
    this.#device.gpu.queue.submit([encoder.finish()]);
    await this.#device.wait(this.#staging.mapAsync(GPUMapMode.READ));
    const data = new Float32Array(this.#staging.getMappedRange().slice(0));
    this.#staging.unmap();
    return data;
  }

  dispose(): void {
    this.#device.free(this.#staging);
  }
}
