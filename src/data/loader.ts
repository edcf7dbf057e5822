// Batches of a source in GPU memory: the whole data set once where it fits, else batch by batch. Decodes ahead of the step
// that needs them; knows no files.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { permutation } from '../core/random.js';
import { ConfigError, DataError, DeviceError } from '../errors.js';
import type { ImageBatch } from '../ops/augment.js';
import type { Device } from '../runtime/device.js';
import { type Binding, bufferOf } from '../tensor/binding.js';
import { halve, halvedSides } from './derived.js';
import { loadImage } from './rgba_image.js';
import { checkSource, type ImageSource, type RgbaImage } from './source.js';

export interface LoaderOptions {
  /** Items in a batch. */
  readonly batch: number;
  /** Seed of the order of every epoch. Without one there are no epochs, and batches are those given to `show()`. */
  readonly seed?: number;
  /** The most GPU memory for the whole data set, in bytes; a larger one is streamed. Default 256 MiB, 0 for none. */
  readonly budget?: number;
  /** Told of items decoded while opening. */
  readonly onProgress?: (done: number, total: number) => void;
}

const loaderOptions: Kinds<LoaderOptions> = {
  batch: 'number',
  seed: 'number',
  budget: 'number',
  onProgress: 'function',
};

const decodedTogether = 64;
const batchBytes = 2 ** 27; // of a batch's images: the least that WebGPU promises for a binding

/** The largest images that there is room for. */
type Bound = NonNullable<ImageSource['bound']>;

/** How large the images of a batch may be: a function of their number alone, so that no image depends on the others. */
function roomFor(places: number): Bound {
  const pixels = Math.max(1, Math.floor(batchBytes / 4 / places));
  return { pixels, side: Math.max(1, 2 * Math.floor(Math.sqrt(pixels / 2))) };
}

/** The most images of `size` x `size` pixels that a batch has room for without halving them. */
export function mostSquares(size: number): number {
  return Math.max(1, Math.floor(batchBytes / 4 / size ** 2));
}

/**
 * Puts batches of a source into GPU memory, in an order that the step alone determines.
 *
 * A source that fits the budget and the adapter is decoded once and kept on the GPU; then a batch is a list of numbers.
 * Another is streamed: `prefetch()` decodes a batch while the GPU works on the one before, `prepare()` uploads it.
 *
 * Either way a batch has room for 128 MiB of pixels, of which every image has an equal share, P pixels. One of more, or with
 * a side above 2 floor(sqrt(P / 2)), is halved until it fits: what becomes of an image depends on `batch` alone.
 * All buffers are made on opening, and the queue orders uploads between steps, so one set of them is enough.
 */
export class Loader implements ImageBatch {
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
  #ahead: { readonly items: Uint32Array; readonly decoded: Promise<void> } | undefined;
  /** The call that fills the bindings just now. */
  #filling: string | undefined;
  #disposed = false;

