/**
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter-based generator.
 * Four random words are a pure function of (counter, key), so there is no state to save or restore.
 *
 * Here the counter identifies what is drawn for, (seed, step or epoch, sample, view), and the key selects four of its draws,
 * (block, stream). Draw i of a counter is word i % 4 of block floor(i / 4). `kernels/augment.wgsl` contains the same function.
 */
export type Words = readonly [number, number, number, number];

/** Second word of the key: one number per use, so that no two uses ever share words. */
export const stream = { augment: 0, order: 1, split: 2, init: 3, head: 4, edit: 5 } as const;

/** Ten rounds. Every word in and out is an unsigned 32-bit integer. */
export function philox(counter: Words, key: readonly [number, number]): Words {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** The upper 32 bits of a 32 x 32-bit product. With b = n it maps a random word to an integer below n. */
export function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16); // below 2^32: exact, like everything here
  return (a1 * b1 + Math.floor((a0 * b1 + middle) / 65536)) >>> 0;
}

/** A random word as a number in [0, 1) that is exact in f32: its upper 24 bits. */
export const unit = (word: number): number => (word >>> 8) * 2 ** -24;

/**
 * The integers below `length` in random order (Fisher-Yates), the same for the same arguments.
 *
 * @param round which shuffle of the seed this is: the epoch
 * @param use the stream to draw from: `stream.order` for epochs, `stream.split` for held-out sets
 */
export function permutation(
  length: number,
  seed: number,
  round = 0,
  use: number = stream.order,
): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length }, (_, i) => i);
  let words: Words = [0, 0, 0, 0];
  for (let i = 0; i < length - 1; i++) {
    if (i % 4 === 0) words = philox([seed, round, i / 4, 0], [0, use]);
    const j = i + multiplyHigh(words[i % 4], length - i);
    const swap = order[i];
    order[i] = order[j];
    order[j] = swap;
  }
  return order;
}

/** Draws in [0, 1) one after another, the same for the same seed: for `initialize`, so that a run can be repeated. */
export const generator = (seed: number): (() => number) => draws(seed, stream.init);

/** Draws in [0, 1) one after another, the same for the same arguments. */
export function draws(seed: number, use: number): () => number {
  let words: Words = [0, 0, 0, 0];
  let drawn = 0;
  return () => {
    if (drawn % 4 === 0) words = philox([seed, drawn / 4, 0, 0], [0, use]);
    return unit(words[drawn++ % 4]);
  };
}
