// The labels of training and test images: checks, classes and their counts, and the part to choose settings by.
import type { ImageSource } from '../data/source.js';
import { drawOf, nameOf } from '../data/split.js';
import { ConfigError, DataError } from '../errors.js';

/** The classes of labeled images, and how many items of each there are to train and to test on. */
export interface ClassCounts {
  readonly names: readonly string[];
  readonly train: readonly number[];
  readonly test: readonly number[];
}

/**
 * The classes of what is to be trained and tested on.
 *
 * @throws DataError where labels are missing, do not fit, or are all of one class. A class that is tested and never
 * trained on is allowed: its count is 0
 */
export function countClasses(what: string, train: ImageSource, test: ImageSource): ClassCounts {
  const [ours, theirs] = [train.classes, test.classes];
  for (const source of [train, test]) checkLabels(what, source, ours ?? theirs);
  if (ours && theirs && ours.join('\n') !== theirs.join('\n'))
    throw new DataError(
      `${what}: expected the same classes to train and to test on, got ${some(ours)} and ${some(theirs)}`,
    );
  const names = classNames(train, test);
  const counts = ({ labels }: ImageSource) => {
    const count = new Array<number>(names.length).fill(0);
    for (const label of labels as Int32Array) count[label]++;
    return count;
  };
  const trained = counts(train);
  const present = trained.filter((count) => count > 0).length;
  if (present < 2) throw new DataError(`${what}: ${train.name} has a single class; expected at least two`);
  return { names, train: trained, test: counts(test) };
}

/** The names of the classes of labeled images: their numbers where they have no names. */
export function classNames(train: ImageSource, test: ImageSource): readonly string[] {
  const count = 1 + Math.max(largest(train), largest(test));
  return train.classes ?? test.classes ?? Array.from({ length: count }, (_, label) => String(label));
}

function checkLabels(
  what: string,
  { name, length, labels, classes: own }: ImageSource,
  shared: readonly string[] | undefined,
): void {
  const classes = own ?? shared;
  if (length === 0) throw new DataError(`${what}: ${name} has no images`);
  if (!labels)
    throw new DataError(
      `${what}: ${name} has no labels: expected two sub-folders or more whose names are the labels, or a labeled set`,
    );
  if (labels.length !== length)
    throw new DataError(`${what}: ${name}: expected a label for each of ${length} items, got ${labels.length}`);
  const most = classes ? classes.length - 1 : 65_535;
  const wrong = labels.find((label) => !(Number.isInteger(label) && label >= 0 && label <= most));
  if (wrong !== undefined)
    throw new DataError(`${what}: ${name}: expected labels to be whole numbers from 0 to ${most}, got ${wrong}`);
}

/**
 * Splits training items to choose settings by: of each class at most `floor(fraction * count)`, those with the lowest draws of their names
 * and `seed`, for validation. Copies by name are on one side. Both parts are in the source's order.
 *
 * @throws ConfigError where that leaves none to choose by
 */
export function validationSplit(
  source: Pick<ImageSource, 'name' | 'labels' | 'names'>,
  fraction: number,
  seed: number,
): { train: number[]; validation: number[] } {
  const of = source.labels as Int32Array;
  // Round 1: the held-out set of a folder is round 0.
  const draws = Array.from(of, (_, item) => drawOf(nameOf(source, item), seed, 1));
  const classes = new Map<number, number[]>();
  for (const [item, label] of of.entries()) {
    const drawn = classes.get(label);
    if (drawn) drawn.push(draws[item]);
    else classes.set(label, [draws[item]]);
  }
  // Items below their class's limit are held: of copies, whose draws are equal, all or none.
  const limits = new Map([...classes].map(([label, drawn]) => [label, limitOf(drawn, fraction)]));
  const items = Array.from(of, (_, item) => item);
  const isHeld = items.map((item) => draws[item] < (limits.get(of[item]) as number));
  if (!isHeld.includes(true))
    throw new ConfigError(
      `${source.name}: a share of ${fraction} of its ${of.length} items, class by class, leaves none to choose a learning rate ` +
        'by: give one learning rate, or more images',
    );
  return { train: items.filter((item) => !isHeld[item]), validation: items.filter((item) => isHeld[item]) };
}

/** The draw that `floor(fraction * count)` of these are below. */
function limitOf(drawn: readonly number[], fraction: number): number {
  return drawn.toSorted((a, b) => a - b)[Math.floor(fraction * drawn.length)] ?? 1;
}

function largest({ labels }: ImageSource): number {
  return (labels as Int32Array).reduce((most, label) => Math.max(most, label), 0);
}

/** The first of many names, and how many there are. */
export function some(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')}, ... (${names.length})` : names.join(', ');
}
