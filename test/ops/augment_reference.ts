// Augmentation as torchvision and Pillow define it, in f64, one image at a time, from the same random words as the GPU.

import { multiplyHigh, philox, unit } from '../../src/core/random.js';
import type { RgbaImage } from '../../src/data/source.js';
import type { Augmentation } from '../../src/ops/augment.js';

/** What becomes of one image; the fields of the kernel's `Draw` that say it. */
export interface Draw {
  left: number;
  top: number;
  width: number;
  height: number;
  startX: number;
  startY: number;
  stepX: number;
  stepY: number;
  flip: boolean;
  /** Counterclockwise, in radians; undefined where no crop may be rotated, which is another way to resize. */
  angle?: number;
  /** Brightness 0, contrast 1, saturation 2, hue 3; empty without jitter. */
  order: number[];
  brightness: number;
  contrast: number;
  saturation: number;
  hue: number;
  grayscale: boolean;
  /** 0: no blur. */
  sigma: number;
  solarize: boolean;
  /** A side of a crop is so near to half a pixel that f32 may round it the other way. */
  ambiguous: boolean;
}

const permutations = (items: number[]): number[][] =>
  items.length === 0
    ? [[]]
    : items.flatMap((first, i) => permutations(items.toSpliced(i, 1)).map((rest) => [first, ...rest]));

/** The order that draw 6 stands for: its place among the 24 says which is first, then which of the others is next. */
export function jitterOrder(word: number): number[] {
  const index = multiplyHigh(word, 24);
  const digits = [index % 4, Math.floor(index / 4) % 3, Math.floor(index / 12) % 2, 0];
  const pool = [0, 1, 2, 3];
  return digits.map((digit) => pool.splice(digit, 1)[0]);
}

export const allOrders = permutations([0, 1, 2, 3]).map((order) => order.join(''));

/** All 36 draws of a view, as words. */
export function drawWords(seed: number, step: number, sample: number, view: number): number[] {
  return Array.from({ length: 9 }, (_, block) => philox([seed, step, sample, view], [block, 0])).flat();
}

const mix = (min: number, max: number, u: number) => min + (max - min) * u;

export function randomDraw(words: readonly number[], image: RgbaImage, options: Augmentation): Draw {
  const u = words.map(unit);
  const { crop, jitter, blur, rotate } = options;
  const factor = (strength: number, at: number) => mix(Math.max(0, 1 - strength), 1 + strength, u[at]);
  const window = cropWindow(words, u, image, crop);
  return {
    ...window,
    startX: 0,
    startY: 0,
    stepX: window.width / options.size,
    stepY: window.height / options.size,
    flip: u[0] < options.flip,
    angle:
      rotate && rotate.p * rotate.degrees > 0
        ? u[7] < rotate.p
          ? (mix(-rotate.degrees, rotate.degrees, u[14]) * Math.PI) / 180
          : 0
        : undefined,
    order: u[1] < jitter.p ? jitterOrder(words[6]) : [],
    brightness: factor(jitter.brightness, 8),
    contrast: factor(jitter.contrast, 9),
    saturation: factor(jitter.saturation, 10),
    hue: mix(-jitter.hue, jitter.hue, u[11]),
    grayscale: u[2] < options.grayscale,
    sigma: u[3] < blur.p ? mix(blur.sigma[0], blur.sigma[1], u[5]) : 0,
    solarize: u[4] < options.solarize,
  };
}

function cropWindow(
  words: readonly number[],
  u: readonly number[],
  { width, height }: RgbaImage,
  { scale, ratio, centered }: Augmentation['crop'],
) {
  let ambiguous = false;
  const round = (value: number) => {
    ambiguous ||= Math.abs((value % 1) - 0.5) < 1e-4;
    return Math.round(value);
  };
  for (let t = 0; t < (centered ? 0 : 10); t++) {
    const area = width * height * mix(scale[0], scale[1], u[16 + 2 * t]);
    const aspect = Math.exp(mix(Math.log(ratio[0]), Math.log(ratio[1]), u[17 + 2 * t]));
    const w = round(Math.sqrt(area * aspect));
    const h = round(Math.sqrt(area / aspect));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const left = multiplyHigh(words[12], width - w + 1);
    return { left, top: multiplyHigh(words[13], height - h + 1), width: w, height: h, ambiguous };
  }
  const aspect = width / height;
  const w = aspect > ratio[1] ? Math.max(1, Math.min(width, round(height * ratio[1]))) : width;
  const h = aspect < ratio[0] ? Math.max(1, Math.min(height, round(width / ratio[0]))) : height;
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h, ambiguous };
}

