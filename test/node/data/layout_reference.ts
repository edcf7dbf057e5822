// The rule of docs/data.md once more, written from its text alone and for clearness only: what test/node/data/layout.ts compares with.
// Where the text leaves a choice, 'Reading:' says which is taken.

export interface Options {
  readonly labels?: boolean;
  readonly trainDir?: string;
  readonly testDir?: string;
}

/** The class of every item that a side has, by the number of its image: null where the side has no labels. */
export type Side = ReadonlyMap<number, string | null>;

export type Expected = 'stops' | { readonly train: Side; readonly test?: Side; readonly unused: number };

/** An image by its number and where it lies in the folder that is looked at, its own name last. */
interface Image {
  readonly index: number;
  readonly path: readonly string[];
}

class Stop extends Error {}

export function reference(images: readonly { readonly parts: readonly string[] }[], options: Options = {}): Expected {
  const all = images.map(({ parts }, index) => ({ index, path: parts }));
  const isTold = options.trainDir !== undefined || options.testDir !== undefined;
  try {
    const { train, tests } = isTold ? toldParts(all, options) : foundParts(all);
    const sides =
      options.labels === false ? { train: plain(train), test: tests[0] && plain(tests[0]) } : sidesOf(train, tests);
    return { ...sides, unused: all.length - sides.train.size - (sides.test?.size ?? 0) };
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    // Reading: a wrong --train-dir or --test-dir is an error with --no-labels, too.
    return options.labels === false && !isTold ? { train: plain(all), unused: 0 } : 'stops';
  }
}

interface Parts {
  readonly train: readonly Image[];
  /** In the order in which they are tried. */
  readonly tests: readonly (readonly Image[])[];
}

/** Rules 3 and 4. */
function sidesOf(train: readonly Image[], tests: Parts['tests']): { train: Side; test?: Side } {
  const classes = subFolders(train);
  // Reading: with one sub-folder, images beside it or not, nothing is labeled and nothing left out.
  if (classes.size < 2) return { train: plain(train), test: tests[0] && plain(tests[0]) };
  // Reading: images beside the sub-folders of a test part that has labels are left out, as those of the train part are.
  const test = tests.find((images) => [...subFolders(images)].some((name) => classes.has(name)));
  return { train: labeled(train), test: test && labeled(test) };
}

const plain = (images: readonly Image[]): Side => new Map(images.map(({ index }) => [index, null]));
const labeled = (images: readonly Image[]): Side =>
  new Map(images.filter(isDeep).map(({ index, path }) => [index, path[0]]));

const isDeep = ({ path }: Image) => path.length > 1;
const subFolders = (images: readonly Image[]) => new Set(images.filter(isDeep).map(({ path }) => path[0]));
const inside = (images: readonly Image[], name: string): Image[] =>
  images
    .filter((image) => isDeep(image) && image.path[0] === name)
    .map(({ index, path }) => ({ index, path: path.slice(1) }));

/** The sub-folder that all images lie in. */
function only(images: readonly Image[]): string | undefined {
  const names = [...subFolders(images)];
  return names.length === 1 && images.every(isDeep) ? names[0] : undefined;
}

/** Parts that flags tell. An image in both is in the one that lies in the other. */
function toldParts(all: readonly Image[], { trainDir, testDir }: Options): Parts {
  const names = (dir: string) =>
    dir
      .normalize('NFC')
      .split('/')
      .filter((name) => name !== '' && name !== '.');
  const lies = ({ path }: Image, dir: readonly string[]) =>
    path.length > dir.length && dir.every((name, i) => path[i] === name);
  const train = names(trainDir ?? '.');
  const test = testDir === undefined ? undefined : names(testDir);
  if (test?.join('/') === train.join('/')) throw new Stop();
  const isTest = (image: Image) =>
    test !== undefined && lies(image, test) && !(train.length > test.length && lies(image, train));
  const part = (images: readonly Image[], dir: readonly string[]) => {
    // Reading: a folder that is not there, or has no images, stops it.
    if (images.length === 0) throw new Stop();
    return images.map(({ index, path }) => ({ index, path: path.slice(dir.length) }));
  };
  // Reading: these parts are taken as they are; no level of theirs is passed over, but those that all else lies in.
  let own: readonly Image[] = part(
    all.filter((image) => lies(image, train) && !isTest(image)),
    train,
  );
  if (trainDir === undefined) for (let name = only(own); name !== undefined; name = only(own)) own = inside(own, name);
  return {
    train: own,
    tests: test ? [part(all.filter(isTest), test)] : [],
  };
}

