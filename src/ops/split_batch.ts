import type { Plan } from '../runtime/plan.js';
import type { Tensor } from '../tensor/tensor.js';

const alignment = 256; // bytes: WebGPU's largest minimum alignment of a binding's offset

/**
 * Splits contiguous tensors (N, …) along the batch dimension into groups of images, so that no dispatch exceeds the
 * multiply-adds that the device allows: drivers reset a GPU that does not respond for long.
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