/** torchvision's Resize(resize) and CenterCrop(size). */
export function centerDraw({ width, height }: RgbaImage, size: number, resize: number): Draw {
  const shorter = Math.min(width, height);
  const [w, h] = [Math.floor((width * resize) / shorter), Math.floor((height * resize) / shorter)];
  const even = (value: number) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));
  const [stepX, stepY] = [width / w, height / h];
  return {
    left: 0,
    top: 0,
    width,
    height,
    startX: even((w - size) / 2) * stepX,
    startY: even((h - size) / 2) * stepY,
    stepX,
    stepY,
    flip: false,
    order: [],
    brightness: 1,
    contrast: 1,
    saturation: 1,
    hue: 0,
    grayscale: false,
    sigma: 0,
    solarize: false,
    ambiguous: false,
  };
}

type Rgb = [number, number, number];
type Image = Rgb[];

const clamp = (value: number) => Math.min(1, Math.max(0, value));
const clamped = (c: readonly number[]): Rgb => [clamp(c[0]), clamp(c[1]), clamp(c[2])];

/** Pillow's coefficients for one output pixel: BICUBIC (a = -0.5), support scaled where it shrinks. */
function coefficients(start: number, step: number, at: number, length: number): { from: number; weights: number[] } {
  const filterScale = Math.max(step, 1);
  const support = 2 * filterScale;
  const center = start + (at + 0.5) * step;
  const from = Math.max(0, Math.trunc(center - support + 0.5));
  const to = Math.min(length, Math.trunc(center + support + 0.5));
  const weights: number[] = [];
  for (let i = from; i < to; i++) weights.push(bicubic((i - center + 0.5) / filterScale));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { from, weights: weights.map((weight) => weight / total) };
}

function bicubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** The image's window, resized to size x size, values in 0..1. */
export function resized(image: RgbaImage, draw: Draw, size: number): Image {
  const taps = (start: number, step: number, length: number) =>
    Array.from({ length: size }, (_, at) => coefficients(start, step, at, length));
  const across = taps(draw.startX, draw.stepX, draw.width);
  const down = taps(draw.startY, draw.stepY, draw.height);
  const rows = new Float64Array(draw.height * size * 3);
  for (let y = 0; y < draw.height; y++) {
    for (const [x, { from, weights }] of across.entries()) {
      for (let k = 0; k < 3; k++) {
        let sum = 0;
        const at = 4 * ((draw.top + y) * image.width + draw.left + from) + k;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * image.pixels[at + 4 * i];
        rows[(y * size + x) * 3 + k] = clamp(sum / 255); // Pillow's passes each end in 8 bits
      }
    }
  }
  return down.flatMap(({ from, weights }) =>
    Array.from({ length: size }, (_, x) => {
      const channel = (k: number) =>
        weights.reduce((sum, weight, i) => sum + weight * rows[((from + i) * size + x) * 3 + k], 0);
      return clamped([channel(0), channel(1), channel(2)]);
    }),
  );
}

/**
 * The image's window rotated about its center, and mirrored before where `draw` says so: source = o + R S (±x, y), the mean of the
 * bilinear samples of a grid with one for each pixel of the window at least.
 */
export function turned(image: RgbaImage, draw: Draw, angle: number, size: number): Image {
  const [across, down] = [Math.ceil(draw.width / size), Math.ceil(draw.height / size)];
  const centerX = draw.left + draw.width / 2 - 0.5;
  const centerY = draw.top + draw.height / 2 - 0.5;
  const at = (x: number, y: number, k: number) => {
    const column = Math.min(image.width - 1, Math.max(0, x));
    const row = Math.min(image.height - 1, Math.max(0, y));
    return image.pixels[4 * (row * image.width + column) + k] / 255;
  };
  const sample = (x: number, y: number, k: number) => {
    const [left, top] = [Math.floor(x), Math.floor(y)];
    const row = (y: number) => mix(at(left, y, k), at(left + 1, y, k), x - left);
    return mix(row(top), row(top + 1), y - top);
  };
  return Array.from({ length: size * size }, (_, p) => {
    const sum: Rgb = [0, 0, 0];
    for (let j = 0; j < down; j++) {
      for (let i = 0; i < across; i++) {
        const x = (((p % size) + (i + 0.5) / across) / size - 0.5) * draw.width * (draw.flip ? -1 : 1);
        const y = ((Math.floor(p / size) + (j + 0.5) / down) / size - 0.5) * draw.height;
        const sourceX = centerX + Math.cos(angle) * x - Math.sin(angle) * y;
        const sourceY = centerY + Math.sin(angle) * x + Math.cos(angle) * y;
        for (let k = 0; k < 3; k++) sum[k] += sample(sourceX, sourceY, k) / (across * down);
      }
    }
    return sum;
  });
}

