// Scores of an encoder in the middle of its training: few enough images to take seconds, always the same ones.
import { eachImage } from '../../data/derived.js';
import { squares } from '../../data/squares.js';
import { editedCopies } from '../../eval/edits.js';
import { findCopies } from '../../eval/find_copies.js';
import { deviceKnn } from '../../metrics/knn.js';
import { fitWhitening, whiten } from '../../metrics/whitening.js';
import type { Device } from '../../runtime/device.js';
import type { Dataset } from '../data/dataset.js';
import { downsample, type ImageEmbedder } from './evaluate.js';

/** Shares from 0 to 1, by their names in metrics. */
export interface QuickScores {
  /** Copies, cropped, rotated and recolored at once, whose original is the nearest. */
  'score.copies': number;
  /** Images that kNN by the training images classifies right, where there are labels. */
  'score.knn'?: number;
}

/** Most held-out images to score by, and training images to compare them with. */
const asked = 256;
const known = 1024;

/** Scores an encoder by held-out images, or by training images where none are held out. */
export async function quickScores(
  { train, test }: Dataset,
  embedder: ImageEmbedder,
  { device, imageSize: size, seed }: { device: Device; imageSize: number; seed: number },
): Promise<QuickScores> {
  const bank = downsample(eachImage(train), known);
  const originals = downsample(eachImage(test ?? train), asked);
  const rows = await embedder.embed(bank);
  const features = rows.length / bank.length;
  const whitening = fitWhitening(rows, features);
  const gallery = await embedder.embed(squares(originals, size));
  const copies = await embedder.embed(editedCopies(originals, 'combined', { size, seed }));
  const { top1 } = await findCopies(whiten(whitening, gallery), whiten(whitening, copies), features, { device });
  const labels = test && bank.labels && new Set(bank.labels).size > 1 ? originals.labels : undefined;
  if (!labels || !bank.labels) return { 'score.copies': top1 };
  const { accuracy } = await deviceKnn(
    device,
    { data: rows, labels: bank.labels },
    { data: gallery, labels },
    features,
  );
  return { 'score.copies': top1, 'score.knn': accuracy };
}
