// Buffers whose contents come later, and what brings them: a command that reads one before computes on zeros.
import { ValidationError } from '../errors.js';

const awaited = new WeakMap<GPUBuffer, string>();
let changes = 0;

/** How often contents were asked to be waited for so far: as long as it stays, so does what `assertArrived` has passed. */
export const waits = (): number => changes;

/** Has runs that use the buffer refused until it is written; `remedy` says what writes it. */
export function awaitContents(buffer: GPUBuffer, remedy: string): void {
  awaited.set(buffer, remedy);
  changes++;
}

/** Says that the buffer is written, by whomever. */
export function contentsArrived(buffer: GPUBuffer): void {
  awaited.delete(buffer);
}

/** @throws ValidationError, with the remedy, where the contents have not arrived */
export function assertArrived(buffer: GPUBuffer): void {
  const remedy = awaited.get(buffer);
  if (remedy !== undefined) throw new ValidationError(`${buffer.label}: expected to be filled before a run; ${remedy}`);
}