export function flipped(image: Image, size: number): Image {
  return image.map((_, p) => image[p - (p % size) + size - 1 - (p % size)]);
}

export const gray = ([r, g, b]: readonly number[]) => 0.2989 * r + 0.587 * g + 0.114 * b;

function blend(image: Image, other: (c: Rgb) => Rgb, ratio: number): Image {
  return image.map((c) => {
    const o = other(c);
    return clamped(c.map((value, k) => ratio * value + (1 - ratio) * o[k]));
  });
}

export const adjustBrightness = (image: Image, factor: number) => blend(image, () => [0, 0, 0], factor);
export const adjustSaturation = (image: Image, factor: number) =>
  blend(image, (c) => [gray(c), gray(c), gray(c)], factor);
export function adjustContrast(image: Image, factor: number): Image {
  const mean = image.reduce((sum, c) => sum + gray(c), 0) / image.length;
  return blend(image, () => [mean, mean, mean], factor);
}

/** Through HSV with the six sectors written out, as torchvision does. */
export function adjustHue(image: Image, turn: number): Image {
  return image.map(([r, g, b]) => {
    const max = Math.max(r, g, b);
    const min = Math.min(r, g, b);
    const range = max - min || 1;
    const s = max === min ? 0 : (max - min) / max;
    const [rc, gc, bc] = [(max - r) / range, (max - g) / range, (max - b) / range];
    const sector = max === r ? bc - gc : max === g ? 2 + rc - bc : 4 + gc - rc;
    const h = (((sector / 6 + 1) % 1) + turn + 1) % 1;
    const i = Math.floor(h * 6);
    const f = h * 6 - i;
    const [p, q, t] = [clamp(max * (1 - s)), clamp(max * (1 - s * f)), clamp(max * (1 - s * (1 - f)))];
    const sectors: Rgb[] = [
      [max, t, p],
      [q, max, p],
      [p, max, t],
      [p, q, max],
      [t, p, max],
      [max, p, q],
    ];
    return sectors[i % 6];
  });
}

/** The window's weights are the outer product of two normalized 1-D windows; borders are reflected. */
export function gaussianBlur(image: Image, size: number, sigma: number, window: number): Image {
  const half = (window - 1) / 2;
  const raw = Array.from({ length: window }, (_, i) => Math.exp(-0.5 * ((i - half) / sigma) ** 2));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  const inside = (at: number) => (at < 0 ? -at : at >= size ? 2 * size - 2 - at : at);
  return image.map((_, p) => {
    const sum: Rgb = [0, 0, 0];
    for (let j = 0; j < window; j++) {
      for (let i = 0; i < window; i++) {
        const y = inside(Math.floor(p / size) + j - half);
        const x = inside((p % size) + i - half);
        for (let k = 0; k < 3; k++) sum[k] += (raw[i] / total) * (raw[j] / total) * image[y * size + x][k];
      }
    }
    return sum;
  });
}

export function solarized(image: Image): Image {
  return image.map((c) => c.map((value) => (value >= 0.5 ? 1 - value : value)) as Rgb);
}

/** The whole view, (3, size, size). */
export function view(
  source: RgbaImage,
  draw: Draw,
  { size, blur, mean, std }: Pick<Augmentation, 'size' | 'blur' | 'mean' | 'std'>,
): Float64Array {
  let image = draw.angle === undefined ? resized(source, draw, size) : turned(source, draw, draw.angle, size);
  if (draw.flip && draw.angle === undefined) image = flipped(image, size);
  const jitters = [
    () => adjustBrightness(image, draw.brightness),
    () => adjustContrast(image, draw.contrast),
    () => adjustSaturation(image, draw.saturation),
    () => adjustHue(image, draw.hue),
  ];
  for (const jitter of draw.order) image = jitters[jitter]();
  if (draw.grayscale) image = image.map((c) => [gray(c), gray(c), gray(c)]);
  if (draw.sigma > 0) image = gaussianBlur(image, size, draw.sigma, blur.window);
  if (draw.solarize) image = solarized(image);
  return Float64Array.from({ length: 3 * size * size }, (_, i) => {
    const c = Math.floor(i / (size * size));
    return (image[i % (size * size)][c] - mean[c]) / std[c];
  });
}
