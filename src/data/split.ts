// Training and test parts, drawn item by item from a hash of its name.
import { philox, stream, unit } from '../core/random.js';
import { DataError } from '../errors.js';
import { subset } from './derived.js';
import { fnv1a } from './fnv1a.js';
import type { ImageLike, ImageSource } from './source.js';

/**
 * Which items are held out of training. An item's side follows from its own name and a seed, never from its number or from the other
 * items: whatever is added, removed or renamed moves nothing else.
 */

/** The copies' marks that programs append to a name, and what they put before it. A number in brackets is one behind a digit only: other such names count. */
const marks = [
  /(?<=\d) ?\(\d{1,2}\)$/, // IMG_1 (2)
  / - copy( ?\(\d+\))?$/, // Windows
  /[ _-]copy([ _-]?\d+)?$/, // macOS
  / \((\w+ )?copy\)$/, // GNOME: (copy), (another copy), (3rd copy)
  /[ _-]edited( ?\(\d+\))?$/, // Google Photos
  /~\d{1,2}$/, // Android
  /-\d{2,4}x\d{2,4}$/, // WordPress: photo-300x200
  /@\dx$/,
];
const heading = /^copy( ?\(\d+\))? of /;

/**
 * What all copies of an image share of their names: the path without its ending and without the marks of copies, in Unicode's composed
 * form and small letters.
 */
export function stemOf(name: string): string {
  const path = name.normalize('NFC').toLowerCase().replaceAll('\\', '/');
  const cut = path.lastIndexOf('/') + 1;
  let stem = path.slice(cut).replace(/(?<=.)\.[^. ]{1,12}$/, '');
  for (let before = ''; stem !== before; ) {
    before = stem;
    for (const mark of marks) stem = stem.replace(mark, '') || stem;
    stem = stem.replace(heading, '') || stem;
  }
  return path.slice(0, cut) + stem;
}

/** A number in [0, 1) that a name and a seed determine, the same for all copies of an item; `round` gives another one. */
export function drawOf(name: string, seed: number, round = 0): number {
  return unit(philox([seed, fnv1a(stemOf(name)), round, 0], [0, stream.split])[0]);
}

/** The name of an item; its number where it has none. */
export function nameOf({ names }: Pick<ImageSource, 'names'>, item: number): string {
  return names?.[item] ?? String(item);
}

/** Whether each item is held out: those whose draw is below `fraction`. */
export function heldOut(
  source: Pick<ImageSource, 'name' | 'length' | 'names'>,
  fraction: number,
  seed: number,
): boolean[] {
  if (!(fraction > 0 && fraction < 1))
    throw new DataError(`${source.name}: expected a share above 0 and below 1 to hold out, got ${fraction}`);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
    throw new DataError(`${source.name}: expected a seed that is a whole number from 0 to 4294967295, got ${seed}`);
  return Array.from({ length: source.length }, (_, item) => drawOf(nameOf(source, item), seed) < fraction);
}

/**
 * Splits by item (twins stay together): about `fraction` of them are held out for testing, each by a draw of its own from `seed` and its
 * name, or its number where items have no names. Copies by name (`stemOf`) are on one side. Both parts keep the source's order.
 *
 * @throws DataError where a part is left empty
 */
export function holdOut<P extends ImageLike>(
  source: ImageSource<P>,
  fraction: number,
  seed: number,
): { train: ImageSource<P>; test: ImageSource<P> } {
  const isHeld = heldOut(source, fraction, seed);
  const items = isHeld.map((_, item) => item);
  const [train, test] = [items.filter((item) => !isHeld[item]), items.filter((item) => isHeld[item])];
  if (train.length === 0 || test.length === 0)
    throw new DataError(
      `${source.name}: holding out ${fraction} of ${source.length} items leaves ${test.length} to test and ` +
        `${train.length} to train; expected at least one of each`,
    );
  return {
    train: subset(source, train, `${source.name} (train)`),
    test: subset(source, test, `${source.name} (held out)`),
  };
}
