// Emoji as images: Google's and Twitter's drawings of the same code points, from two npm packages.
import { expectOneOf } from '../../checks/one_of.js';
import { expectOptions } from '../../checks/options.js';
import { fnv1a } from '../../data/fnv1a.js';
import { checkItem, type ImageSource, type RgbaImage } from '../../data/source.js';
import { DataError } from '../../errors.js';
import { readBytes } from '../system/files.js';
import { findPackageFile, wordsFor } from '../system/packages.js';
import { loadSharp, MID_GRAY } from './sharp.js';

/** Whose drawings these are: to be shown wherever they are used. */
export const EMOJI_ATTRIBUTION =
  'Emoji drawings: Noto Emoji by Google (Apache-2.0) and Twemoji by Twitter and contributors (CC BY 4.0).';

const SIDE = 64;
/** The sheets frame every drawing with one transparent pixel. */
const CELL = SIDE + 2;
const PIXEL_BYTES = SIDE * SIDE * 4;
const STYLES = ['google', 'twitter'] as const;
const INSTALL = 'npm i -D emoji-datasource-google@16 emoji-datasource-twitter@16';

export interface EmojiSource extends ImageSource<RgbaImage> {
  /** The Unicode code points of every item, as in '1F600'. */
  readonly codes: readonly string[];
}

/** What is used of a package's emoji.json. */
interface Entry {
  readonly unified: string;
  readonly category: string;
  readonly subcategory: string;
  readonly sheet_x: number;
  readonly sheet_y: number;
}

/**
 * The emoji that both packages draw, 64 x 64 on mid-gray: image 0 is Google's drawing, image 1 is Twitter's.
 * Skin tones, which are no images of their own (category Component), are left out: 1,906 remain in version 16.
 * Labels are the categories (9) or the subcategories (98). A DataError prints the line that installs what is missing.
 */
export async function openEmoji(options: { labels?: 'category' | 'subcategory' } = {}): Promise<EmojiSource> {
  const { labels = 'category' } = expectOptions('openEmoji', options, { labels: 'string' });
  expectOneOf('openEmoji: labels', labels, ['category', 'subcategory']);
  const [google, twitter] = await Promise.all(STYLES.map(readEntries));
  const codes = [...google.keys()].filter((code) => twitter.has(code));
  if (codes.length === 0) throw new DataError(`emoji: the two packages share no emoji: ${INSTALL}`);
  // A whole sheet decodes six times faster than its 1,906 single files.
  const drawings = await Promise.all([cut('google', codes, google), cut('twitter', codes, twitter)]);

  const named = codes.map((code) => google.get(code)![labels]);
  const classes = [...new Set(named)].sort();
  const source: EmojiSource = {
    name: 'emoji',
    length: codes.length,
    images: 2,
    bound: { side: SIDE, pixels: SIDE * SIDE },
    labels: Int32Array.from(named, (name) => classes.indexOf(name)),
    classes,
    names: codes,
    digests: Uint32Array.from(codes, (code) => fnv1a(code)),
    codes,
    async load(item, image) {
      checkItem(source, item, image);
      const pixels = drawings[image].subarray(item * PIXEL_BYTES, (item + 1) * PIXEL_BYTES);
      return { width: SIDE, height: SIDE, pixels };
    },
  };
  return source;
}

/** A package's emoji by code points, in its own order. */
async function readEntries(style: (typeof STYLES)[number]): Promise<Map<string, Entry>> {
  const path = locate(style, 'emoji.json');
  let entries: unknown;
  try {
    entries = JSON.parse(new TextDecoder().decode(await readBytes(path)));
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`emoji: ${path} is not JSON; install it again: ${INSTALL}`, { cause });
  }
  const drawn = new Map<string, Entry>();
  for (const entry of Array.isArray(entries) ? (entries as Record<string, unknown>[]) : []) {
    if (entry?.[`has_img_${style}`] !== true || entry.category === 'Component') continue;
    const { unified, category, subcategory, sheet_x, sheet_y } = entry;
    if (
      ![unified, category, subcategory].every((text) => typeof text === 'string') ||
      !isPlace(sheet_x) ||
      !isPlace(sheet_y)
    ) {
      throw new DataError(`emoji: ${path} has an entry without code, category or place: ${INSTALL}`);
    }
    drawn.set(unified as string, { unified, category, subcategory, sheet_x, sheet_y } as Entry);
  }
  return drawn;
}

/** The drawings of `codes`, one after another, RGBA. */
async function cut(
  style: (typeof STYLES)[number],
  codes: readonly string[],
  entries: Map<string, Entry>,
): Promise<Uint8Array> {
  const sharp = await loadSharp('emoji: decoding');
  // The other sheets fill gaps with drawings of another vendor.
  const path = locate(style, `img/${style}/sheets-clean/64.png`);
  const bytes = await readBytes(path);
  const { data, info } = await sharp(bytes)
    .flatten({ background: MID_GRAY })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((cause: unknown) => {
      throw new DataError(`emoji: ${path}: ${(cause as Error).message}; install it again: ${INSTALL}`, { cause });
    });
  const drawings = new Uint8Array(codes.length * PIXEL_BYTES);
  for (const [item, code] of codes.entries()) {
    const { sheet_x, sheet_y } = entries.get(code)!;
    if ((sheet_x + 1) * CELL > info.width || (sheet_y + 1) * CELL > info.height) {
      throw new DataError(`emoji: ${path} is ${info.width} x ${info.height} and has no place for ${code}: ${INSTALL}`);
    }
    for (let row = 0; row < SIDE; row++) {
      const from = ((sheet_y * CELL + 1 + row) * info.width + sheet_x * CELL + 1) * 4;
      drawings.set(data.subarray(from, from + SIDE * 4), item * PIXEL_BYTES + row * SIDE * 4);
    }
  }
  return drawings;
}

/** A file of the style's package, from the project that installed slimgrad. */
function locate(style: (typeof STYLES)[number], file: string): string {
  const name = `emoji-datasource-${style}`;
  const path = findPackageFile(name, file);
  if (path !== undefined) return path;
  throw new DataError(`emoji: the package ${name} (with ${file}) is not installed, ${wordsFor()}: ${INSTALL}`);
}

function isPlace(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
