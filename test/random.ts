/** A fresh seed each run; SLIMGRAD_SEED repeats one. Printed with every failure. */
export const seed = Number(process.env.SLIMGRAD_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** mulberry32: independent of the library's own generator. */
export function generator(from: number = seed): () => number {
  let state = from >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `n` values around `mean`, spread evenly over ±`spread`, rounded to f32. */
export function randoms(random: () => number, n: number, mean = 0.3, spread = 1): Float32Array<ArrayBuffer> {
  const values = new Float32Array(n);
  for (let i = 0; i < n; i++) values[i] = mean + (2 * random() - 1) * spread;
  return values;
}