/** Rules 1, 2 and 5. */
function foundParts(all: readonly Image[]): Parts {
  let images = all;
  // Reading: a name that is a part's only beside another (seg_train) is none where it stands alone.
  for (let name = only(images); name !== undefined && !partsAmong([name]).of(name); name = only(images))
    images = inside(images, name);

  const names = [...subFolders(images)];
  const parts = partsAmong(names);
  const trains = names.filter((name) => parts.of(name)?.isTrain);
  // Reading: of two with one word (test, test_set), the first by code units.
  const tests = names
    .filter((name) => parts.of(name)?.isTrain === false)
    .sort((a, b) => parts.of(a)!.rank - parts.of(b)!.rank || (a < b ? -1 : 1));
  if (trains.length > 1) throw new Stop();
  if (trains.length === 0) {
    if (tests.length > 0) throw new Stop();
    return classesOfParts(images, names) ?? { train: images, tests: [] };
  }
  if (tests.length === 0 && only(images) === undefined) throw new Stop();
  const contents = [trains[0], ...tests].map((name) => ({ name, images: inside(images, name) }));
  const [train, ...others] = opened(contents, parts);
  return { train, tests: others };
}

/** The images of parts, after levels that say nothing. */
function opened(
  contents: readonly { name: string; images: Image[] }[],
  parts: ReturnType<typeof partsAmong>,
): Image[][] {
  const isTrain = (name: string) => parts.of(name)?.isTrain;
  let all = contents.map(({ images }) => images);
  // Reading: both as often as they apply.
  for (let goesOn = true; goesOn; ) {
    goesOn = false;
    all = all.map((images, i) => {
      const name = only(images);
      if (name === undefined || isTrain(name) !== isTrain(contents[i].name)) return images;
      goesOn = true;
      return inside(images, name);
    });
    const [name] = all.map(only);
    if (name !== undefined && isTrain(name) === undefined && all.every((images) => only(images) === name)) {
      goesOn = true;
      all = all.map((images) => inside(images, name));
    }
  }
  // Reading: in a part, any part's name among the sub-folders stops it, of whichever kind. Names below those are not looked at.
  for (const images of all) if ([...subFolders(images)].some((name) => parts.of(name))) throw new Stop();
  return all;
}

function classesOfParts(images: readonly Image[], classes: readonly string[]): Parts | undefined {
  const found = classes.map((name) => {
    const own = inside(images, name);
    return { name, own, parts: partsAmong([...subFolders(own)]) };
  });
  // Reading: names below the sub-folders of classes are not looked at.
  if (found.every(({ own, parts }) => [...subFolders(own)].every((name) => !parts.of(name)))) return undefined;
  const train: Image[] = [];
  // Reading: parts of all classes with one word are one part, however their names are written.
  const tests: Image[][] = [];
  for (const { name, own, parts } of found) {
    // Reading: a part with sub-folders stops it as an image in no part does: train and test images would be of one class.
    if (!images.every(isDeep) || own.some(({ path }) => path.length !== 2 || !parts.of(path[0]))) throw new Stop();
    if ([...subFolders(own)].filter((part) => parts.of(part)!.isTrain).length > 1) throw new Stop();
    for (const { index, path } of own) {
      const { isTrain, rank } = parts.of(path[0])!;
      if (!isTrain) tests[rank] ??= [];
      (isTrain ? train : tests[rank]).push({ index, path: [name, path[1]] });
    }
  }
  if (train.length === 0) throw new Stop();
  return { train, tests: tests.filter(Boolean) };
}

const trainWords = ['train', 'training'];
const testWords = ['test', 'testing', 'eval', 'evaluation', 'val', 'valid', 'validation', 'dev'];
const tail = /^([_\-. ]*(\d|set|data|dataset|images|image|imgs|img|photos|images|split|part|folder))*$/;

interface Word {
  readonly before: string;
  readonly isTrain: boolean;
  /** Place in the order of test parts. */
  readonly rank: number;
}

/** All ways to see a part's name in a name, with letters before it. */
function wordsIn(name: string): Word[] {
  const small = name.toLowerCase();
  return [...trainWords, ...testWords].flatMap((word) =>
    [...small.matchAll(new RegExp(`(?=${word})`, 'g'))]
      .filter(({ index }) => tail.test(small.slice(index + word.length)))
      .map(({ index }) => ({
        before: small.slice(0, index),
        isTrain: trainWords.includes(word),
        rank: testWords.indexOf(word),
      })),
  );
}

/**
 * What the names of folders side by side are as parts. Reading: letters that a train and a test part have before their names
 * are passed over in the names of further parts beside them and in them, too.
 */
function partsAmong(names: readonly string[]): { of(name: string): Word | undefined } {
  const words = names.flatMap(wordsIn);
  const before = new Set(['']);
  for (const a of words) if (a.isTrain && words.some((b) => !b.isTrain && b.before === a.before)) before.add(a.before);
  return { of: (name) => wordsIn(name).find((word) => before.has(word.before)) };
}
