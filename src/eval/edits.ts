// Copies of images as people make them: cropped, rotated, recolored, mirrored, and all of it. What an encoder must find again.
import { philox, stream, unit } from '../core/random.js';
import { loadImage } from '../data/rgba_image.js';
import { checkItem, type ImageSource, type RgbaImage } from '../data/source.js';
import { luminanceWeights } from './classical_features.js';

/** Names of the edits; `combined` is the first three at once, `combinedMirrored` all four. */
export const editNames = ['combined', 'combinedMirrored', 'crop', 'rotate', 'recolor', 'mirror'] as const;
export type EditName = (typeof editNames)[number];

/** An edit of a square image. */
export interface Edit {
  /** Share of the area that is kept, a square, and its center's place: 0 to 1 of the room that there is. */
  area: number;
  x: number;
  y: number;
  /** Degrees, about the center of what is kept. */
  angle: number;
  mirrored: boolean;
  /** Turns of the hue, and factors. */
  hue: number;
  saturation: number;
  brightness: number;
  contrast: number;
}

const untouched: Edit = {
  area: 1,
  x: 0.5,
  y: 0.5,
  angle: 0,
  mirrored: false,
  hue: 0,
  saturation: 1,
  brightness: 1,
  contrast: 1,
};

/** Draws the edit of an item: a function of its arguments alone, and of no words that training draws. */
export function drawEdit(name: EditName, seed: number, item: number): Edit {
  const counter = [seed, editNames.indexOf(name), item, 0] as const;
  const words = [0, 1].flatMap((block) => [...philox(counter, [block, stream.edit])]).map(unit);
  const [area, x, y, angle, hue, saturation, brightness, contrast] = words;
  const between = (least: number, most: number, share: number) => least + (most - least) * share;
  const isCombined = name === 'combined' || name === 'combinedMirrored';
  return {
    ...untouched,
    ...((isCombined || name === 'crop') && { area: between(0.5, 1, area), x, y }),
    ...((isCombined || name === 'rotate') && { angle: between(-30, 30, angle) }),
    ...((isCombined || name === 'recolor') && {
      hue: between(-0.05, 0.05, hue),
      saturation: between(0.6, 1.4, saturation),
      brightness: between(0.7, 1.3, brightness),
      contrast: between(0.7, 1.3, contrast),
    }),
    mirrored: name === 'combinedMirrored' || name === 'mirror',
  };
}

/** Copies of all images of `source`, `size` x `size` pixels, each edited by its own draw. */
export function editedCopies(
  source: ImageSource,
  name: EditName,
  { size, seed }: { size: number; seed: number },
): ImageSource<RgbaImage> {
  const copies: ImageSource<RgbaImage> = {
    name: `${source.name}, ${name}`,
    length: source.length,
    images: 1,
    bound: { side: size, pixels: size ** 2 },
    async load(item, image) {
      checkItem(copies, item, image);
      return editedImage(await loadImage(source, item, 0), drawEdit(name, seed, item), size);
    },
  };
  return copies;
}

/**
 * The central square of an image, edited, at `size` x `size` pixels: every pixel the mean of a grid of bilinear samples, two or
 * more across, what lies outside repeating the edge.
 */
export function editedImage(image: RgbaImage, edit: Edit, size: number): RgbaImage {
  const side = Math.min(image.width, image.height);
  const kept = side * Math.sqrt(edit.area);
  const center = [
    (image.width - side) / 2 + kept / 2 + edit.x * (side - kept),
    (image.height - side) / 2 + kept / 2 + edit.y * (side - kept),
  ];
  const samples = Math.max(2, Math.ceil(kept / size));
  const step = kept / (size * samples);
  const angle = (edit.angle * Math.PI) / 180;
  const [along, across] = [Math.cos(angle) * step, Math.sin(angle) * step];
  const planes = new Float64Array(3 * size * size);
  const half = (size * samples - 1) / 2;
  for (let v = 0; v < size * samples; v++) {
    for (let u = 0; u < size * samples; u++) {
      const [dx, dy] = [(edit.mirrored ? -1 : 1) * (u - half), v - half];
      const at = Math.floor(v / samples) * size + Math.floor(u / samples);
      addSample(image, center[0] + dx * along - dy * across, center[1] + dx * across + dy * along, planes, at);
    }
  }
  return recolored(planes, edit, size, samples ** 2);
}

/** Adds the bilinear sample of an image at a point to pixel `at` of `planes`, (3, size²). */
function addSample({ width, height, pixels }: RgbaImage, x: number, y: number, planes: Float64Array, at: number): void {
  const px = Math.min(width - 1, Math.max(0, x - 0.5));
  const py = Math.min(height - 1, Math.max(0, y - 0.5));
  const [x0, y0] = [Math.floor(px), Math.floor(py)];
  const right = x0 + 1 < width ? 4 : 0;
  const below = y0 + 1 < height ? 4 * width : 0;
  const [fx, fy] = [px - x0, py - y0];
  const from = (y0 * width + x0) * 4;
  const area = planes.length / 3;
  for (let c = 0; c < 3; c++) {
    const top = pixels[from + c] * (1 - fx) + pixels[from + right + c] * fx;
    const bottom = pixels[from + below + c] * (1 - fx) + pixels[from + below + right + c] * fx;
    planes[c * area + at] += top * (1 - fy) + bottom * fy;
  }
}

/** Sums of `count` samples with their colors changed: brightness, contrast about the mean luminance, saturation, hue; then clamped. */
function recolored(sums: Float64Array, edit: Edit, size: number, count: number): RgbaImage {
  const { brightness, contrast, saturation } = edit;
  const area = size * size;
  const luminanceOf = (at: number) =>
    luminanceWeights.reduce((sum, weight, c) => sum + (weight * sums[c * area + at]) / count, 0);
  let mean = 0;
  for (let at = 0; at < area; at++) mean += (luminanceOf(at) * brightness) / area;
  const turn = hueRotation(edit.hue);
  const pixels = new Uint8Array(4 * area).fill(255);
  for (let at = 0; at < area; at++) {
    const gray = (luminanceOf(at) * brightness - mean) * contrast + mean;
    const colors = [0, 1, 2].map((c) => {
      const bright = ((sums[c * area + at] / count) * brightness - mean) * contrast + mean;
      return gray + (bright - gray) * saturation;
    });
    for (let c = 0; c < 3; c++) {
      const value = turn[c].reduce((sum, weight, k) => sum + weight * colors[k], 0);
      pixels[4 * at + c] = Math.min(255, Math.max(0, Math.round(value)));
    }
  }
  return { width: size, height: size, pixels };
}

/** The matrix that turns colors about the gray axis: Rodrigues' formula for (1, 1, 1) / √3. */
function hueRotation(turns: number): number[][] {
  const angle = 2 * Math.PI * turns;
  const [same, skew] = [(1 - Math.cos(angle)) / 3, Math.sin(angle) / Math.sqrt(3)];
  const diagonal = Math.cos(angle) + same;
  return [
    [diagonal, same - skew, same + skew],
    [same + skew, diagonal, same - skew],
    [same - skew, same + skew, diagonal],
  ];
}
