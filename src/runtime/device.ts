/// <reference lib="esnext.disposable" preserve="true" />
// A WebGPU device with its buffers, compiled pipelines and errors. `openDevice` opens one.

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

/** The device that created a buffer. */
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

/** A GPUDevice with its buffers, pipelines and errors. Free it with `dispose()` or `using`. */
export class Device {
  readonly gpu: GPUDevice;
  readonly info: GPUAdapterInfo;
  /** A description of the adapter, for logs. */
  readonly name: string;
  /** Whether shaders run on the CPU. */
  readonly software: boolean;
  /** The minimum subgroup size; 0 without subgroups. */
  readonly subgroupSize: number;
  /** The limit in bytes on all buffers together; default Infinity. */
  readonly memory: number;
  /** The maximum multiply-adds of one dispatch: drivers reset a GPU that is busy for seconds. */
  readonly dispatchMacs: number;
  readonly pipelines: PipelineCache;
  readonly compileDevices: DeviceOptions['compileDevices'];
  /** Debug output and checks of plans. */
  readonly debug: Debug | undefined;
  readonly #owned: boolean;
  readonly #isMeta: boolean;
  readonly #buffers = new Set<GPUBuffer>();
  readonly #freed = new WeakSet<GPUBuffer>();
  /** Buffers without contents yet, and the calls that fill them. */
  readonly #awaited = new WeakMap<GPUBuffer, string>();
  /** The number of elements of tensors, by buffer. */
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

  /** Bytes of all buffers created here and not yet freed. */
  get allocated(): number {
    let bytes = 0;
    for (const buffer of this.#buffers) bytes += buffer.size;
    return bytes;
  }

  /** Counts calls that free buffers or await contents: while it is unchanged, so are the results of `assertUsable`. */
  get changes(): number {
    return this.#changes;
  }

  /** Makes runs that use the buffer fail until it is written; `remedy` names what writes it. */
  awaitContents(buffer: GPUBuffer, remedy: string): void {
    this.#awaited.set(buffer, remedy);
    this.#changes++;
  }

  /** @throws DeviceError where a buffer was freed or belongs to another device; ValidationError where its contents are not written yet */
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

  /** The number of elements of the tensor that `tensor` or `parameter` created with this buffer. */
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
   * A dense tensor of these numbers, in memory that is freed with the device.
   *
   * @param values one number for all elements, an array in row-major order, or a function of the index
   * @throws ShapeError for another number of values, or a side that is not a whole number of at least 1; ConfigError for values that
   * the dtype cannot hold; OutOfMemoryError before anything is allocated where the adapter's limits are too small
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

  /** A trainable tensor: f32, with a zero gradient to which backward passes add. Otherwise like `tensor`. */
  parameter(shape: readonly number[], values: Values, options: Pick<TensorOptions, 'label'> = {}): DeviceParameter {
    const { label = 'parameter' } = expectOptions('parameter', options, { label: 'string' } as const);
    const weights = DeviceTensor.make(this, shape, values, { label });
    return new DeviceTensor(this, { ...weights, grad: DeviceTensor.make(this, shape, 0, { label: `grad ${label}` }) });
  }

  /** @throws OutOfMemoryError where a binding of `bytes` exceeds the adapter's limits. */
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

  /** @throws OutOfMemoryError where buffers of these sizes exceed the remaining memory. */
  checkSum(label: string, sizes: readonly number[]): void {
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    if (this.allocated + bytes > this.memory)
      throw new OutOfMemoryError(
        `${label}: needs ${bytes} bytes in addition to ${this.allocated} in use, but ${this.name} has ${this.memory}; ` +
          'use a smaller batch, image size, width or projector',
      );
  }

  /**
   * Frees a buffer, or a tensor's whole buffer. A plan that binds it can no longer run, but can be disposed of.
   *
   * @throws DeviceError where the buffer was already freed, or was not created by this device
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

  /** Frees the buffers and tensors that are not freed yet, for objects that may be disposed of twice. */
  release(memories: Iterable<GPUBuffer | Binding>): void {
    for (const buffer of [...memories].map(bufferOf)) if (!this.#freed.has(buffer)) this.free(buffer);
  }

  /** @throws DeviceError where a buffer was freed or belongs to another device: a command that uses it would invalidate all later ones. */
  assertLive(buffer: GPUBuffer): void {
    if (this.#freed.has(buffer))
      throw new DeviceError(`${buffer.label}: used after it was freed, by dispose() perhaps`);
    if (!this.#isMeta && (makers.get(buffer) ?? this.gpu) !== this.gpu)
      throw new DeviceError(`${buffer.label}: expected a buffer of ${this.name}, got one of another device`);
  }

  /** Checks that a range is inside a buffer and aligned to WebGPU's 4 bytes. */
  #within(what: string, { label, size }: GPUBuffer, offset: number, bytes: number): void {
    if (!(offset >= 0 && bytes >= 0 && offset % 4 === 0 && bytes % 4 === 0 && offset + bytes <= size))
      throw new ValidationError(
        `${label}: expected to ${what} multiples of 4 bytes within its ${size}, got ${bytes} from ${offset} on`,
      );
  }

  /** Writes bytes into a buffer or tensor at byte `offset`, after all work submitted so far. */
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

  /** Copies a whole buffer to another of the same size, after all work submitted so far. */
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

  /** Reads back `bytes` of a buffer or tensor, after all work submitted so far. For a tensor's values, see its `read()`. */
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

  /** Awaits GPU work; throws errors of the device, or of `debug`, that were reported meanwhile. */
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

  /** Frees every buffer created here, and destroys the device unless it is the caller's. */
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
