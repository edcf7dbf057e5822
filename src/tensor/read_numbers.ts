import type { Binding } from './binding.js';
import { fromHalf } from './float16.js';
import { checkLayout, isShaped, type Shaped } from './footprint.js';
import type { TensorMemory } from './memory.js';

/** The typed array that a binding's elements are read into: integers for an `IntegerTensor`, else f32. */
export type Numbers<B extends Binding> = B extends { readonly integer: 'u32' }
  ? Uint32Array<ArrayBuffer>
  : B extends { readonly integer: 'i32' }
    ? Int32Array<ArrayBuffer>
    : Float32Array<ArrayBuffer>;

const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array } as const;

/** Reads a binding back: for a tensor, its elements in row-major order, index lists applied. */
export async function readNumbers<B extends Binding>(
  device: TensorMemory,
  binding: B,
  resolve: (binding: Binding) => { buffer: GPUBuffer; offset: number },
): Promise<Numbers<B>> {
  const { buffer, offset } = resolve(binding);
  if (isShaped(binding))
    checkLayout(
      'read',
      binding,
      true,
      [binding.keptRows, binding.keptColumns].filter((list) => list !== undefined),
    );
  const beyond = offset % 4; // f16 numbers may begin in the middle of a word
  const bytes = (await device.read(buffer, offset - beyond, binding.bytes + beyond)).slice(beyond);
  const held = binding.half ? fromHalf(new Uint16Array(bytes)) : new arrays[binding.integer ?? 'f32'](bytes);
  if (!isShaped(binding)) return held as Numbers<B>;
  const lists = [binding.keptRows, binding.keptColumns].map(async (list) => {
    if (!list) return undefined;
    const { buffer, offset } = resolve(list);
    return new Uint32Array(await device.read(buffer, offset, list.bytes));
  });
  return gather(binding, held, await Promise.all(lists)) as Numbers<B>;
}

/** The elements of a view, in order, from all elements of its binding. */
function gather(
  { shape, strides, integer }: Shaped,
  held: ArrayLike<number>,
  lists: readonly (Uint32Array | undefined)[],
): InstanceType<(typeof arrays)[keyof typeof arrays]> {
  let at = Uint32Array.of(0);
  shape.forEach((side, d) => {
    const list = lists[d];
    const wider = new Uint32Array(at.length * side);
    for (let i = 0; i < wider.length; i++)
      wider[i] = at[Math.floor(i / side)] + (list ? list[i % side] : i % side) * strides[d];
    at = wider;
  });
  const values = new arrays[integer ?? 'f32'](at.length);
  at.forEach((from, to) => {
    values[to] = held[from];
  });
  return values;
}
