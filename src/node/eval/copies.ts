// Evaluates encoders by the copies they find: held-out images are edited, and each copy's original is searched among all of them,
// by the encoders and by what is in common use without training.
import { eachImage } from '../../data/derived.js';
import type { ImageSource, RgbaImage } from '../../data/source.js';
import { squares } from '../../data/squares.js';
import { colorHistograms, differenceHashes } from '../../eval/classical_features.js';
import { type EditName, editedCopies, editNames } from '../../eval/edits.js';
import { type FoundCopies, findCopies } from '../../eval/find_copies.js';
import { rawPixels } from '../../eval/raw_pixels.js';
import { fitWhitening, whiten } from '../../metrics/whitening.js';
import type { Device } from '../../runtime/device.js';
import type { Dataset } from '../data/dataset.js';
import { percent } from '../system/figures.js';
import { downsample, type ImageEmbedder } from './evaluate.js';
import type { Evaluation, FoundExamples, Score } from './scores.js';

/** What copies are searched by. */
interface Contender {
  readonly name: string;
  readonly embed: (images: ImageSource) => Promise<Float32Array>;
  /** Whether the gallery's mean is taken off; bits of a hash are compared as they are. */
  readonly center?: boolean;
}

export interface EvaluateCopiesOptions {
  readonly device: Device;
  /** Side of the images that are compared. */
  readonly imageSize: number;
  /** Draws the edits, from numbers that training does not draw. */
  readonly seed: number;
  /** Most images to search, and to fit the whitening to; more are thinned evenly. */
  readonly gallery?: number;
  readonly fitted?: number;
  /** Told whose turn it is: a search takes seconds. */
  readonly onContender?: (name: string) => void;
}

/** The edit that examples are shown of. */
const shown: EditName = 'combinedMirrored';
const examples = 16;

/**
 * Measures encoders, best first, and their rivals on copies of what `dataset` holds out, or of its training images where it holds
 * nothing out. Features of encoders are whitened by training images.
 */
export async function evaluateCopies(
  dataset: Dataset,
  encoders: readonly { readonly name: string; readonly embedder: ImageEmbedder; readonly isTrained: boolean }[],
  { device, imageSize: size, seed, gallery: most = 1000, fitted = 2000, onContender }: EvaluateCopiesOptions,
): Promise<Evaluation> {
  const originals = downsample(eachImage(dataset.test ?? dataset.train), most);
  const known = downsample(eachImage(dataset.train), fitted);
  const contenders = [
    ...(await Promise.all(encoders.map(({ name, embedder }) => whitened(name, embedder, known)))),
    { name: 'raw pixels', embed: (images: ImageSource) => rawPixels(images, size) },
    { name: 'color histogram', embed: colorHistograms },
    { name: 'dHash', embed: differenceHashes, center: false },
  ];
  const gallery = squares(originals, size);
  const scores: Score[] = [];
  const nearest = new Map<string, FoundCopies['nearest']>();
  for (const { name, embed, center } of contenders) {
    onContender?.(name);
    const score: Score = { name };
    const rows = await embed(gallery);
    const features = rows.length / gallery.length;
    for (const edit of editNames) {
      const copies = await embed(editedCopies(originals, edit, { size, seed }));
      const found = await findCopies(rows, copies, features, { device, ...(center !== undefined && { center }) });
      score[edit] = found.top1;
      if (edit === shown) nearest.set(name, found.nearest);
    }
    scores.push(score);
  }
  const part = dataset.test
    ? 'held-out images, edited by draws that training never saw'
    : 'training images, none being held out';
  return {
    on: `${gallery.length} ${part}: share of copies whose original is the nearest of all ${gallery.length}`,
    scores,
    notes: remarks(
      scores[0],
      scores.filter((_, i) => !encoders[i]?.isTrained),
    ),
    found: await exampleOf(originals, gallery, nearest, ['raw pixels', encoders[0].name], { size, seed }),
  };
}

/** An encoder whose features are whitened by those of `known`. */
async function whitened(name: string, embedder: ImageEmbedder, known: ImageSource): Promise<Contender> {
  const rows = await embedder.embed(known);
  const whitening = fitWhitening(rows, rows.length / known.length);
  return { name, embed: async (images) => whiten(whitening, await embedder.embed(images)) };
}

/** The pictures of a few copies, evenly spaced through the gallery, none picked. */
async function exampleOf(
  originals: ImageSource,
  gallery: ImageSource<RgbaImage>,
  nearest: ReadonlyMap<string, FoundCopies['nearest']>,
  by: readonly string[],
  edits: { size: number; seed: number },
): Promise<FoundExamples> {
  const edited = editedCopies(originals, shown, edits);
  const count = Math.min(examples, gallery.length);
  const items = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * gallery.length) / count));
  const copies = items.map(async (item) => ({
    copy: await edited.load(item, 0),
    nearest: await Promise.all(
      by.map((name) =>
        Promise.all(
          Array.from(nearest.get(name)![item], async (found) => ({
            image: await gallery.load(found, 0),
            isOriginal: found === item,
          })),
        ),
      ),
    ),
  }));
  return { of: 'cropped, rotated, recolored and mirrored', by, copies: await Promise.all(copies) };
}

const words: Record<EditName, string> = {
  combined: 'all three edits at once',
  combinedMirrored: 'all four edits at once',
  crop: 'cropped copies',
  rotate: 'rotated copies',
  recolor: 'recolored copies',
  mirror: 'mirrored copies',
};

/** In words, where the first encoder leads and where a rival does. */
function remarks(first: Score, rivals: readonly Score[]): string[] {
  const wins: string[] = [];
  const losses: string[] = [];
  for (const edit of editNames) {
    const best = rivals.reduce((a, b) => ((b[edit] ?? 0) > (a[edit] ?? 0) ? b : a));
    const [own, other] = [first[edit] ?? 0, best[edit] ?? 0];
    if (own > other) wins.push(`${words[edit]} (${percent(own)}; next best: ${best.name}, ${percent(other)})`);
    else losses.push(`${words[edit]} (${best.name}: ${percent(other)} against ${percent(own)})`);
  }
  return [
    ...(wins.length > 0 ? [`The ${first.name}, finds best: ${wins.join('; ')}.`] : []),
    ...(losses.length > 0 ? [`Others find better: ${losses.join('; ')}.`] : []),
  ];
}
