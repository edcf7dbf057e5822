/**
 * The bytes of an image file as an image: upright, sRGB, on mid-gray. Files are taken as Pillow and browsers take them: what
 * decoders only warn of is read, what is cut short is refused. Knows no folder, and nothing of what images are used for.
 */
import { open, stat } from 'node:fs/promises';
import type { Metadata, Sharp } from 'sharp';
import { checkSquare, resizeSquare, squareRegion } from '../../data/resize.js';
import type { RgbaImage, SquareOptions } from '../../data/source.js';
import { ConfigError, DataError, SlimgradError } from '../../errors.js';
import { fileError, isMissing } from '../system/files.js';
import { formatByContent, headBytes, isRead, type UnreadFormat as UnreadName, unreadFormats } from './formats.js';
import { loadSharp, MID_GRAY } from './sharp.js';

interface DecodeOptions {
  /** Values that become black and white in images of more than 8 bits; by default the whole range of 16-bit ones. */
  readonly range?: readonly [black: number, white: number];
}

/** The content is an image of a format that is not decoded here. */
export class UnreadFormat extends DataError {
  override name = 'UnreadFormat';
  readonly format: string;
  constructor(format: UnreadName) {
    super(`its content is ${unreadFormats[format]}`);
    this.format = format;
  }
}

/**
 * Reduced copies for evaluation are at least this many times larger than the square, and the original less than this many times
 * larger than they. Resizing them once more then differs from resizing the original by a level or two: the decoder's kernel
 * sees every pixel. Past the second it would first average whole pixels and round, or read fewer of a JPEG, which shifts it.
 */
const oversampling = 4;
const reduction = 3.9;

/** Decoders' warnings are no errors, a file that ends too early is one. */
const reading = { failOn: 'error' } as const;

/** An image whose head was read. Width and height are those of the upright image. */
interface Opened {
  readonly image: Sharp;
  readonly width: number;
  readonly height: number;
  readonly about: Metadata;
}

/** For training: reduced until the shorter side has `side` pixels or the longer twice as many. A DataError says why not. */
export async function decode(bytes: Uint8Array, side: number, options: DecodeOptions = {}): Promise<RgbaImage> {
  checkRange(options);
  return named(async () => {
    const opened = await openImage(bytes);
    const isTall = opened.height > opened.width;
    const box = isTall ? { width: side, height: 2 * side } : { width: 2 * side, height: side };
    opened.image.autoOrient().resize({ ...box, fit: 'inside', withoutEnlargement: true });
    return readPixels(opened, options);
  });
}

/** For evaluation: `size` x `size`, as torchvision's Resize and CenterCrop make it of the decoded file. A DataError says why not. */
export async function decodeSquare(
  bytes: Uint8Array,
  size: number,
  options: DecodeOptions & SquareOptions = {},
): Promise<RgbaImage> {
  checkRange(options);
  const square = { resize: options.resize ?? size, interpolation: options.interpolation };
  checkSquare(size, square);
  return named(async () => {
    const opened = await openImage(bytes);
    const { image, width, height } = opened;
    const factor = Math.min(Math.max((oversampling * square.resize) / Math.min(width, height), 1 / reduction), 1);
    const copy = { width: Math.round(width * factor), height: Math.round(height * factor) };
    const { left, top, ...sides } = squareRegion(copy, size, opened, square);
    image.autoOrient();
    if (factor < 1) image.resize({ ...copy, fit: 'fill', kernel: 'cubic', fastShrinkOnLoad: false });
    // The square needs no rows below it, but a file that ends before the last is refused.
    const isTower = copy.height > 4 * sides.height;
    if (isTower) await readLastRow(bytes, opened.about);
    image.extract({ left, top, width: sides.width, height: isTower ? sides.height : copy.height - top });
    const part = await readPixels(opened, options);
    return resizeSquare(part, size, opened, { left, top, ...copy }, square);
  });
}

async function readLastRow(bytes: Uint8Array, { width, height }: Metadata): Promise<void> {
  const sharp = await loadSharp('decoding images');
  await sharp(bytes, reading)
    .extract({ left: 0, top: height - 1, width, height: 1 })
    .raw()
    .toBuffer();
}

/** Looks at the beginning of a file only. A DataError says why it is no image that can be decoded. */
export async function probe(given: string | Uint8Array): Promise<void> {
  const file = typeof given === 'string' ? given : Buffer.from(given.buffer, given.byteOffset, given.length);
  const { size, isFile } = await stat(file).then(
    (entry) => ({ size: entry.size, isFile: entry.isFile() }),
    (cause) => {
      throw isMissing(cause) ? new DataError('the link leads nowhere') : fileError('cannot be looked at', cause);
    },
  );
  if (!isFile) throw new DataError('is neither a file nor a link to one');
  if (size === 0) throw new DataError('is empty (0 bytes)');
  await named(async () => {
    const handle = await open(file, 'r').catch((cause) => {
      throw fileError('cannot be read', cause);
    });
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(headBytes), 0, headBytes, 0);
      const path = file.toString();
      // The decoder cannot open a name that is not UTF-8.
      const isText = typeof file === 'string' || Buffer.from(path).equals(file);
      await openImage(isText ? path : await handle.readFile(), buffer.subarray(0, bytesRead));
    } finally {
      await handle.close();
    }
  });
}

function checkRange({ range }: DecodeOptions): void {
  if (!range || (range.every(Number.isFinite) && range[0] !== range[1])) return;
  throw new ConfigError(`range of an image: expected two different finite values, black and white, got ${range}`);
}

/** Makes errors of the decoder DataErrors of one line: it adds the rest of what it tried. */
async function named<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const isOwn = cause instanceof SlimgradError || cause instanceof TypeError || cause instanceof ReferenceError;
    if (isOwn) throw cause;
    throw new DataError((cause as Error).message.split('\n', 1)[0], { cause });
  }
}

