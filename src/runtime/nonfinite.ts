// Runs a plan command by command and checks every number that a dispatch writes: debug level 2. Slow, and it allocates buffers.
//
// Before a dispatch, every NaN in the memory that it may write is replaced by a marker NaN that no arithmetic produces. A
// value that is not finite afterward and is not the marker was written by the dispatch: poison, padding and neighboring columns
// are not reported.
import { NonFiniteError, ValidationError } from '../errors.js';
import { nonfinite as kernel } from '../generated/nonfinite.js';
import { type Binding, isBuffer } from '../tensor/binding.js';
import { elementBytes, isShaped } from '../tensor/footprint.js';
import type { Dispatch, Encoded, Recorded } from './commands.js';
import { bindingsOf, nameOf, variantText } from './describe.js';
import { bufferUsage, mapRead } from './flags.js';
import { buffersOf, type EntryName, pack } from './kernel.js';
import { pile } from './memory.js';
import type { Pipeline, PipelineCache } from './pipelines.js';

const resultWords = 3; // NaNs, infinities, the first
const none = 0xffffffff;
const mostWorkgroups = 65535; // of a dimension, on every device

/** The part of a plan and its device that the checks use. */
export interface Compiled extends Recorded {
  readonly device: { readonly gpu: GPUDevice; readonly limits: GPUSupportedLimits; readonly pipelines: PipelineCache };
}

/** Keeps the result of a run's check until a call waits for the device. */
interface Followers {
  follow(check: Promise<void>): void;
  /** @throws the failure of an earlier check */
  rethrow(): void;
}

type Entry = EntryName<typeof kernel>;

/** A range of memory that is checked before a dispatch, and after it if it is written. */
interface Look {
  readonly name: string;
  readonly binding: Binding;
  readonly written: boolean;
  /** Whether it had contents before the dispatch: a slot's initial contents are undefined. */
  readonly defined: boolean;
  /** Offset of its results in words: those from before the dispatch, then those from after it. */
  readonly at: number;
}

interface Counts {
  readonly nans: number;
  readonly infinities: number;
  readonly first: number;
}

interface Work {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: number;
}

/** The checks before and after a command. */
interface Around {
  readonly dispatch: Dispatch;
  readonly looks: readonly Look[];
  readonly before: readonly Work[];
  readonly after: readonly Work[];
}

export class Checks {
  readonly #plan: Recorded;
  readonly #gpu: GPUDevice;
  readonly #debug: Followers;
  readonly #around: readonly (Around | undefined)[];
  readonly #found: GPUBuffer;
  readonly #buffers: readonly GPUBuffer[];

  private constructor(
    plan: Recorded,
    gpu: GPUDevice,
    debug: Followers,
    around: readonly (Around | undefined)[],
    buffers: GPUBuffer[],
  ) {
    this.#plan = plan;
    this.#gpu = gpu;
    this.#debug = debug;
    this.#around = around;
    this.#buffers = buffers;
    this.#found = buffers[0];
  }

