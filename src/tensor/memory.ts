// Where tensors lie, as far as they ask: a device for its own, a plan for transient ones.
import type { Binding, Slot } from './binding.js';

/** What a tensor asks of the device that holds it. */
export interface TensorMemory {
  /** A buffer for a tensor of so many elements. */
  tensorBuffer(label: string, elements: number, elementBytes: number): GPUBuffer;
  /** Of a buffer that was made for a tensor, how many elements it has. */
  elementsOf(buffer: GPUBuffer): number | undefined;
  read(buffer: GPUBuffer, offset: number, bytes: number): Promise<ArrayBuffer>;
  write(memory: Binding, data: ArrayBufferView, offset: number): void;
  /** Frees those that are not free yet. */
  release(memories: Iterable<Binding>): void;
}

/** What a transient tensor asks of its plan. */
export interface SlotMemory {
  slot(label: string, bytes: number): Slot;
}
