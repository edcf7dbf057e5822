// What a plan records: dispatches and fills, and their options.
import type { Binding, Slot } from '../tensor/binding.js';
import type { BindingName, Consts, EntryName, Kernel, ListName, Params } from './kernel.js';
import type { Lifetime } from './memory.js';

export interface PlanOptions {
  label?: string;
  /** Kernel variants to use instead of the first one that runs: `add.forward 3`, all `add.forward`, or all `add`. */
  variants?: Readonly<Record<string, string>>;
  /** Storage to bind in place of external buffers: the tuner's trial runs must not write to the weights. */
  substitute?: (binding: Binding) => Binding;
}

export interface DispatchOptions<K extends Kernel, E extends EntryName<K>> {
  params: Params<K>;
  bindings: { readonly [B in Exclude<BindingName<K, E>, ListName<K, E>>]: Binding } & {
    readonly [B in ListName<K, E>]?: Binding | undefined;
  };
  /** Workgroups: a number is folded into (x, y, 1) if it exceeds the limit of a dimension. */
  workgroups: number | readonly [number, number, number];
  consts?: Consts<K>;
  /** Bytes that it must move, each counted once. */
  bytes: number;
  /** Multiply-adds of a convolution or a product of matrices; all else counts bytes alone (DESIGN.md, "Ledger"). */
  macs?: number;
}

/** A recorded dispatch. */
export interface Dispatch {
  readonly kind: 'dispatch';
  /** `stem.entry` */
  readonly label: string;
  readonly phase: string;
  readonly kernel: Kernel;
  readonly entry: string;
  readonly params: Readonly<Record<string, number>>;
  readonly bindings: ReadonlyMap<string, Binding>;
  readonly workgroups: readonly [number, number, number];
  readonly consts: Readonly<Record<string, number | boolean | undefined>>;
  /** Whether the activations that it binds are f16. */
  readonly half: boolean;
  readonly macs: number;
  readonly bytes: number;
  /** `params` as the shader reads them. */
  readonly uniforms: ArrayBuffer;
}

export interface Clear {
  readonly kind: 'clear';
  readonly target: Binding;
}

export type Command = Dispatch | Clear;

/** A recorded command with its GPU objects. */
export type Encoded =
  | {
      kind: 'dispatch';
      pipeline: GPUComputePipeline;
      group: GPUBindGroup;
      x: number;
      y: number;
      z: number;
      macs: number;
    }
  | { kind: 'clear'; buffer: GPUBuffer; offset: number; bytes: number };

/** The part of a plan that is read to count, describe or check what was recorded. */
export interface Recorded {
  readonly label: string;
  readonly commands: readonly Command[];
  readonly dispatches: readonly Dispatch[];
  readonly position: number;
  readonly choices: readonly {
    readonly chosen: { readonly name: string };
    readonly first: number;
    readonly end: number;
  }[];
  readonly lifetimes: readonly Lifetime[];
  readonly memory: ReadonlyMap<Slot, GPUBuffer>;
}

/** One dispatch of a profile: GPU time in milliseconds, from timestamps around a pass of its own. */
export interface ProfileEntry {
  readonly label: string;
  readonly phase: string;
  readonly ms: number;
  readonly macs: number;
  readonly bytes: number;
}