  /** Compiles the checks of a compiled plan, and allocates their memory. */
  static async make(plan: Compiled, debug: Followers): Promise<Checks> {
    const { gpu, limits, pipelines } = plan.device;
    const compile = (entry: Entry) => pipelines.get(kernel, entry, { consts: {}, half: false });
    const [inspect, prepare, check] = await Promise.all([compile('inspect'), compile('prepare'), compile('check')]);
    const looks = looksOf(plan);
    const all = looks.flat();
    const ends = all.map(({ written, at }) => at + resultWords * (written ? 2 : 1));

    const make = (label: string, bytes: number, usage: number) =>
      gpu.createBuffer({ label: `${plan.label}.${label}`, size: Math.max(16, Math.ceil(bytes / 16) * 16), usage });
    const usage = bufferUsage.STORAGE | bufferUsage.COPY_SRC | bufferUsage.COPY_DST;
    const found = make('found', 4 * Math.max(0, ...ends.slice(-1)), usage);
    const copies = copySizes(looks).map((bytes, i) => make(`before${i}`, bytes, bufferUsage.STORAGE));
    const block = ({ binding }: Look, at: number) =>
      pack(kernel.params, { n: count(binding), half: binding.half ? 1 : 0, at }, 'nonfinite');
    const blocks = all.flatMap((look) => [block(look, look.at), block(look, look.at + resultWords)]);
    const { offsets, bytes } = pile(blocks, limits.minUniformBufferOffsetAlignment);
    const params = make('checks', bytes.byteLength, bufferUsage.UNIFORM | bufferUsage.COPY_DST);
    gpu.queue.writeBuffer(params, 0, bytes);

    const numbers = new Map(all.map((look, i) => [look, i]));
    const workOf = (look: Look, entry: Entry, { pipeline, layout }: Pipeline, part: 0 | 1, copy = 0): Work => {
      const offset = offsets[2 * (numbers.get(look) as number) + part];
      const resources: Readonly<Record<string, GPUBufferBinding>> = {
        params: { buffer: params, offset, size: kernel.params.size },
        memory: memoryOf(plan, look.binding),
        before: { buffer: copies[copy] },
        found: { buffer: found },
      };
      const declared = Object.entries(buffersOf(kernel, entry));
      const entries = declared.map(([name, { binding }]) => ({ binding, resource: resources[name] }));
      const workgroups = Math.min(Math.ceil(count(look.binding) / kernel.consts.THREADS.value), mostWorkgroups);
      return { pipeline, group: gpu.createBindGroup({ layout, entries }), workgroups };
    };
    const around = plan.commands.map((dispatch, i): Around | undefined => {
      if (dispatch.kind === 'clear') return undefined;
      const written = looks[i].filter((look) => look.written);
      const before = [
        ...looks[i].map((look) => workOf(look, 'inspect', inspect, 0)),
        ...written.map((look, copy) => workOf(look, 'prepare', prepare, 0, copy)),
      ];
      const after = written.map((look, copy) => workOf(look, 'check', check, 1, copy));
      return { dispatch, looks: looks[i], before, after };
    });
    return new Checks(plan, gpu, debug, around, [found, params, ...copies]);
  }