/** Reads the head of an image. Formats that the decoder knows besides ours stay out: some can name further files to read. */
async function openImage(
  file: string | Uint8Array,
  head: Uint8Array = (file as Uint8Array).subarray(0, headBytes),
): Promise<Opened> {
  if (head.length === 0) throw new DataError('is empty (0 bytes)');
  const format = formatByContent(head);
  if (!format) throw new DataError('is no image: expected the content of a JPEG, PNG, WebP, GIF, TIFF or AVIF file');
  // Both use the same container; which one it is may be known only after the head.
  const isHeif = format === 'avif' || format === 'heic';
  if (!isRead(format) && !isHeif) throw new UnreadFormat(format);
  const sharp = await loadSharp('decoding images');
  const about = await sharp(file, reading)
    .metadata()
    .catch((cause) => {
      throw format === 'heic' ? new UnreadFormat('heic') : cause;
    });
  if (isHeif && about.compression !== 'av1') throw new UnreadFormat('heic');
  if (about.format !== (isHeif ? 'heif' : format)) {
    throw new DataError(`is ${about.format} inside, though it begins as ${format}`);
  }
  // Of more than 8 bits the decoder would make Display P3; values are taken as they are, with or without a profile.
  const image = sharp(file, { ...reading, ignoreIcc: !isNarrow(about) });
  const [width, height] = (about.orientation ?? 1) >= 5 ? [about.height, about.width] : [about.width, about.height];
  return { image, width, height, about };
}

/** Kinds of pixels whose levels say by themselves what they are: 8 bits, or colors of a defined space. */
function isNarrow({ depth, space }: Metadata): boolean {
  return depth === 'uchar' || !['b-w', 'grey16', 'srgb', 'rgb16', 'scrgb', 'multiband'].includes(space);
}

/** Runs the pipeline of `image` and returns its pixels. */
async function readPixels({ image, about }: Opened, { range }: DecodeOptions): Promise<RgbaImage> {
  if (isNarrow(about)) {
    image.flatten({ background: MID_GRAY }).toColourspace('srgb').ensureAlpha().raw({ depth: 'uchar' });
    const { data, info } = await image.toBuffer({ resolveWithObject: true });
    checkChannels(info.channels, [4]);
    return { width: info.width, height: info.height, pixels: bytesOf(data) };
  }
  const isLevel = about.depth === 'ushort';
  if (!isLevel) checkValues(about, range);
  image.toColourspace(about.space).raw({ depth: isLevel ? 'ushort' : 'float' });
  const { data, info } = await image.toBuffer({ resolveWithObject: true });
  checkChannels(info.channels, isLevel ? [1, 2, 3, 4] : [1, 3]);
  const { buffer, byteOffset } = data;
  const values = isLevel
    ? new Uint16Array(buffer, byteOffset, data.length / 2)
    : new Float32Array(buffer, byteOffset, data.length / 4);
  const [black, white] = range ?? [0, 65535];
  return { width: info.width, height: info.height, pixels: toLevels(values, info.channels, black, white) };
}

const bytesOf = (data: Buffer) => new Uint8Array(data.buffer, data.byteOffset, data.length);

function checkChannels(channels: number, expected: readonly number[]): void {
  if (expected.includes(channels)) return;
  throw new DataError(`has ${channels} channels: expected gray or RGB, convert to 16-bit PNG`);
}

const depths: Readonly<Record<string, string>> = {
  char: 'signed 8-bit',
  short: 'signed 16-bit',
  uint: '32-bit',
  int: 'signed 32-bit',
  float: 'float',
  double: '64-bit float',
};

/** Refuses values that are neither 8-bit nor 16-bit levels where no range says what they mean, or the decoder changes them. */
function checkValues({ depth, space, bitsPerSample, hasAlpha }: Metadata, range: DecodeOptions['range']): void {
  const kind = `has ${depths[depth] ?? depth} values`;
  if (!range) throw new DataError(`${kind}: say which are black and white (range), or convert to 16-bit PNG`);
  if (hasAlpha) throw new DataError(`${kind} and an alpha channel: remove that, or convert to 16-bit PNG`);
  const isCast = space === 'grey16' || space === 'rgb16';
  if (!Object.hasOwn(depths, depth) || (isCast && (depth !== 'short' || Math.min(...range) < 0))) {
    const bits = bitsPerSample ? ` of ${bitsPerSample} bits` : '';
    throw new DataError(`${kind}${bits}, which cannot be read here: convert to 16-bit PNG`);
  }
}

/** RGBA of gray, gray and alpha, RGB or RGBA; alpha of 16 bits is laid on mid-gray, as the decoder does with 8. */
function toLevels(values: Uint16Array | Float32Array, channels: number, black: number, white: number) {
  const area = values.length / channels;
  const gain = 255 / (white - black);
  const pixels = new Uint8ClampedArray(area * 4).fill(255);
  const colors = channels < 3 ? 1 : 3;
  for (let p = 0, from = 0, to = 0; p < area; p++, from += channels, to += 4) {
    for (let c = 0; c < 3; c++) {
      // Clamps, and makes black of what is no number.
      pixels[to + c] = Math.round((values[from + (colors === 1 ? 0 : c)] - black) * gain);
    }
    if (channels === colors) continue;
    const alpha = Math.round(values[from + colors] / 257);
    for (let c = 0; c < 3; c++) pixels[to + c] = flat(pixels[to + c], alpha);
  }
  return pixels;
}

/** A level laid on mid-gray, rounded down. */
const flat = (level: number, alpha: number) => Math.trunc((level * alpha + MID_GRAY.r * (255 - alpha)) / 255);
