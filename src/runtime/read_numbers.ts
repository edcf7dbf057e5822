import type { Binding } from './binding.js';
import type { Device } from './device.js';
import { checkLayout, isShaped, type Shaped } from './footprint.js';
import { fromHalf } from './half.js';

/** Copies a binding's numbers back: of a tensor its elements in their order, those that keep-lists name included. */
export async function readNumbers(
  device: Device,
  binding: Binding,
  resolve: (binding: Binding) => { buffer: GPUBuffer; offset: number },
): Promise<Float32Array<ArrayBuffer>> {
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
  const held = binding.half ? fromHalf(new Uint16Array(bytes)) : new Float32Array(bytes);
  if (!isShaped(binding)) return held;
  const lists = [binding.keptRows, binding.keptColumns].map(async (list) => {
    if (!list) return undefined;
    const { buffer, offset } = resolve(list);
    return new Uint32Array(await device.read(buffer, offset, list.bytes));
  });
  return gather(binding, held, await Promise.all(lists));
}

/** The elements of a view, in order, of all that its binding holds. */
function gather(
  { shape, strides }: Shaped,
  held: Float32Array,
  lists: readonly (Uint32Array | undefined)[],
): Float32Array<ArrayBuffer> {
  let at = Uint32Array.of(0);
  shape.forEach((side, d) => {
    const list = lists[d];
    const wider = new Uint32Array(at.length * side);
    for (let i = 0; i < wider.length; i++)
      wider[i] = at[Math.floor(i / side)] + (list ? list[i % side] : i % side) * strides[d];
    at = wider;
  });
  return Float32Array.from(at, (i) => held[i]);
}
