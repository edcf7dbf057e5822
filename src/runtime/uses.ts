// What a dispatch may bind: live memory, within its bounds, of the kernel's element type and layout.
import { ShapeError, ValidationError } from '../errors.js';
import { type Binding, overlap } from '../tensor/binding.js';
import { checkLayout, checkRange, isShaped } from '../tensor/footprint.js';
import type { Device } from './device.js';
import type { Buffers, Elements } from './kernel.js';

/** Refuses a dispatch that would fail or compute a wrong result. */
export function checkUses(
  device: Device,
  label: string,
  declared: Buffers,
  bindings: ReadonlyMap<string, Binding>,
): void {
  const boundary = device.limits.minStorageBufferOffsetAlignment;
  const lists = [...bindings].filter(([name]) => declared[name].kept).map(([, binding]) => binding);
  for (const [name, binding] of bindings) {
    const where = `${label}: ${name}`;
    checkElements(where, binding, declared[name].elements);
    checkLayout(where, binding, declared[name].strided === true, lists);
    checkRange(where, binding);
    device.check(where, binding.bytes);
    if (binding.offset % boundary !== 0)
      throw new ValidationError(
        `${label}: expected "${name}" to begin at a multiple of ${boundary} bytes, got ${binding.offset}; ` +
          'give it its own buffer or slot',
      );
  }
  checkAliases(label, declared, bindings);
}

/**
 * Checks that a dispatch binds no written memory twice: WebGPU allows a buffer to be bound either for reading or for writing,
 * and two written ranges of one buffer only if they do not overlap.
 */
function checkAliases(label: string, declared: Buffers, bindings: ReadonlyMap<string, Binding>): void {
  const known = new Map<Binding['storage'], [name: string, binding: Binding][]>();
  for (const [name, binding] of bindings) {
    const others = known.get(binding.storage) ?? [];
    const written = declared[name].type === 'storage';
    for (const [other, range] of others) {
      const alsoWritten = declared[other].type === 'storage';
      if (written === alsoWritten && (!written || !overlap(binding, range))) continue;
      throw new ValidationError(
        `${label}: expected "${other}" and "${name}" in separate memory, because one of them is written, ` +
          `got "${binding.storage.label}" for both; write to another tensor`,
      );
    }
    known.set(binding.storage, [...others, [name, binding]]);
  }
}

/** Checks that a tensor's element type is the kernel's: integers and f32 are not interchangeable. */
function checkElements(where: string, x: Binding, elements: Elements | undefined): void {
  const { integer, half } = x;
  if (!isShaped(x) || !elements || (integer ?? 'f32') === elements) return;
  throw new ShapeError(
    `${where}: expected a tensor of ${elements}, got ${integer ?? (half ? 'f16' : 'f32')} ${x.label} (${x.shape.join(', ')}); ` +
      `make it by device.tensor(shape, values, { dtype: '${elements}' })`,
  );
}