  private constructor(device: Device, source: ImageSource, { batch, seed }: LoaderOptions, decoded?: Decoded) {
    this.#device = device;
    this.#source = source;
    this.#seed = seed;
    this.batch = batch;
    this.cached = decoded !== undefined;
    const bind = (label: string, bytes: number): Binding => ({
      storage: device.buffer(label, bytes),
      offset: 0,
      bytes,
    });
    if (decoded) {
      this.maxSide = decoded.maxSide;
      const pixels = bind('loader.pixels', decoded.bytes);
      const table = bind('loader.table', decoded.table.length * 4);
      let end = 0;
      for (const block of decoded.blocks) {
        device.write(pixels, block, end);
        end += block.length;
      }
      device.write(table, Uint32Array.from(decoded.table));
      this.bindings = { pixels, table, batch: bind('loader.batch', batch * 16) };
    } else {
      const places = batch * source.images;
      const room = roomFor(places);
      const own = source.bound ?? room;
      this.maxSide = Math.min(room.side, own.side);
      this.#staging = new Staging(places, Math.min(room.pixels, own.pixels, this.maxSide ** 2), room);
      this.bindings = {
        pixels: bind('loader.pixels', this.#staging.pixels.length),
        table: bind('loader.table', places * 16),
        batch: bind('loader.batch', batch * 16),
      };
    }
    this.#awaitBatch('call prepare(step) or show(items) on the loader first');
  }

  /**
   * Decodes the source as far as the budget goes, nothing where that is 0, and makes the buffers.
   *
   * @throws ConfigError where an option is out of range; DataError if the source is invalid, where epochs are asked of a source that is
   * smaller than a batch, and where an image cannot be had or is larger than the source's `bound`.
   */
  static async open(device: Device, source: ImageSource, options: LoaderOptions): Promise<Loader> {
    const { batch, seed, budget = 2 ** 28 } = expectOptions('loader', options, loaderOptions);
    if (!(Number.isInteger(batch) && batch > 0))
      throw new ConfigError(`loader: expected batch to be a whole number above 0, got ${batch}`);
    if (seed !== undefined && !(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
      throw new ConfigError(`loader: expected a seed that is a whole number from 0 to 4294967295, got ${seed}`);
    if (!(budget >= 0)) throw new ConfigError(`loader: expected a budget of at least 0 bytes, got ${budget}`);
    expectArguments('loader', { device });
    checkSource(source);
    if (source.length < (seed === undefined ? 1 : batch))
      throw new DataError(
        `${source.name}: has ${source.length} items, fewer than ${seed === undefined ? 'one' : `a batch of ${batch}`}; ` +
          'use a smaller batch or more images',
      );
    const { side, pixels } = source.bound ?? { side: 1, pixels: 1 };
    if (![side, pixels].every((most) => Number.isInteger(most) && most > 0))
      throw new DataError(
        `${source.name}: expected a bound { side, pixels } of whole numbers above 0, got ${side}, ${pixels}`,
      );
    const room = roomFor(batch * source.images);
    const decoded = await decodeWithin(source, room, Math.min(budget, largestBinding(device)), options.onProgress);
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

  /**
   * Puts a step's batch into the bindings, for the next `plan.run()`.
   *
   * @throws ConfigError where another batch is being put there; DeviceError where the loader was disposed of
   */
  async prepare(step: number): Promise<void> {
    await this.#fill(`prepare(${step})`, this.batchAt(step));
  }

  /** Puts these items into the bindings instead, at most a batch; places left over repeat the last. For evaluation. */
  async show(items: ArrayLike<number>): Promise<void> {
    await this.#fill('show()', this.#chosen(items));
  }

  /**
   * Begins to decode a step's batch, or items to show; call it once the batch before is on the GPU. Where another batch is
   * being decoded it does nothing. Errors are thrown by `prepare()` or `show()`.
   */
  prefetch(next: number | ArrayLike<number>): void {
    this.#assertOpen('prefetch()');
    const items = typeof next === 'number' ? this.batchAt(next) : this.#chosen(next);
    if (this.cached || this.#ahead || this.#filling) return;
    const decoded = this.#decode(items);
    decoded.catch(() => undefined); // without this an error would end the process before prepare() asks for it
    this.#ahead = { items, decoded };
  }

  /** Frees the buffers; a batch that is on its way there is refused. */
  dispose(): void {
    this.#disposed = true;
    this.#device.release(Object.values(this.bindings));
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** These items, checked. */
  #chosen(items: ArrayLike<number>): Uint32Array<ArrayBuffer> {
    const { length } = this.#source;
    if (items.length < 1 || items.length > this.batch)
      throw new ConfigError(`loader: expected from 1 to ${this.batch} items to show, got ${items.length}`);
    for (const item of Array.from(items))
      if (!(Number.isInteger(item) && item >= 0 && item < length))
        throw new ConfigError(`loader: expected items from 0 to ${length - 1}, got ${item}`);
    return Uint32Array.from(items);
  }

  #assertOpen(call: string): void {
    if (this.#disposed) throw new DeviceError(`loader: ${call} on a loader that was disposed of; open another`);
  }

  async #fill(call: string, items: Uint32Array): Promise<void> {
    this.#assertOpen(call);
    if (this.#filling) throw new ConfigError(`loader: ${call} while ${this.#filling} is pending; await it first`);
    this.#filling = call;
    this.#awaitBatch(`await ${call}`);
    try {
      const ahead = this.#ahead;
      this.#ahead = undefined;
      if (ahead?.items.length === items.length && items.every((item, n) => item === ahead.items[n])) {
        await ahead.decoded;
      } else {
        await ahead?.decoded.catch(() => undefined); // it shares the staging memory
        await this.#decode(items);
      }
      this.#assertOpen(call);
      this.#upload(items);
    } finally {
      this.#filling = undefined;
    }
  }

  /** Has runs refused until the next batch is there. */
  #awaitBatch(remedy: string): void {
    this.#device.awaitContents(bufferOf(this.bindings.batch), remedy);
  }

  async #decode(items: Uint32Array): Promise<void> {
    await this.#staging?.fill(this.#source, items);
  }

  #upload(items: Uint32Array): void {
    const { images } = this.#source;
    const places = new Uint32Array(this.batch * 4);
    for (let n = 0; n < this.batch; n++) {
      const shown = Math.min(n, items.length - 1);
      const item = items[shown];
      const entry = (this.cached ? item : shown) * images;
      places.set([item, entry, entry + images - 1, 0], n * 4);
    }
    const { pixels, table, batch } = this.bindings;
    if (this.#staging) {
      this.#device.write(pixels, this.#staging.filled);
      this.#device.write(table, this.#staging.table);
    }
    this.#device.write(batch, places);
  }
}

/** A batch for the GPU: pixels one image after another, and a table of where each begins. */
class Staging {
  readonly pixels: Uint8Array<ArrayBuffer>;
  readonly table: Uint32Array<ArrayBuffer>;
  readonly #room: Bound;
  #end = 0;

  /** @param most pixels that an image has once it is halved to fit `room` */
  constructor(places: number, most: number, room: Bound) {
    this.#room = room;
    this.pixels = new Uint8Array(places * most * 4);
    this.table = new Uint32Array(places * 4);
  }

  get filled(): Uint8Array<ArrayBuffer> {
    return this.pixels.subarray(0, this.#end);
  }

  async fill(source: ImageSource, items: Uint32Array): Promise<void> {
    this.#end = 0;
    const places = items.length * source.images;
    let next = 0;
    const worker = async () => {
      while (next < places) {
        const place = next++;
        const item = items[Math.floor(place / source.images)];
        const image = await loadWithin(this.#room, source, item, place % source.images);
        this.table.set([this.#end / 4, image.width, image.height, 0], place * 4);
        this.pixels.set(image.pixels, this.#end);
        this.#end += image.pixels.length;
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: 16 }, worker)); // none may still write after an error
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }
}

/** All of a source. */
interface Decoded {
  readonly blocks: readonly Uint8Array<ArrayBuffer>[];
  readonly bytes: number;
  /** Four words an image: first pixel, width, height, 0. */
  readonly table: readonly number[];
  /** Longest side of any image. */
  readonly maxSide: number;
}

/** Decodes item after item; gives it up where the budget is too small for all. */
async function decodeWithin(
  source: ImageSource,
  room: Bound,
  budget: number,
  onProgress: LoaderOptions['onProgress'],
): Promise<Decoded | undefined> {
  if (!(budget > 0) || knownBytes(room, source) > budget) return undefined;
  const blocks: Uint8Array<ArrayBuffer>[] = [];
  const table: number[] = [];
  let bytes = 0;
  let maxSide = 1;
  for (let first = 0; first < source.length; first += decodedTogether) {
    const items = Array.from({ length: Math.min(decodedTogether, source.length - first) }, (_, i) => first + i);
    const loads = items.flatMap((item) =>
      Array.from({ length: source.images }, (_, p) => loadWithin(room, source, item, p)),
    );
    const images = await Promise.all(loads);
    const block = new Uint8Array(images.reduce((sum, { pixels }) => sum + pixels.length, 0));
    let end = 0;
    for (const { width, height, pixels } of images) {
      table.push((bytes + end) / 4, width, height, 0);
      block.set(pixels, end);
      end += pixels.length;
      maxSide = Math.max(maxSide, width, height);
    }
    blocks.push(block);
    bytes += end;
    if (bytes > budget) return undefined;
    onProgress?.(first + items.length, source.length);
  }
  return { blocks, bytes, table, maxSide };
}

/** Bytes of all images of the source, halved as `loadWithin` does; 0 where sizes are not known. */
function knownBytes(room: Bound, { sizes = new Uint32Array() }: ImageSource): number {
  const sides = halvedSides(sizes, (width, height) => isTooLarge(room, width, height));
  let pixels = 0;
  for (let at = 0; at < sides.length; at += 2) pixels += sides[at] * sides[at + 1];
  return 4 * pixels;
}

const isTooLarge = (room: Bound, width: number, height: number) =>
  Math.max(width, height) > room.side || width * height > room.pixels;

/** An image of the source, halved until there is room for it. */
async function loadWithin(room: Bound, source: ImageSource, item: number, image: number): Promise<RgbaImage> {
  let loaded = await loadImage(source, item, image as 0 | 1);
  while (isTooLarge(room, loaded.width, loaded.height)) loaded = halve(loaded);
  return loaded;
}

function largestBinding({ limits }: Device): number {
  return Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
}
