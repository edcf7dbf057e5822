/** Sources as evaluation sees them: squares of one size. Knows how a source is asked for them, not how they are computed. */

import { checkSquare, resizeSquare } from './resize.js';
import { loadImage, loadSquare } from './rgba_image.js';
import type { ImageSource, RgbaImage, SquareOptions } from './source.js';

/**
 * The images of `source` with the shorter side resized to `size`, or as `options` say, and the central square cut out: by the
 * source's own `square()` where it has one, which sees all the pixels there are, else of what `load()` gives.
 *
 * @throws ConfigError where an option is out of range
 */
export function squares(source: ImageSource, size: number, options: SquareOptions = {}): ImageSource<RgbaImage> {
  checkSquare(size, options);
  const { name, length, images, labels, classes, names, digests } = source;
  return {
    name,
    length,
    images,
    ...(labels && { labels }),
    ...(classes && { classes }),
    ...(names && { names }),
    ...(digests && { digests }),
    bound: { side: size, pixels: size ** 2 },
    load: async (item, image) =>
      source.square
        ? loadSquare(source, item, image, size, options)
        : resizeSquare(await loadImage(source, item, image), size, undefined, undefined, options),
  };
}
