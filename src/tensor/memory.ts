// The interfaces that tensors use of the device or plan that holds their memory.
import type { Binding, Slot } from './binding.js';

/** The device, as a tensor needs it. */
export interface TensorMemory {
  /** A buffer for a tensor of `elements` elements. */
  tensorBuffer(label: string, elements: number, elementBytes: number): GPUBuffer;
  /** Of a buffer that was made for a tensor, how many elements it has. */
  elementsOf(buffer: GPUBuffer): number | undefined;
  read(buffer: GPUBuffer, offset: number, bytes: number): Promise<ArrayBuffer>;
  write(memory: Binding, data: ArrayBufferView, offset: number): void;
  /** Frees those that are not freed yet. */
  release(memories: Iterable<Binding>): void;
}

/** The plan, as a transient tensor needs it. */
export interface SlotMemory {
  slot(label: string, bytes: number): Slot;
}
