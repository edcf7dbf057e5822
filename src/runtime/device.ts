/// <reference lib="esnext.disposable" preserve="true" />
// A WebGPU device with what slimgrad keeps for it: buffers, compiled pipelines, errors. `openDevice` opens one.

import { expectOptions } from '../checks/options.js';
import { DeviceError, DeviceLostError, OutOfMemoryError, SlimgradError, ValidationError } from '../errors.js';
import { type Binding, bindingAlignment, bufferOf, type Integer } from '../tensor/binding.js';
import {
  type DeviceIntegers,
  type DeviceParameter,
  DeviceTensor,
  type TensorOptions,
  type Values,
} from '../tensor/device_tensor.js';
import { checkKind } from '../tensor/footprint.js';
import { isSoftware, requestDevice } from './adapter.js';
import type { Debug } from './debug.js';
import { checkDevice, type DeviceOptions, deviceOptions } from './device_options.js';
import { bufferUsage, mapRead } from './flags.js';
import { PipelineCache } from './pipelines.js';

/** Which device made a buffer. */
const makers = new WeakMap<GPUBuffer, GPUDevice>();
const defaultUsage = bufferUsage.STORAGE | bufferUsage.COPY_SRC | bufferUsage.COPY_DST;

/** Opens a device on the caller's device or adapter, or on the adapter that the browser prefers. */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  checkDevice(expectOptions('openDevice', options, deviceOptions));
  if (options.device) return new Device(options.device, options.device.adapterInfo, options);
  const gpu = options.gpu ?? globalThis.navigator?.gpu;
  const adapter =
    options.adapter ?? (await gpu?.requestAdapter({ powerPreference: options.powerPreference ?? 'high-performance' }));
  if (!adapter)
    throw new DeviceError(
      gpu
        ? 'device: expected a WebGPU adapter, but the system offers none; update the GPU driver or enable WebGPU'
        : 'device: this environment has no WebGPU (navigator.gpu is missing); use a current browser over https or ' +
            'localhost, or in Node import openDevice from "slimgrad/node"',
    );
  return new Device(await requestDevice(adapter), adapter.info, options, true);
}

/** A GPUDevice with what slimgrad knows of it: its buffers, its pipelines, its errors. Free it by `dispose()` or `using`. */
export class Device {
  readonly gpu: GPUDevice;
  readonly info: GPUAdapterInfo;
  /** The adapter in words, for logs. */
  readonly name: string;
  /** Whether shaders run on the CPU. */
  readonly software: boolean;
  /** The smallest subgroup that a kernel may count on; 0 where subgroups are missing. */
  readonly subgroupSize: number;
  /** The most bytes that all buffers together may take; default Infinity. */
  readonly memory: number;
  /** The most multiply-adds that one dispatch should take: drivers reset a GPU that one keeps busy for seconds. */
  readonly dispatchMacs: number;
  readonly pipelines: PipelineCache;
  readonly compileDevices: DeviceOptions['compileDevices'];
  /** What prints and checks what plans do. */
  readonly debug: Debug | undefined;
  readonly #owned: boolean;
  readonly #isMeta: boolean;
  readonly #buffers = new Set<GPUBuffer>();
  readonly #freed = new WeakSet<GPUBuffer>();
  /** Buffers whose contents come later, and what brings them. */
  readonly #awaited = new WeakMap<GPUBuffer, string>();
  /** Of buffers that tensors were made with, how many elements these have. */
  readonly #elements = new WeakMap<GPUBuffer, number>();
  readonly #throttle: <T>(pending: Promise<T>) => Promise<T>;
  #changes = 0;
  #failure: SlimgradError | undefined;
  #disposed = false;

