import { resizeSquare } from '../../src/data/resize.js';
import { generator } from '../random.js';

/** FNV-1a of the squares of images that are the same everywhere: in Node and in a page, of every engine. */
export function resizedHash(): number {
  const random = generator(11);
  let hash = 0x811c9dc5;
  for (const [width, height, size] of [
    [61, 40, 16],
    [9, 200, 8],
    [5, 7, 32],
  ]) {
    const pixels = new Uint8ClampedArray(width * height * 4);
    for (let i = 0; i < pixels.length; i++) pixels[i] = i % 4 === 3 ? 255 : Math.floor(random() * 512) - 128;
    for (const value of resizeSquare({ width, height, pixels }, size).pixels)
      hash = Math.imul(hash ^ value, 0x01000193) >>> 0;
  }
  return hash;
}
