// Sources made of others: some of their items, single pictures of pairs, smaller pictures; and of planes of bytes.
import { loadPicture, loadSquare } from './picture.js';
import { checkItem, type ImageSource, type Picture, type PictureLike } from './source.js';

/** A source of pictures whose bytes are grey (channels = 1) or planar RGB (channels = 3), one picture after another. */
export function planarSource(
  about: { name: string; width: number; height: number; labels?: Int32Array; classes?: readonly string[] },
  channels: 1 | 3,
  planes: readonly Uint8Array[],
): ImageSource<Picture> {
  const { width, height } = about;
  const area = width * height;
  const source: ImageSource<Picture> = {
    name: about.name,
    length: planes.length,
    pictures: 1,
    bound: { side: Math.max(width, height), pixels: area },
    ...(about.labels && { labels: about.labels }),
    ...(about.classes && { classes: about.classes }),
    async load(item, picture) {
      checkItem(source, item, picture);
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
export function subset<P extends PictureLike>(
  source: ImageSource<P>,
  items: readonly number[],
  name = source.name,
): ImageSource<P> {
  for (const item of items) checkItem(source, item, 0);
  return derived(source, name, items.length, source.pictures, (item, picture) => [items[item], picture]);
}

/** A source of `length` items, of which each is made of the item and picture of `source` that `origin` says. */
function derived<P extends PictureLike>(
  source: ImageSource<P>,
  name: string,
  length: number,
  pictures: 1 | 2,
  origin: (item: number, picture: 0 | 1) => readonly [item: number, picture: 0 | 1],
): ImageSource<P> {
  const { labels, classes, names, digests, bound } = source;
  const items = Array.from({ length }, (_, item) => origin(item, 0)[0]);
  const own: ImageSource<P> = {
    name,
    length,
    pictures,
    ...(labels && { labels: Int32Array.from(items, (item) => labels[item]) }),
    ...(classes && { classes }),
    ...(names && { names: items.map((item) => names[item]) }),
    ...(digests && { digests: Uint32Array.from(items, (item) => digests[item]) }),
    ...(bound && { bound }),
    async load(item, picture) {
      checkItem(own, item, picture);
      return source.load(...origin(item, picture));
    },
    ...(source.square && {
      async square(item, picture, size, options) {
        checkItem(own, item, picture);
        return source.square!(...origin(item, picture), size, options);
      },
    }),
  };
  return own;
}

/** A picture of half the width and height, rounded up: the means of 2 x 2 pixels. */
export function halve({ width, height, pixels }: Picture): Picture {
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

/** The pictures of `source`, halved while the shorter side is at least twice `side`. */
export function reduced(source: ImageSource, side: number): ImageSource<Picture> {
  const { square, ...rest } = source;
  return {
    ...rest,
    async load(item, picture) {
      let loaded = await loadPicture(source, item, picture);
      while (Math.min(loaded.width, loaded.height) >= 2 * side) loaded = halve(loaded);
      return loaded;
    },
    ...(square && {
      square: (item, picture, size, options) => loadSquare(source, item, picture, size, options),
    }),
  };
}

/** Every picture as an item of its own: item 2i + p is picture p of item i. A source of single pictures stays as it is. */
export function eachPicture<P extends PictureLike>(source: ImageSource<P>): ImageSource<P> {
  if (source.pictures === 1) return source;
  return derived(source, source.name, source.length * 2, 1, (item) => [item >> 1, (item & 1) as 0 | 1]);
}

/** Picture `picture` of every item, as a source of single pictures. */
export function onePicture<P extends PictureLike>(source: ImageSource<P>, picture: 0 | 1): ImageSource<P> {
  return derived(source, source.name, source.length, 1, (item) => [item, picture]);
}
