import { permutation, stream } from '../data/philox.js';
import { type ImageSource, subset } from '../data/source.js';
import { ConfigError, DataError } from '../errors.js';

/** The classes of labelled pictures, and how many items of each there are to train and to test on. */
export interface ClassCounts {
  readonly names: readonly string[];
  readonly train: readonly number[];
  readonly test: readonly number[];
}

/**
 * The classes of what is to be trained and tested on.
 *
 * @throws DataError where labels are missing, do not fit, or leave nothing to tell apart; a class that is tested and
 * never trained on is none: its pictures count as wrong
 */
export function countClasses(what: string, train: ImageSource, test: ImageSource): ClassCounts {
  for (const source of [train, test]) checkLabels(what, source);
  const [ours, theirs] = [train.classes, test.classes];
  if (ours && theirs && ours.join('\n') !== theirs.join('\n'))
    throw new DataError(
      `${what}: expected the same classes to train and to test on, got ${some(ours)} and ${some(theirs)}`,
    );
  const classes = ours?.length ?? theirs?.length ?? 1 + Math.max(largest(train), largest(test));
  const counts = ({ labels }: ImageSource) => {
    const count = new Array<number>(classes).fill(0);
    for (const label of labels as Int32Array) count[label]++;
    return count;
  };
  const trained = counts(train);
  const present = trained.filter((count) => count > 0).length;
  if (present < 2)
    throw new DataError(
      `${what}: all of ${train.name} has one label, which leaves nothing to tell apart: expected two at least`,
    );
  const names = ours ?? theirs ?? Array.from({ length: classes }, (_, label) => String(label));
  return { names, train: trained, test: counts(test) };
}

function checkLabels(what: string, { name, length, labels, classes }: ImageSource): void {
  if (length === 0) throw new DataError(`${what}: ${name} has no pictures`);
  if (!labels)
    throw new DataError(
      `${what}: ${name} has no labels: expected sub-folders whose names are the labels, or a labelled set`,
    );
  if (labels.length !== length)
    throw new DataError(`${what}: ${name}: expected a label for each of ${length} items, got ${labels.length}`);
  const most = classes ? classes.length - 1 : 65_535;
  const wrong = labels.find((label) => !(Number.isInteger(label) && label >= 0 && label <= most));
  if (wrong !== undefined)
    throw new DataError(`${what}: ${name}: expected labels to be whole numbers from 0 to ${most}, got ${wrong}`);
}

/**
 * Splits training items to choose settings by: of each class `floor(fraction * count)`, drawn by `seed`, for validation.
 * Twins stay together, and both parts keep the source's order.
 *
 * @throws ConfigError where that leaves none
 */
export function validationSplit(
  source: ImageSource,
  fraction: number,
  seed: number,
): { train: ImageSource; validation: ImageSource } {
  const labels = source.labels as Int32Array;
  const left = new Map<number, number>();
  for (const label of labels) left.set(label, (left.get(label) ?? 0) + 1);
  for (const [label, count] of left) left.set(label, Math.floor(fraction * count));
  const held = new Set<number>();
  // Round 1: the held-out set of a folder is round 0.
  for (const item of permutation(source.length, seed, 1, stream.split)) {
    const more = left.get(labels[item]) as number;
    if (more === 0) continue;
    left.set(labels[item], more - 1);
    held.add(item);
  }
  if (held.size === 0)
    throw new ConfigError(
      `${source.name}: a share of ${fraction} of its ${source.length} items, class by class, leaves none to choose by: ` +
        'give one learning rate, or more pictures',
    );
  const items = Array.from({ length: source.length }, (_, item) => item);
  return {
    train: subset(
      source,
      items.filter((item) => !held.has(item)),
    ),
    validation: subset(
      source,
      items.filter((item) => held.has(item)),
      `${source.name} (validation)`,
    ),
  };
}

function largest({ labels }: ImageSource): number {
  return (labels as Int32Array).reduce((most, label) => Math.max(most, label), 0);
}

function some(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')}, ... (${names.length})` : names.join(', ');
}
