import { ConfigError, DataError } from '../errors.js';
import type { Binding } from '../runtime/binding.js';
import type { Device } from '../runtime/device.js';
import type { Pictures } from './augment.js';
import { permutation } from './philox.js';
import { halve, type ImageSource, type Picture } from './source.js';

export interface LoaderOptions {
  /** Items in a batch. */
  readonly batch: number;
  /** Seed of the order of every epoch. Without one there are no epochs, and batches are those given to `show()`. */
  readonly seed?: number;
  /** The most GPU memory for the whole data set, in bytes; one that needs more is streamed. 256 MiB unless told. */
  readonly budget?: number;
  /** Told of items decoded while opening. */
  readonly onProgress?: (done: number, total: number) => void;
}

const decodedTogether = 64;
const streamedBytes = 2 ** 28; // the most for a streamed batch: larger pictures are halved

/**
 * Puts batches of a source into GPU memory, in an order that the step alone determines.
 *
 * A source that fits the budget and the adapter is decoded once and kept on the GPU; then a batch is a list of numbers.
 * Another is streamed: `prefetch()` decodes a batch while the GPU works on the one before, `prepare()` uploads it; pictures
 * larger than all of those seen on opening are halved until they are not.
 * All buffers are made on opening, and the queue orders uploads between steps, so one set of them is enough.
 */
export class Loader implements Pictures {
  readonly batch: number;
  readonly maxSide: number;
  readonly bindings: { readonly pixels: Binding; readonly table: Binding; readonly batch: Binding };
  /** Whether the whole source is on the GPU. */
  readonly cached: boolean;
  readonly #device: Device;
  readonly #source: ImageSource;
  readonly #seed: number | undefined;
  readonly #staging: Staging | undefined;
  #epoch = -1;
  #order = new Uint32Array(0);
  #ahead: { readonly step: number; readonly decoded: Promise<void> } | undefined;