  /**
   * Submits a run's commands one by one, each between its checks, and passes their results to `debug`.
   *
   * @throws NonFiniteError where the check of an earlier run found something
   */
  readonly run = (_device: unknown, _label: string, commands: readonly Encoded[]): void => {
    this.#debug.rethrow();
    const gpu = this.#gpu;
    gpu.queue.writeBuffer(
      this.#found,
      0,
      new Uint32Array(this.#found.size / 4).map((_, i) => (i % resultWords === 2 ? none : 0)),
    );
    const cleared = commands.length - this.#around.length; // buffers that are cleared first were not recorded
    commands.forEach((command, i) => {
      const encoder = gpu.createCommandEncoder({ label: this.#plan.label });
      if (command.kind === 'clear') encoder.clearBuffer(command.buffer, command.offset, command.bytes);
      else {
        const { before = [], after = [] } = this.#around[i - cleared] ?? {};
        const pass = encoder.beginComputePass();
        const add = ({ pipeline, group }: Omit<Work, 'workgroups'>, x: number, y = 1, z = 1) => {
          pass.setPipeline(pipeline);
          pass.setBindGroup(0, group);
          pass.dispatchWorkgroups(x, y, z);
        };
        for (const work of before) add(work, work.workgroups);
        add(command, command.x, command.y, command.z);
        for (const work of after) add(work, work.workgroups);
        pass.end();
      }
      gpu.queue.submit([encoder.finish()]);
    });
    this.#debug.follow(this.#judge());
  };

  dispose(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }

  /** @throws NonFiniteError that names the first command that wrote a value that is not finite */
  async #judge(): Promise<void> {
    const gpu = this.#gpu;
    const { size } = this.#found;
    const staging = gpu.createBuffer({ label: 'found', size, usage: bufferUsage.MAP_READ | bufferUsage.COPY_DST });
    try {
      const encoder = gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(this.#found, 0, staging, 0, size);
      gpu.queue.submit([encoder.finish()]);
      await staging.mapAsync(mapRead);
      const words = new Uint32Array(staging.getMappedRange());
      const countsAt = (at: number): Counts => ({ nans: words[at], infinities: words[at + 1], first: words[at + 2] });
      this.#around.forEach((each, number) => {
        const bad = each?.looks.find(({ written, at }) => written && countsAt(at + resultWords).first !== none);
        if (each && bad)
          throw new NonFiniteError(`${this.#plan.label}: ${verdict(this.#plan, number, each, bad, countsAt)}`);
      });
    } finally {
      staging.destroy();
    }
  }
}

/** The checked ranges of each command: the floats that it reads, then those that it writes. */
function looksOf({ commands }: Recorded): Look[][] {
  const used = new Set<Binding['storage']>();
  let at = 0;
  return commands.map((command) => {
    if (command.kind === 'clear') {
      used.add(command.target.storage);
      return [];
    }
    const looks = [false, true].flatMap((written) =>
      bindingsOf(command, written)
        .filter(([name]) => command.kernel.buffers[name].elements === 'f32')
        .map(([name, binding]): Look => {
          const defined = !written || isBuffer(binding.storage) || used.has(binding.storage);
          const look = { name, binding, written, defined, at };
          at += resultWords * (written ? 2 : 1);
          return look;
        }),
    );
    for (const { storage } of command.bindings.values()) used.add(storage);
    return looks;
  });
}

/** Bytes for copies of the written ranges: separate within a dispatch, reused by the next. */
function copySizes(looks: readonly (readonly Look[])[]): number[] {
  const sizes: number[] = [];
  for (const each of looks)
    each
      .filter(({ written }) => written)
      .forEach(({ binding }, i) => {
        sizes[i] = Math.max(sizes[i] ?? 0, binding.bytes);
      });
  return sizes;
}

function verdict(
  plan: Recorded,
  number: number,
  { dispatch, looks }: Around,
  bad: Look,
  countsAt: (at: number) => Counts,
): string {
  const { label, phase } = dispatch;
  const name = `command ${number}, ${label}${variantText(plan, number)}${phase && ` in phase ${phase}`}`;
  const inputs = looks
    .filter(({ at, defined }) => defined && countsAt(at).first !== none)
    .map((look) => `${look.name}, ${nameOf(look.binding)}, had ${countText(look, countsAt(look.at))}`);
  const after = countText(bad, countsAt(bad.at + resultWords));
  const cause = inputs.length > 0 ? `before it, ${inputs.join('; ')}` : 'all that it read was finite';
  return `${name}, wrote to ${bad.name}, ${nameOf(bad.binding)}, ${after}; ${cause}`;
}

/** `2 NaN and 1 infinite of 64 numbers, the first at (0, 3)` */
function countText({ binding }: Look, { nans, infinities, first }: Counts): string {
  const kinds = [nans && `${nans} NaN`, infinities && `${infinities} infinite`].filter(Boolean).join(' and ');
  return `${kinds} of ${count(binding)} numbers, the first at ${placeOf(binding, first)}`;
}

/** The coordinates of an element of a tensor's memory, if its layout is known; else its index. */
function placeOf(binding: Binding, element: number): string {
  if (!isShaped(binding) || binding.keptRows || binding.keptColumns) return `element ${element}`;
  const { shape, strides } = binding;
  const at = shape.map(() => 0);
  let rest = element;
  for (const d of [...shape.keys()].sort((a, b) => strides[b] - strides[a] || a - b)) {
    at[d] = strides[d] > 0 ? Math.min(Math.floor(rest / strides[d]), shape[d] - 1) : 0;
    rest -= at[d] * strides[d];
  }
  return rest === 0 ? `(${at.join(', ')})` : `element ${element}`;
}

function count(binding: Binding): number {
  return Math.floor(binding.bytes / elementBytes(binding));
}

function memoryOf(plan: Recorded, { storage, offset, bytes }: Binding): GPUBufferBinding {
  const buffer = isBuffer(storage) ? storage : plan.memory.get(storage);
  if (!buffer) throw new ValidationError(`internal: ${plan.label}: "${storage.label}" has no memory`);
  return { buffer, offset, size: Math.ceil(bytes / 16) * 16 };
}
