// Which of the host's channels the slim encoder keeps, when they are not the leading ones: index lists in one buffer, selected
// by the L1 norms of filters. Knows parameters, not encoders.
import { DataError, ValidationError } from '../errors.js';
import type { Device } from '../runtime/device.js';
import { type Binding, bindingAlignment } from '../tensor/binding.js';
import type { Channels, Parameter } from './parameter.js';
import type { Tensors } from './state.js';

/** Which of the host's channels the slim encoder is made of: the leading ones, or those with the largest L1 norm of their filters. */
export const sliceModes = ['prefix', 'l1'] as const;
export type SliceMode = (typeof sliceModes)[number];

interface Group {
  /** Its name in checkpoints: `kept.` and the first layer that makes its channels. */
  readonly name: string;
  readonly channels: Channels;
  /** The weights whose rows make its channels, one row per channel. */
  readonly writers: readonly Parameter[];
  readonly list: Binding;
  kept: Uint32Array<ArrayBuffer>;
}

/**
 * The index lists of a network: for each group of channels that is narrower in the slim encoder, which of the host's it keeps.
 * All lists are in one buffer that kernels read; a new selection only rewrites its contents.
 */
export class ChannelSelection {
  readonly #device: Device;
  readonly #buffer: GPUBuffer;
  readonly #groups: ReadonlyMap<Channels, Group>;

  /** Initially selects the leading channels. */
  constructor(device: Device, parameters: readonly Parameter[]) {
    this.#device = device;
    const sides = new Set(parameters.flatMap(({ dims: sides }) => sides));
    const narrowed = [...sides].filter((side) => typeof side !== 'number').filter(({ host, slim }) => slim < host);
    let end = 0;
    const offsets = narrowed.map(({ slim }) => {
      const offset = end;
      end += Math.ceil((4 * slim) / bindingAlignment) * bindingAlignment;
      return offset;
    });
    this.#buffer = device.buffer('kept', end);
    const groups = narrowed.map((channels, i): Group => {
      const writers = parameters.filter(({ dims: [rows], makesChannels }) => makesChannels && rows === channels);
      if (writers.length === 0)
        throw new ValidationError(
          `channel selection: a group of ${channels.host} channels that no convolution produces`,
        );
      const kept = Uint32Array.from({ length: channels.slim }, (_, c) => c);
      const list = { storage: this.#buffer, offset: offsets[i], bytes: 4 * channels.slim };
      return { name: `kept.${writers[0].name.replace(/\.weight$/, '')}`, channels, writers, list, kept };
    });
    this.#groups = new Map(groups.map((group) => [group.channels, group]));
    for (const group of groups) this.#write(group, group.kept);
  }

  /** The binding of a group's list; undefined if all channels are kept. */
  list(channels: Channels): Binding | undefined {
    return this.#groups.get(channels)?.list;
  }

  /** The host's indices of the channels that a group keeps, ascending. */
  kept(channels: Channels): Uint32Array {
    return this.#groups.get(channels)?.kept ?? Uint32Array.from({ length: channels.slim }, (_, c) => c);
  }

  /** The weights that channels are selected by. */
  get writers(): readonly Parameter[] {
    return [...this.#groups.values()].flatMap(({ writers }) => writers);
  }

  /**
   * Keeps the channels with the largest L1 norm in each group: the sum over all weights that produce a channel, as whole rows of
   * the host's weights. Ties keep the lower index.
   *
   * @returns the number of newly kept channels
   */
  select(weightsOf: (writer: Parameter) => Float32Array): number {
    let changed = 0;
    for (const group of this.#groups.values()) {
      const { host, slim } = group.channels;
      const scores = new Float64Array(host);
      for (const writer of group.writers) {
        const weights = weightsOf(writer);
        const row = weights.length / host;
        for (let i = 0; i < weights.length; i++) scores[Math.floor(i / row)] += Math.abs(weights[i]);
      }
      const before = new Set(group.kept);
      const kept = largest(scores, slim);
      changed += kept.filter((c) => !before.has(c)).length;
      this.#write(group, kept);
    }
    return changed;
  }

  /** The lists as tensors (k), by name. */
  read(): Tensors {
    return new Map(
      [...this.#groups.values()].map(({ name, kept }) => [
        name,
        { shape: [kept.length], data: Float32Array.from(kept) },
      ]),
    );
  }

  /**
   * Loads the lists that `read()` returned.
   *
   * @throws DataError where one is not an ascending list of the host's channels; then nothing is loaded
   */
  load(tensors: Tensors): void {
    const lists = [...this.#groups.values()].map((group) => {
      const { name, channels } = group;
      const data = tensors.get(name)?.data ?? new Float32Array(0);
      const rising = data.every((c, i) => Number.isInteger(c) && c < channels.host && c > (i > 0 ? data[i - 1] : -1));
      if (data.length !== channels.slim || !rising)
        throw new DataError(`${name}: expected ${channels.slim} rising numbers from 0 to ${channels.host - 1}`);
      return [group, Uint32Array.from(data)] as const;
    });
    for (const [group, kept] of lists) this.#write(group, kept);
  }

  dispose(): void {
    this.#device.release([this.#buffer]);
  }

  #write(group: Group, kept: Uint32Array<ArrayBuffer>): void {
    group.kept = kept;
    this.#device.write(this.#buffer, kept, group.list.offset);
  }
}

/** The indices of the k largest scores, ascending; NaN ranks lowest. */
function largest(scores: Float64Array, k: number): Uint32Array<ArrayBuffer> {
  const score = (i: number) => (Number.isNaN(scores[i]) ? Number.NEGATIVE_INFINITY : scores[i]);
  const order = Array.from(scores.keys()).sort((a, b) => (score(a) === score(b) ? a - b : score(b) - score(a)));
  return Uint32Array.from(order.slice(0, k)).sort();
}
