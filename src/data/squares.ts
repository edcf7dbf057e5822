/** Sources as evaluation sees them: squares of one size. Knows how a source is asked for them, not how they are computed. */
import { loadPicture, loadSquare } from './picture.js';
import { checkSquare, resizeSquare } from './resize.js';
import type { ImageSource, Picture, SquareOptions } from './source.js';

/**
 * The pictures of `source` with the shorter side resized to `size`, or as `options` say, and the central square cut out: by the
 * source's own `square()` where it has one, which sees all the pixels there are, else of what `load()` gives.
 *
 * @throws ConfigError where an option is out of range
 */
export function squares(source: ImageSource, size: number, options: SquareOptions = {}): ImageSource<Picture> {
  checkSquare(size, options);
  const { name, length, pictures, labels, classes, names, digests } = source;
  return {
    name,
    length,
    pictures,
    ...(labels && { labels }),
    ...(classes && { classes }),
    ...(names && { names }),
    ...(digests && { digests }),
    bound: { side: size, pixels: size ** 2 },
    load: async (item, picture) =>
      source.square
        ? loadSquare(source, item, picture, size, options)
        : resizeSquare(await loadPicture(source, item, picture), size, undefined, undefined, options),
  };
}
