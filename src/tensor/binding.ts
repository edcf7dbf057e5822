import { textOf } from '../checks/text_of.js';
import { ValidationError } from '../errors.js';

/** Transient memory of a plan: it occupies a buffer from first to last use, which other slots reuse at other times. */
export interface Slot {
  readonly label: string;
  readonly bytes: number;
}

/** Element types of integer tensors: labels, indices. */
export type Integer = 'i32' | 'u32';

/** Bytes: an offset that is a multiple of this can be bound on any adapter (the largest alignment that WebGPU permits). */
export const bindingAlignment = 256;

/** A range of a buffer or of a slot; offset and length in bytes. */
export interface Binding {
  readonly storage: GPUBuffer | Slot;
  readonly offset: number;
  readonly bytes: number;
  /** Whether its elements are f16 instead of f32. */
  readonly half?: boolean;
  /** Its integer type, if its elements are integers. */
  readonly integer?: Integer;
}

/** Whether the storage is a buffer, not a slot; works without WebGPU's classes. */
export function isBuffer(storage: Binding['storage']): storage is GPUBuffer {
  return 'destroy' in storage;
}

/**
 * The buffer of a tensor, or the buffer itself.
 *
 * @throws ValidationError for a plan's slot, which has memory only within the plan
 */
export function bufferOf(memory: GPUBuffer | Binding): GPUBuffer {
  const storage = Object(memory).storage ?? memory;
  if (typeof storage !== 'object' || storage === null || !('label' in storage))
    throw new ValidationError(`expected a buffer, or a tensor of the device, got ${textOf(memory)}`);
  if (isBuffer(storage)) return storage;
  throw new ValidationError(
    `${storage.label}: expected a tensor of the device, got one of a plan; read it by the plan, or make it by device.tensor()`,
  );
}

/** Whether two ranges of one storage have bytes in common. */
export function overlap(a: Binding, b: Binding): boolean {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}
