// Evaluates encoders and baselines on a data set: kNN, retrieval, collapse, confusion, a map of the features.
import { expectOneOf } from '../../checks/one_of.js';
import { expectOptions, type Kinds } from '../../checks/options.js';
import { eachImage, oneImage, subset } from '../../data/derived.js';
import type { ImageSource } from '../../data/source.js';
import { ConfigError } from '../../errors.js';
import { classNames } from '../../eval/labels.js';
import { rawPixels } from '../../eval/raw_pixels.js';
import { confusionMatrix } from '../../metrics/classification.js';
import { collapse } from '../../metrics/collapse.js';
import { deviceKnn, knn, knnDefaults } from '../../metrics/knn.js';
import { retrieval } from '../../metrics/retrieval.js';
import type { Device } from '../../runtime/device.js';
import type { Dataset } from '../data/dataset.js';
import { percent } from '../system/figures.js';
import { featureMap, type MapMethod, mapMethods } from './feature_map.js';
import type { Confusion, Evaluation, Score } from './scores.js';

/** Anything that turns N images into rows of numbers (N, F), F the same for every call. */
export interface ImageEmbedder {
  embed(images: ImageSource): Promise<Float32Array>;
}

/** A row of the table: what is measured, under which name. */
export interface Baseline {
  name: string;
  embedder: ImageEmbedder;
  /** Report the effective rank of its embeddings too. */
  ranked?: boolean;
}

export interface EvaluateOptions {
  /** Neighbours of kNN. */
  k?: number;
  /** Most images to search, and to classify; more are thinned evenly. */
  bank?: number;
  queries?: number;
  /** Search on it; on the CPU where none is given. */
  device?: Device;
  /** How the features of the first contender are drawn in a plane, where images are labeled; default `pca`. */
  map?: MapMethod;
}

const evaluateOptions: Kinds<EvaluateOptions> = {
  k: 'number',
  bank: 'number',
  queries: 'number',
  device: 'object',
  map: 'string',
};

/** Pixels of images shrunk to `size`: the contender that has learned nothing. */
export function pixelBaseline(size: number): Baseline {
  return { name: 'raw pixels', embedder: { embed: (images) => rawPixels(images, size) } };
}

/**
 * Measures the contenders on what `dataset` holds out: kNN by the training images where there are two labels or more,
 * cross-style retrieval where each item has two images. Where it holds nothing out, the effective rank of the features
 * is all that there is to tell.
 */
export async function evaluate(
  dataset: Dataset,
  contenders: readonly Baseline[],
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const {
    k = knnDefaults.k,
    bank: most = 20_000,
    queries: mostQueries = 4_000,
    map = 'pca',
    device,
  } = expectOptions('evaluate', options, evaluateOptions);
  for (const [name, count] of Object.entries({ k, bank: most, queries: mostQueries }))
    if (!(Number.isInteger(count) && count >= 1))
      throw new ConfigError(`evaluate: expected ${name} to be a whole number of at least 1, got ${count}`);
  expectOneOf('evaluate: map', map, mapMethods);
  const { train, test } = dataset;
  if (!test) return unlabeled(train, contenders, mostQueries);
  const bank = downsample(eachImage(train), most);
  const queries = downsample(eachImage(test), mostQueries);
  const classes = new Set(test.labels && train.labels).size;
  const names = test.labels && train.labels ? classNames(train, test) : [];
  const scores: Score[] = [];
  const images: Pick<Evaluation, 'confusion' | 'map'> = {};
  for (const { name, embedder, ranked } of contenders) {
    const asked = await embedder.embed(queries);
    const features = asked.length / queries.length;
    const score: Score = { name };
    if (bank.labels && queries.labels && classes > 1) {
      const known = { data: await embedder.embed(bank), labels: bank.labels };
      const own = { data: asked, labels: queries.labels };
      const found = device ? deviceKnn(device, known, own, features, { k }) : knn(known, own, features, { k });
      const { accuracy, predictions } = await found;
      score.knn = accuracy;
      if (scores.length === 0) {
        images.confusion = confusionOf(`kNN of the ${name}`, names, queries.labels, predictions);
        if (map !== 'none') images.map = featureMap(`The ${name}`, own, features, names);
      }
    }
    if (test.images === 2) {
      const style = (image: 0 | 1) => embedder.embed(oneImage(test, image));
      const { top1, top5 } = retrieval(await style(0), await style(1), features);
      Object.assign(score, { top1, top5 });
    }
    if (ranked) score.effectiveRank = collapse(asked, features).effectiveRank;
    scores.push(score);
  }
  const by = classes > 1 ? `; kNN over ${classes} classes by ${bank.length} training images` : '';
  const twins = test.images === 2 ? `; retrieval: 1 match among ${test.length}` : '';
  return {
    on: `${queries.length} held-out images${by}${twins}`,
    scores,
    notes: remarks(dataset, scores),
    ...images,
  };
}

/** The effective rank of the training images' features: 1 where the encoder maps all images alike. */
async function unlabeled(train: ImageSource, contenders: readonly Baseline[], most: number): Promise<Evaluation> {
  const images = downsample(eachImage(train), most);
  const scores: Score[] = [];
  for (const { name, embedder, ranked } of contenders) {
    if (!ranked) continue;
    const features = await embedder.embed(images);
    scores.push({ name, effectiveRank: collapse(features, features.length / images.length).effectiveRank });
  }
  const note = 'Accuracy is measured where sub-folders are labels: a fifth of the images is then held out of training.';
  return { on: `${images.length} training images, none being held out`, scores, notes: [note] };
}

/** Which class was taken for which, in the form of reports. */
export function confusionOf(
  of: string,
  classes: readonly string[],
  labels: ArrayLike<number>,
  predictions: ArrayLike<number>,
): Confusion {
  const K = classes.length;
  const flat = confusionMatrix(labels, predictions, K);
  return { of, classes, counts: Array.from({ length: K }, (_, c) => Array.from(flat.subarray(c * K, (c + 1) * K))) };
}

/** At most `most` items, evenly spaced. */
export function downsample(source: ImageSource, most: number): ImageSource {
  if (source.length <= most) return source;
  return subset(
    source,
    Array.from({ length: most }, (_, i) => Math.floor((i * source.length) / most)),
  );
}

/** Notes on the metrics: where raw pixels are still ahead, and what pairing knows. */
function remarks({ train }: Dataset, scores: readonly Score[]): string[] {
  const notes = aheadNotes(scores, [
    ['kNN', 'knn'],
    ['retrieval', 'top1'],
  ]);
  if (train.images === 2)
    notes.push('Protocol paired: training knew which drawings are twins; the test emoji were held out.');
  return notes;
}

/** Of these measures, where raw pixels are ahead of the first contender. */
export function aheadNotes(
  scores: readonly Score[],
  measures: readonly (readonly [name: string, key: 'linear' | 'knn' | 'top1'])[],
): string[] {
  const [first] = scores;
  const raw = scores.find(({ name }) => name === 'raw pixels');
  return measures.flatMap(([name, key]) => {
    const [a, b] = [first?.[key], raw?.[key]];
    return raw !== first && a !== undefined && b !== undefined && b > a
      ? [`Raw pixels are ahead on ${name} (${percent(b)} against ${percent(a)}) at this budget.`]
      : [];
  });
}