  constructor(gpu: GPUDevice, info: GPUAdapterInfo, options: DeviceOptions, owned = false) {
    this.gpu = gpu;
    this.info = info;
    this.name =
      info.description || info.device || [info.vendor, info.architecture].filter(Boolean).join(' ') || 'unnamed';
    this.software = isSoftware(info);
    this.subgroupSize = gpu.features.has('subgroups') ? (info.subgroupMinSize ?? 4) : 0;
    this.dispatchMacs = options.dispatchMacs ?? (this.software ? 64e6 * Math.max(4, this.subgroupSize) : 25e9);
    this.memory = options.memory ?? Number.POSITIVE_INFINITY;
    this.debug = options.debug;
    this.pipelines = new PipelineCache(gpu, options.debug);
    this.compileDevices = options.compileDevices;
    this.#owned = owned;
    this.#isMeta = options.meta ?? false;
    this.#throttle = options.throttle ?? ((pending) => pending);
    gpu.addEventListener('uncapturederror', this.#onError);
    gpu.lost.then(({ reason, message }) => {
      if (this.#disposed) return;
      const error = new DeviceLostError(
        `device: ${this.name} was lost: ${message || reason}; open a new device and resume`,
      );
      this.#failure = error;
      options.onLost?.(error);
    });
  }

  readonly #onError = ({ error }: GPUUncapturedErrorEvent) => {
    const { message } = error;
    this.#failure ??=
      error instanceof GPUOutOfMemoryError ? new OutOfMemoryError(message) : new ValidationError(message);
  };

  get limits(): GPUSupportedLimits {
    return this.gpu.limits;
  }

  get features(): ReadonlySet<string> {
    return this.gpu.features;
  }

  /** Bytes held by buffers that were made here and not yet freed. */
  get allocated(): number {
    let bytes = 0;
    for (const buffer of this.#buffers) bytes += buffer.size;
    return bytes;
  }

  /** How often a buffer was freed, or contents were asked to be waited for: as long as it stays, so does what `assertUsable` says. */
  get changes(): number {
    return this.#changes;
  }

  /** Makes runs that use the buffer fail until it is written; `remedy` names what writes it. */
  awaitContents(buffer: GPUBuffer, remedy: string): void {
    this.#awaited.set(buffer, remedy);
    this.#changes++;
  }

  /** @throws DeviceError where a buffer was freed or is another device's; ValidationError where its contents are still to come */
  assertUsable(buffer: GPUBuffer): void {
    this.assertLive(buffer);
    const remedy = this.#awaited.get(buffer);
    if (remedy !== undefined)
      throw new ValidationError(`${buffer.label}: expected to be filled before a run; ${remedy}`);
  }

  /** A buffer for a tensor, its length rounded up to 64 elements, as optimizers require. */
  tensorBuffer(label: string, elements: number, elementBytes: number): GPUBuffer {
    const block = bindingAlignment / 4;
    const bytes = Math.ceil(elements / block) * block * elementBytes;
    this.check(label, bytes);
    const buffer = this.buffer(label, bytes);
    this.#elements.set(buffer, elements);
    return buffer;
  }

  /** Of a buffer that `tensor` or `parameter` made, how many elements its tensor has. */
  elementsOf(buffer: GPUBuffer): number | undefined {
    return this.#elements.get(buffer);
  }

  /**
   * A storage buffer of `bytes`, rounded up to 16.
   * @throws OutOfMemoryError before anything is allocated where the adapter's limits are too small.
   */
  buffer(label: string, bytes: number, usage: number = defaultUsage): GPUBuffer {
    this.assertHealthy();
    if (!(Number.isSafeInteger(bytes) && bytes >= 0))
      throw new ValidationError(`${label}: expected a size in bytes that is whole and at least 0, got ${bytes}`);
    this.#fits(label, bytes, this.limits.maxBufferSize);
    const buffer = this.gpu.createBuffer({ label, size: Math.max(16, Math.ceil(bytes / 16) * 16), usage });
    this.#buffers.add(buffer);
    makers.set(buffer, this.gpu);
    return buffer;
  }

  /**
   * A dense tensor of these numbers, in memory that the device frees when it is disposed of.
   *
   * @param values one number for all, as many as `shape` has in their order, or what gives the one at a place
   * @throws ShapeError for another number of values, or a side is no whole number of at least 1; ConfigError for what is no
   * number of the dtype; OutOfMemoryError before anything is allocated where the adapter's limits are too small
   */
  tensor<I extends Integer>(
    shape: readonly number[],
    values: Values,
    options: TensorOptions & { dtype: I },
  ): DeviceIntegers<I>;
  tensor(shape: readonly number[], values: Values, options?: TensorOptions): DeviceTensor;
  tensor(shape: readonly number[], values: Values, options: TensorOptions = {}): DeviceTensor {
    return DeviceTensor.make(this, shape, values, options);
  }

  /** A tensor that is trained: f32, with a gradient of its own that is zero, to which backward passes add. As `tensor`. */
  parameter(shape: readonly number[], values: Values, options: Pick<TensorOptions, 'label'> = {}): DeviceParameter {
    const { label = 'parameter' } = expectOptions('parameter', options, { label: 'string' } as const);
    const weights = DeviceTensor.make(this, shape, values, { label });
    return new DeviceTensor(this, { ...weights, grad: DeviceTensor.make(this, shape, 0, { label: `grad ${label}` }) });
  }

  /** @throws OutOfMemoryError where one binding of `bytes` is more than the adapter can hold. */
  check(label: string, bytes: number): void {
    this.#fits(label, bytes, Math.min(this.limits.maxBufferSize, this.limits.maxStorageBufferBindingSize));
  }

  #fits(label: string, bytes: number, limit: number): void {
    if (!(bytes <= limit))
      throw new OutOfMemoryError(
        `${label}: needs ${bytes} bytes in one buffer, but ${this.name} allows ${limit}; ` +
          'use a smaller batch, image size, width or projector',
      );
  }

  /** @throws OutOfMemoryError where buffers of these sizes are more than there is memory left. */
  checkSum(label: string, sizes: readonly number[]): void {
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    if (this.allocated + bytes > this.memory)
      throw new OutOfMemoryError(
        `${label}: needs ${bytes} bytes in addition to ${this.allocated} in use, but ${this.name} has ${this.memory}; ` +
          'use a smaller batch, image size, width or projector',
      );
  }

  /**
   * Gives the memory of a buffer back, or of a tensor's whole buffer. A plan that binds it can be disposed of, but not run any more.
   *
   * @throws DeviceError where the buffer is free already, or was not made by this device
   */
  free(memory: GPUBuffer | Binding): void {
    if (this.#disposed) return;
    const buffer = bufferOf(memory);
    if (!this.#buffers.delete(buffer))
      throw new DeviceError(
        this.#freed.has(buffer)
          ? `${buffer.label}: freed a second time`
          : `${buffer.label}: expected a buffer that this device made to free, got one of another device; free it there`,
      );
    this.#freed.add(buffer);
    this.#changes++;
    buffer.destroy();
  }

  /** Frees those of some buffers and tensors that are not free yet: for what may be disposed of twice. */
  release(memories: Iterable<GPUBuffer | Binding>): void {
    for (const buffer of [...memories].map(bufferOf)) if (!this.#freed.has(buffer)) this.free(buffer);
  }

  /** @throws DeviceError where a buffer was freed or is another device's: a command that names it would fail all that come after. */
  assertLive(buffer: GPUBuffer): void {
    if (this.#freed.has(buffer))
      throw new DeviceError(`${buffer.label}: used after it was freed, by dispose() perhaps`);
    if (!this.#isMeta && (makers.get(buffer) ?? this.gpu) !== this.gpu)
      throw new DeviceError(`${buffer.label}: expected a buffer of ${this.name}, got one of another device`);
  }

  /** Refuses a range that does not lie in a buffer, or not on WebGPU's boundary of 4 bytes. */
  #within(what: string, { label, size }: GPUBuffer, offset: number, bytes: number): void {
    if (!(offset >= 0 && bytes >= 0 && offset % 4 === 0 && bytes % 4 === 0 && offset + bytes <= size))
      throw new ValidationError(
        `${label}: expected to ${what} multiples of 4 bytes within its ${size}, got ${bytes} from ${offset} on`,
      );
  }

  /** Writes bytes into a buffer, or a tensor's, from byte `offset` of it on, after all work submitted so far. */
  write(memory: GPUBuffer | Binding, data: ArrayBufferView | ArrayBuffer, offset = 0): void {
    const buffer = bufferOf(memory);
    const at = 'storage' in memory ? memory.offset + offset : offset;
    this.assertHealthy();
    this.assertLive(buffer);
    if (!(data instanceof ArrayBuffer || ArrayBuffer.isView(data)))
      throw new ValidationError(
        `${buffer.label}: expected a typed array or an ArrayBuffer to write, got ${typeof data}`,
      );
    if ('storage' in memory) checkKind(memory, data);
    this.#within('write', buffer, at, data.byteLength);
    this.#awaited.delete(buffer);
    if (data instanceof ArrayBuffer) this.gpu.queue.writeBuffer(buffer, at, data);
    else this.gpu.queue.writeBuffer(buffer, at, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  }

  /** Copies the whole of a buffer to another of its size, after all work submitted so far. */
  copy(from: GPUBuffer, to: GPUBuffer): void {
    this.assertLive(from);
    this.assertLive(to);
    if (from.size !== to.size)
      throw new ValidationError(`${to.label}: expected ${to.size} bytes to copy, got ${from.size} of ${from.label}`);
    this.#awaited.delete(to);
    const encoder = this.gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, to.size);
    this.gpu.queue.submit([encoder.finish()]);
  }

  /** Copies `bytes` of a buffer back, or of a tensor's, after all work submitted so far. For a tensor's numbers see its `read()`. */
  async read(memory: GPUBuffer | Binding, offset = 0, bytes?: number): Promise<ArrayBuffer> {
    const buffer = bufferOf(memory);
    if ('storage' in memory) return this.read(buffer, memory.offset + offset, bytes ?? memory.bytes - offset);
    return this.#read(memory, offset, bytes ?? memory.size - offset);
  }

  async #read(buffer: GPUBuffer, offset: number, bytes: number): Promise<ArrayBuffer> {
    this.assertHealthy();
    this.assertLive(buffer);
    const size = Math.ceil(bytes / 4) * 4;
    this.#within('read', buffer, offset, size);
    const staging = this.gpu.createBuffer({
      label: `${buffer.label}.read`,
      size,
      usage: bufferUsage.MAP_READ | bufferUsage.COPY_DST,
    });
    try {
      const encoder = this.gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
      this.gpu.queue.submit([encoder.finish()]);
      await this.wait(staging.mapAsync(mapRead));
      return staging.getMappedRange().slice(0, bytes);
    } finally {
      staging.destroy();
    }
  }

  /** Awaits GPU work; a failure of the device that was noticed meanwhile is thrown in its own words, and what `debug` found. */
  async wait<T>(pending: Promise<T>): Promise<T> {
    try {
      const value = await this.#throttle(this.debug?.settled(pending) ?? pending);
      this.assertHealthy();
      return value;
    } catch (error) {
      this.assertHealthy();
      if (error instanceof SlimgradError) throw error;
      throw new DeviceError(`device: GPU work failed: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Waits until all submitted work is done. */
  async settled(): Promise<void> {
    await this.wait(this.gpu.queue.onSubmittedWorkDone());
  }

  /** @throws the first error that the GPU reported since the device was opened. */
  assertHealthy(): void {
    if (this.#failure) throw this.#failure;
    if (this.#disposed) throw new DeviceError('device: used after dispose()');
  }

  /** Frees every buffer made here, and the device itself unless it is the caller's own. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers.clear();
    this.gpu.removeEventListener('uncapturederror', this.#onError as EventListener);
    if (this.#owned) this.gpu.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
