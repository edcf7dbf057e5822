import type { Plan } from '../runtime/plan.js';
import type { Tensor } from '../tensor/tensor.js';

const alignment = 256; // bytes: the most that WebGPU may ask of a binding's offset

/**
 * Views of the same images of some contiguous tensors (N, …), one group of images after the other, so that no dispatch over
 * a group takes more multiply-adds than the device allows: a driver resets a GPU that is not heard of for long.
 *
 * @param macs of all N images
 */
export function batches<T extends readonly Tensor[]>(plan: Plan, macs: number, ...tensors: T): T[] {
  const { dispatchMacs } = plan.device;
  if (macs <= dispatchMacs) return [tensors];
  const [N] = tensors[0].shape;
  const least = tensors.map(({ bytes }) => alignment / greatestCommonDivisor(alignment, bytes / N));
  const step = Math.max(...least); // powers of two: the largest is a multiple of all
  const count = Math.max(step, Math.floor((dispatchMacs * N) / macs / step) * step);
  return Array.from({ length: Math.ceil(N / count) }, (_, part) => {
    const first = part * count;
    return tensors.map((x) => images(x, first, Math.min(count, N - first))) as unknown as T;
  });
}

function images(x: Tensor, first: number, count: number): Tensor {
  const [N, ...rest] = x.shape;
  const each = x.bytes / N;
  return { ...x, shape: [count, ...rest], offset: x.offset + first * each, bytes: count * each };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
