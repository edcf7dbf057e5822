// Sources made of others: some of their items, single images of pairs, smaller images; and of planes of bytes.
import { loadImage, loadSquare } from './rgba_image.js';
import { checkItem, type ImageLike, type ImageSource, type RgbaImage } from './source.js';

/** A source of images whose bytes are gray (channels = 1) or planar RGB (channels = 3), one image after another. */
export function planarSource(
  about: { name: string; width: number; height: number; labels?: Int32Array; classes?: readonly string[] },
  channels: 1 | 3,
  planes: readonly Uint8Array[],
): ImageSource<RgbaImage> {
  const { width, height } = about;
  const area = width * height;
  const source: ImageSource<RgbaImage> = {
    name: about.name,
    length: planes.length,
    images: 1,
    bound: { side: Math.max(width, height), pixels: area },
    ...(about.labels && { labels: about.labels }),
    ...(about.classes && { classes: about.classes }),
    async load(item, image) {
      checkItem(source, item, image);
      const from = planes[item];
      const pixels = new Uint8Array(area * 4);
      for (let p = 0; p < area; p++) {
        for (let c = 0; c < 3; c++) pixels[p * 4 + c] = from[channels === 1 ? p : c * area + p];
        pixels[p * 4 + 3] = 255;
      }
      return { width, height, pixels };
    },
  };
  return source;
}

/** The items of `source` that `items` names, in that order. */
export function subset<P extends ImageLike>(
  source: ImageSource<P>,
  items: readonly number[],
  name = source.name,
): ImageSource<P> {
  for (const item of items) checkItem(source, item, 0);
  return derived(source, name, items.length, source.images, (item, image) => [items[item], image]);
}

/** A source of `length` items, each made of the item and image of `source` that `origin` returns. */
function derived<P extends ImageLike>(
  source: ImageSource<P>,
  name: string,
  length: number,
  images: 1 | 2,
  origin: (item: number, image: 0 | 1) => readonly [item: number, image: 0 | 1],
): ImageSource<P> {
  const { labels, classes, names, digests, bound, sizes } = source;
  const items = Array.from({ length }, (_, item) => origin(item, 0)[0]);
  /** Where width and height of each image lie among the source's sizes. */
  function* eachOrigin() {
    for (let i = 0; i < length * images; i++) {
      const [item, image] = origin(Math.floor(i / images), (i % images) as 0 | 1);
      const at = 2 * (item * source.images + image);
      yield* [at, at + 1];
    }
  }
  const own: ImageSource<P> = {
    name,
    length,
    images,
    ...(labels && { labels: Int32Array.from(items, (item) => labels[item]) }),
    ...(classes && { classes }),
    ...(names && { names: items.map((item) => names[item]) }),
    ...(digests && { digests: Uint32Array.from(items, (item) => digests[item]) }),
    ...(bound && { bound }),
    ...(sizes && { sizes: Uint32Array.from(eachOrigin(), (at) => sizes[at]) }),
    async load(item, image) {
      checkItem(own, item, image);
      return source.load(...origin(item, image));
    },
    ...(source.square && {
      async square(item, image, size, options) {
        checkItem(own, item, image);
        return source.square!(...origin(item, image), size, options);
      },
    }),
  };
  return own;
}

/** An image of half the width and height, rounded up: the means of 2 x 2 pixels. */
export function halve({ width, height, pixels }: RgbaImage): RgbaImage {
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const half = new Uint8Array(w * h * 4);
  for (let y = 0; y < h; y++) {
    const rows = [2 * y * width, Math.min(2 * y + 1, height - 1) * width];
    for (let x = 0; x < w; x++) {
      const columns = [2 * x, Math.min(2 * x + 1, width - 1)];
      for (let c = 0; c < 4; c++) {
        let sum = 2; // rounds to nearest
        for (const row of rows) for (const column of columns) sum += pixels[(row + column) * 4 + c];
        half[(y * w + x) * 4 + c] = sum >> 2;
      }
    }
  }
  return { width: w, height: h, pixels: half };
}

/** Widths and heights, pair by pair; each pair is halved as `halve` does while `isTooLarge`. */
export function halvedSides(sizes: Uint32Array, isTooLarge: (width: number, height: number) => boolean): Uint32Array {
  const halved = sizes.slice();
  for (let at = 0; at < halved.length; at += 2)
    while (isTooLarge(halved[at], halved[at + 1]))
      halved.set([Math.ceil(halved[at] / 2), Math.ceil(halved[at + 1] / 2)], at);
  return halved;
}

/** The images of `source`, halved while the shorter side is at least twice `side`. */
export function reduced(source: ImageSource, side: number): ImageSource<RgbaImage> {
  const { square, sizes, ...rest } = source;
  const isTooLarge = (width: number, height: number) => Math.min(width, height) >= 2 * side;
  return {
    ...rest,
    ...(sizes && { sizes: halvedSides(sizes, isTooLarge) }),
    async load(item, image) {
      let loaded = await loadImage(source, item, image);
      while (isTooLarge(loaded.width, loaded.height)) loaded = halve(loaded);
      return loaded;
    },
    ...(square && {
      square: (item, image, size, options) => loadSquare(source, item, image, size, options),
    }),
  };
}

/** Every image as an item of its own: item 2i + p is image p of item i. A source of single images stays as it is. */
export function eachImage<P extends ImageLike>(source: ImageSource<P>): ImageSource<P> {
  if (source.images === 1) return source;
  return derived(source, source.name, source.length * 2, 1, (item) => [item >> 1, (item & 1) as 0 | 1]);
}

/** Image `image` of every item, as a source of single images. */
export function oneImage<P extends ImageLike>(source: ImageSource<P>, image: 0 | 1): ImageSource<P> {
  return derived(source, source.name, source.length, 1, (item) => [item, image]);
}
