// Accuracy of logits against labels, and the confusion matrix.
import { NonFiniteError, ShapeError } from '../errors.js';

/** How well N images were classified. Shares are from 0 to 1. */
export interface Classification {
  /** Share whose label has the largest logit, and whose label is among the five largest. */
  readonly top1: number;
  readonly top5: number;
  /** Mean over the classes that occur of the share of their images that are right. */
  readonly meanPerClass: number;
  /** The class of the largest logit, (N). */
  readonly predictions: Int32Array;
  /** Counts (K, K): row i, column j is the number of images of class i that were taken for class j. */
  readonly confusion: Uint32Array;
}

/**
 * Classifies by logits (N, K), and counts against the labels (N). Of equal logits the one of the lower class is larger.
 *
 * @throws ShapeError when sizes do not fit; NonFiniteError when a logit is NaN
 */
export function classification(logits: Float32Array, labels: ArrayLike<number>, classes: number): Classification {
  const N = labels.length;
  if (N === 0 || logits.length !== N * classes)
    throw new ShapeError(`classification: expected logits (N, ${classes}) of ${N} labels, got ${logits.length} values`);
  const predictions = new Int32Array(N);
  let top5 = 0;
  for (let n = 0; n < N; n++) {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    if (row.some(Number.isNaN)) throw new NonFiniteError(`classification: the logits of row ${n} of ${N} hold a NaN`);
    predictions[n] = largestOf(row);
    const own = row[labels[n]];
    let before = 0;
    for (let c = 0; c < classes; c++) if (row[c] > own || (row[c] === own && c < labels[n])) before++;
    if (before < 5) top5++;
  }
  const confusion = confusionMatrix(labels, predictions, classes);
  const shares = Array.from({ length: classes }, (_, c) => {
    const row = confusion.subarray(c * classes, (c + 1) * classes);
    return row[c] / row.reduce((sum, count) => sum + count, 0); // NaN of a class without images
  }).filter((share) => !Number.isNaN(share));
  const right = predictions.reduce((sum, label, n) => sum + (label === labels[n] ? 1 : 0), 0);
  return {
    top1: right / N,
    top5: top5 / N,
    meanPerClass: shares.reduce((sum, share) => sum + share, 0) / shares.length,
    predictions,
    confusion,
  };
}

/** The place of the largest value, of equal ones the first. */
export function largestOf(row: Float32Array): number {
  return row.reduce((best, value, c) => (value > row[best] ? c : best), 0);
}

/**
 * Counts (K, K) of true labels (rows) against predicted ones (columns).
 *
 * @throws ShapeError if a label is not one of the K classes
 */
export function confusionMatrix(
  labels: ArrayLike<number>,
  predictions: ArrayLike<number>,
  classes: number,
): Uint32Array {
  if (predictions.length !== labels.length)
    throw new ShapeError(`confusion matrix: expected ${labels.length} predictions, got ${predictions.length}`);
  const counts = new Uint32Array(classes * classes);
  const isClass = (label: number) => Number.isInteger(label) && label >= 0 && label < classes;
  for (let n = 0; n < labels.length; n++) {
    const [is, taken] = [labels[n], predictions[n]];
    if (!isClass(is) || !isClass(taken))
      throw new ShapeError(
        `confusion matrix: expected classes from 0 to ${classes - 1}, got ${is} taken for ${taken} at ${n}`,
      );
    counts[is * classes + taken]++;
  }
  return counts;
}