  private constructor(device: Device, source: ImageSource, options: LoaderOptions, decoded: Decoded) {
    const { batch } = options;
    this.#device = device;
    this.#source = source;
    this.#seed = options.seed;
    this.batch = batch;
    this.cached = decoded.complete;
    const bind = (label: string, bytes: number): Binding => ({
      storage: device.buffer(label, bytes),
      offset: 0,
      bytes,
    });
    if (decoded.complete) {
      this.maxSide = decoded.maxSide;
      const pixels = bind('loader.pixels', decoded.bytes);
      const table = bind('loader.table', decoded.table.length * 4);
      let end = 0;
      for (const block of decoded.blocks) {
        device.write(pixels.storage as GPUBuffer, block, end);
        end += block.length;
      }
      device.write(table.storage as GPUBuffer, Uint32Array.from(decoded.table));
      this.bindings = { pixels, table, batch: bind('loader.batch', batch * 16) };
    } else {
      const places = batch * source.pictures;
      this.maxSide = Math.min(
        decoded.maxSide,
        Math.floor(Math.sqrt(Math.min(streamedBytes, largestBinding(device)) / 4 / places)),
      );
      this.#staging = new Staging(places, this.maxSide);
      this.bindings = {
        pixels: bind('loader.pixels', this.#staging.pixels.length),
        table: bind('loader.table', places * 16),
        batch: bind('loader.batch', batch * 16),
      };
    }
  }

  /**
   * Decodes the source as far as the budget goes, and makes the buffers.
   *
   * @throws ConfigError where `batch` is no whole number above 0; DataError where epochs are asked of a source that is
   * smaller than a batch, and where a picture cannot be had.
   */
  static async open(device: Device, source: ImageSource, options: LoaderOptions): Promise<Loader> {
    const { batch, seed, budget = 2 ** 28 } = options;
    if (!(Number.isInteger(batch) && batch > 0))
      throw new ConfigError(`loader: expected batch to be a whole number above 0, got ${batch}`);
    if (source.length < (seed === undefined ? 1 : batch))
      throw new DataError(
        `${source.name}: has ${source.length} items, fewer than ${seed === undefined ? 'one' : `a batch of ${batch}`}; ` +
          'use a smaller batch or more pictures',
      );
    const decoded = await decodeWithin(source, Math.min(budget, largestBinding(device)), options.onProgress);
    return new Loader(device, source, options, decoded);
  }

  /** Whole batches in an epoch; what is left over waits for another order. */
  get stepsPerEpoch(): number {
    return Math.floor(this.#source.length / this.batch);
  }

  /** The items of a step's batch, in order. Every epoch has its own order. */
  batchAt(step: number): Uint32Array<ArrayBuffer> {
    if (this.#seed === undefined)
      throw new ConfigError('loader: expected a seed on opening, without which epochs have no order');
    if (!(Number.isInteger(step) && step >= 0))
      throw new ConfigError(`loader: expected step to be a whole number, got ${step}`);
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (epoch !== this.#epoch) {
      this.#order = permutation(this.#source.length, this.#seed, epoch);
      this.#epoch = epoch;
    }
    const first = (step % this.stepsPerEpoch) * this.batch;
    return this.#order.slice(first, first + this.batch);
  }

  /** Puts a step's batch into the bindings, for the next `plan.run()`. */
  async prepare(step: number): Promise<void> {
    const items = this.batchAt(step);
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead?.step === step) {
      await ahead.decoded;
      this.#upload(items);
      return;
    }
    await ahead?.decoded.catch(() => undefined); // it shares the staging memory
    await this.#decode(items);
    this.#upload(items);
  }

  /** Begins to decode a step's batch; call it once the step before is on the GPU. Errors are told by `prepare()`. */
  prefetch(step: number): void {
    if (this.cached || this.#ahead) return;
    const decoded = this.#decode(this.batchAt(step));
    decoded.catch(() => undefined); // without this an error would end the process before prepare() asks for it
    this.#ahead = { step, decoded };
  }

  /** Puts these items into the bindings instead, at most a batch; places left over repeat the last. For evaluation. */
  async show(items: ArrayLike<number>): Promise<void> {
    const { length } = this.#source;
    if (items.length < 1 || items.length > this.batch)
      throw new ConfigError(`loader: expected from 1 to ${this.batch} items to show, got ${items.length}`);
    const whole = Uint32Array.from({ length: this.batch }, (_, n) => items[Math.min(n, items.length - 1)]);
    for (const item of whole)
      if (item >= length) throw new ConfigError(`loader: expected items from 0 to ${length - 1}, got ${item}`);
    await this.#ahead?.decoded.catch(() => undefined);
    this.#ahead = undefined;
    await this.#decode(whole);
    this.#upload(whole);
  }

  dispose(): void {
    for (const { storage } of Object.values(this.bindings)) this.#device.free(storage as GPUBuffer);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async #decode(items: Uint32Array): Promise<void> {
    await this.#staging?.fill(this.#source, items);
  }

  #upload(items: Uint32Array): void {
    const { pictures } = this.#source;
    const places = new Uint32Array(this.batch * 4);
    items.forEach((item, n) => {
      const entry = (this.cached ? item : n) * pictures;
      places.set([item, entry, entry + pictures - 1, 0], n * 4);
    });
    const { pixels, table, batch } = this.bindings;
    if (this.#staging) {
      this.#device.write(pixels.storage as GPUBuffer, this.#staging.filled);
      this.#device.write(table.storage as GPUBuffer, this.#staging.table);
    }
    this.#device.write(batch.storage as GPUBuffer, places);
  }
}

/** A batch on its way to the GPU: pixels one picture after another, and the table that says where each begins. */
class Staging {
  readonly pixels: Uint8Array<ArrayBuffer>;
  readonly table: Uint32Array<ArrayBuffer>;
  readonly #maxSide: number;
  #end = 0;

  constructor(places: number, maxSide: number) {
    this.#maxSide = maxSide;
    this.pixels = new Uint8Array(places * maxSide * maxSide * 4);
    this.table = new Uint32Array(places * 4);
  }

  get filled(): Uint8Array<ArrayBuffer> {
    return this.pixels.subarray(0, this.#end);
  }

  async fill(source: ImageSource, items: Uint32Array): Promise<void> {
    this.#end = 0;
    const places = items.length * source.pictures;
    let next = 0;
    const worker = async () => {
      while (next < places) {
        const place = next++;
        const item = items[Math.floor(place / source.pictures)];
        let picture = await loadChecked(source, item, place % source.pictures);
        while (Math.max(picture.width, picture.height) > this.#maxSide) picture = halve(picture);
        this.table.set([this.#end / 4, picture.width, picture.height, 0], place * 4);
        this.pixels.set(picture.pixels, this.#end);
        this.#end += picture.pixels.length;
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: 16 }, worker)); // none may still write after an error
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }
}

interface Decoded {
  /** Whether all of the source fits. */
  readonly complete: boolean;
  readonly blocks: readonly Uint8Array<ArrayBuffer>[];
  readonly bytes: number;
  /** Four words a picture: first pixel, width, height, 0. */
  readonly table: readonly number[];
  /** Longest side of any picture decoded. */
  readonly maxSide: number;
}

/** Decodes item after item until the budget is used up; what came until then tells how large the others may be. */
async function decodeWithin(
  source: ImageSource,
  budget: number,
  onProgress: LoaderOptions['onProgress'],
): Promise<Decoded> {
  const blocks: Uint8Array<ArrayBuffer>[] = [];
  const table: number[] = [];
  let bytes = 0;
  let maxSide = 1;
  for (let first = 0; first < source.length; first += decodedTogether) {
    const items = Array.from({ length: Math.min(decodedTogether, source.length - first) }, (_, i) => first + i);
    const loads = items.flatMap((item) =>
      Array.from({ length: source.pictures }, (_, p) => loadChecked(source, item, p)),
    );
    const pictures = await Promise.all(loads);
    const block = new Uint8Array(pictures.reduce((sum, { pixels }) => sum + pixels.length, 0));
    let end = 0;
    for (const { width, height, pixels } of pictures) {
      table.push((bytes + end) / 4, width, height, 0);
      block.set(pixels, end);
      end += pixels.length;
      maxSide = Math.max(maxSide, width, height);
    }
    blocks.push(block);
    bytes += end;
    if (bytes > budget) return { complete: false, blocks: [], bytes, table, maxSide };
    onProgress?.(first + items.length, source.length);
  }
  return { complete: true, blocks, bytes, table, maxSide };
}

async function loadChecked(source: ImageSource, item: number, picture: number): Promise<Picture> {
  const loaded = await source.load(item, picture as 0 | 1);
  const { width, height, pixels } = loaded ?? {};
  if (!(Number.isInteger(width) && width >= 1 && Number.isInteger(height) && height >= 1))
    throw new DataError(
      `${source.name}: item ${item}: expected a picture { width, height, pixels }, got sides ${width} and ${height}`,
    );
  const isBytes = pixels instanceof Uint8Array || pixels instanceof Uint8ClampedArray;
  if (!isBytes || pixels.length !== width * height * 4)
    throw new DataError(
      `${source.name}: item ${item}: expected a Uint8Array of ${width * height * 4} bytes, RGBA of ${width} x ${height} ` +
        `pixels, got ${pixels?.constructor.name} of ${pixels?.length}`,
    );
  return loaded;
}

function largestBinding({ limits }: Device): number {
  return Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
}
