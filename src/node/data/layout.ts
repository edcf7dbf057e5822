// The rule of docs/data.md: which folders of a tree are parts, which are classes. Knows names only, no file system.
import { DataError } from '../../errors.js';
import { some } from '../../eval/labels.js';

/**
 * Which folders of a tree of images are parts (to train on, to test with), which are classes, and which are neither: the rule of
 * docs/data.md. It goes by paths alone and opens no file.
 */

/** An image by its path: the names of its folders and its own, in Unicode's composed form. */
interface Placed {
  readonly parts: readonly string[];
}

export interface LayoutOptions {
  /** The folder's name, for messages. */
  readonly name?: string;
  /** false takes no labels: where the rule would stop, all images are trained on. */
  readonly labels?: boolean;
  /** The folder to train on and the one to test with, below the one opened; '.' is that itself. Sub-folders of either are classes. */
  readonly trainDir?: string;
  readonly testDir?: string;
}

/** Images to train on, or to test with. */
export interface Part {
  /** As its folder is named; '' where there are no parts. */
  readonly name: string;
  /** Numbers of its images among all, ascending. */
  readonly items: readonly number[];
  /** The class of each, where they are labeled. */
  readonly labels?: Int32Array<ArrayBuffer>;
}

/** Images that are in neither part, and why. */
export interface Unused {
  readonly name: string;
  readonly images: number;
  readonly why: string;
}

export interface Layout {
  readonly train: Part;
  readonly test?: Part;
  /** Of both parts, sorted. */
  readonly classes?: readonly string[];
  /** Names of all folders that are parts, used or not. */
  readonly parts: readonly string[];
  /** Images of the train part that lie next to its class folders, and so have no class. */
  readonly loose: number;
  readonly unused: readonly Unused[];
}

/** A part's images, and the depth of its folder: what stands there in their paths is below it. */
interface Found {
  readonly name: string;
  readonly items: readonly number[];
  readonly depth: number;
  /** Of inverted parts, which lie in the folders of the classes: the depth of these. */
  readonly classAt?: number;
}

type Kind = 'train' | 'test';

/** Names of parts to test with, the first preferred. */
const testNames = ['test', 'testing', 'eval', 'evaluation', 'val', 'valid', 'validation', 'dev'];
const names = ['train', 'training', ...testNames];
const tail = '(?:[ _.-]*(?:\\d|set|dataset|data|images|image|imgs|img|photos|images|split|part|folder))*';
const partName = new RegExp(`^(.*?)(${names.join('|')})${tail}$`, 's');

/** What a folder's name says of it: its kind, and its rank among those to test with. */
interface Role {
  readonly kind: Kind;
  readonly rank: number;
}

/**
 * Says which images are trained on, which are tested with, and their classes.
 *
 * @throws DataError where a part's name would become a class, or a folder that an option names has no images
 */
export function layoutOf(images: readonly Placed[], options: LayoutOptions = {}): Layout {
  const rule = new Rule(images, options);
  if (options.trainDir !== undefined || options.testDir !== undefined) return rule.named();
  return rule.found();
}

/** A name as a part's, with what stands before it; undefined where it is none. */
function read(name: string): (Role & { readonly before: string }) | undefined {
  const [, before, word] = partName.exec(name.toLowerCase()) ?? [];
  if (word === undefined) return undefined;
  return { before, kind: word.startsWith('train') ? 'train' : 'test', rank: testNames.indexOf(word) };
}

/**
 * Says of folders side by side which are parts. What stands before the names of a train part and a test part alike, seg_ of seg_train and
 * seg_test, is passed over.
 */
function rolesAmong(folders: readonly string[]): (name: string) => Role | undefined {
  const all = folders.map(read).filter((role) => role !== undefined);
  const isOfBoth = (before: string) =>
    new Set(all.filter((role) => role.before === before).map(({ kind }) => kind)).size === 2;
  const known = new Set(['', ...all.map(({ before }) => before).filter(isOfBoth)]);
  return (name) => {
    const role = read(name);
    return role && known.has(role.before) ? role : undefined;
  };
}

const plainRole = rolesAmong([]);

class Rule {
  readonly #images: readonly Placed[];
  readonly #options: LayoutOptions;
  readonly #unused: Unused[] = [];

  constructor(images: readonly Placed[], options: LayoutOptions) {
    this.#images = images;
    this.#options = options;
  }

  /** By the names of folders. */
  found(): Layout {
    const all = this.#images.map((_, i) => i);
    const depth = this.#root(all);
    const everything: Found = { name: '', items: all, depth };
    let stopped: DataError | undefined;
    try {
      const parts = this.#parts(all, depth);
      if (parts) return this.#layout(parts.train, parts.tests);
    } catch (error) {
      if (!(error instanceof DataError) || this.#options.labels !== false) throw error;
      stopped = error; // it stops for the classes' sake alone
    }
    this.#unused.length = 0;
    return this.#layout(everything, [], stopped !== undefined);
  }

  /** By the options' folders. */
  named(): Layout {
    const { trainDir = '.', testDir } = this.#options;
    const isAllElse = this.#options.trainDir === undefined;
    const [train, test] = [
      this.#below(trainDir, '--train-dir'),
      testDir === undefined ? undefined : this.#below(testDir, '--test-dir'),
    ];
    if (test?.name === train.name)
      throw this.#error(`--train-dir and --test-dir are one folder, '${trainDir}'; name two`);
    const isNested = (outer: Found, inner: Found) => outer.depth < inner.depth && outer.items.includes(inner.items[0]);
    const without = (outer: Found, inner: Found) => {
      const taken = new Set(inner.items);
      return { ...outer, items: outer.items.filter((i) => !taken.has(i)) };
    };
    const rest = test && isNested(train, test) ? without(train, test) : train;
    const own = isAllElse && rest.items.length > 0 ? this.#deepest(rest) : rest;
    const other = test && isNested(test, train) ? without(test, train) : test;
    for (const [part, flag] of [
      [own, '--train-dir'],
      [other, '--test-dir'],
    ] as const)
      if (part?.items.length === 0) throw this.#error(`${flag}: all its images lie in the other part's folder`);
    const taken = new Set([...own.items, ...(other?.items ?? [])]);
    this.#leaveOut(
      'others',
      this.#images.length - taken.size,
      `not in ${[trainDir, testDir].filter(Boolean).join(' or ')}`,
    );
    return this.#layout(own, other ? [other] : []);
  }

  /** A part from the folder on that all of it lies in. */
  #deepest(part: Found): Found {
    let { depth } = part;
    while (this.#shared(part.items, depth) !== undefined) depth++;
    return { ...part, depth };
  }

  /** The images below a folder that an option names. */
  #below(dir: string, flag: string): Found {
    const path = dir
      .normalize('NFC')
      .split(/[/\\]+/)
      .filter((name) => name !== '' && name !== '.');
    const items = this.#images.flatMap(({ parts }, i) =>
      parts.length > path.length && path.every((name, depth) => parts[depth] === name) ? [i] : [],
    );
    if (items.length === 0) {
      const there = [...new Set(this.#images.filter(({ parts }) => parts.length > 1).map(({ parts }) => parts[0]))];
      throw this.#error(
        `${flag}: expected a folder with images below the one of the data, got '${dir}'; there are ${some(there) || 'none'}`,
      );
    }
    return { name: path.join('/'), items, depth: path.length };
  }

  /** How deep the folder lies that all images have in common, those of parts not passed. */
  #root(all: readonly number[]): number {
    let depth = 0;
    while (this.#shared(all, depth) !== undefined && !plainRole(this.#images[0].parts[depth])) depth++;
    return depth;
  }

  /** The folder at this depth that all of these images lie in. */
  #shared(items: readonly number[], depth: number): string | undefined {
    const first = this.#folder(items[0], depth);
    return first !== undefined && items.every((i) => this.#folder(i, depth) === first) ? first : undefined;
  }

  /** The folder at this depth that an image lies in. */
  #folder(i: number, depth: number): string | undefined {
    const { parts } = this.#images[i];
    return depth < parts.length - 1 ? parts[depth] : undefined;
  }

  /** The images of every folder at this depth; those that lie in none are under undefined. */
  #folders(items: readonly number[], depth: number): Map<string | undefined, number[]> {
    const folders = new Map<string | undefined, number[]>();
    for (const i of items) {
      const name = this.#folder(i, depth);
      const members = folders.get(name);
      if (members) members.push(i);
      else folders.set(name, [i]);
    }
    return folders;
  }

  /** The names of folders at this depth. */
  #names(items: readonly number[], depth: number): string[] {
    return [...this.#folders(items, depth).keys()].filter((name) => name !== undefined);
  }

  /** The parts of a folder, or of the classes in it; undefined where there are none. */
  #parts(all: readonly number[], depth: number): { train: Found; tests: Found[] } | undefined {
    const folders = this.#folders(all, depth);
    const known = this.#names(all, depth);
    const roleOf = rolesAmong(known);
    const of = (kind: Kind) => known.filter((name) => roleOf(name)?.kind === kind).sort(byRank(roleOf));
    const [trains, tests] = [of('train'), of('test')];
    if (trains.length === 0 && tests.length === 0) return this.#partsOfClasses(all, depth);
    const others = [...folders].filter(([name]) => name === undefined || !roleOf(name));
    this.#checkTrain(trains, tests);
    if (tests.length === 0 && others.length > 0) {
      const siblings = others.map(([name]) => (name === undefined ? 'images' : `'${name}'`));
      throw this.#stop(
        `'${trains[0]}' lies next to ${some(siblings)} and no part to test with, so that its name would become a class`,
        `if it is the part to train on, give --train-dir ${trains[0]}`,
      );
    }
    for (const [name, members] of others) this.#leaveOut(name ?? 'the folder itself', members.length, 'in no part');
    const found = [trains[0], ...tests].map((name) => ({
      name,
      items: folders.get(name) as number[],
      depth: depth + 1,
    }));
    const [train, ...rest] = this.#opened(found, roleOf);
    return { train, tests: rest };
  }

  #checkTrain(trains: readonly string[], tests: readonly string[]): void {
    if (trains.length > 1)
      throw this.#stop(`${quoted(trains)} are both named like the part to train on`, 'say which by --train-dir');
    if (trains.length === 0)
      throw this.#stop(
        `${quoted(tests)} ${tests.length > 1 ? 'are' : 'is'} named like a part to test with, and there is none to train on`,
        `give --test-dir ${tests[0]} to train on all else, or --train-dir DIR`,
      );
  }

  /** Parts without the levels that say nothing: their own kind once more (train/train), or one name in all of them (train/images). */
  #opened(parts: readonly Found[], roleOf: (name: string) => Role | undefined): Found[] {
    const depths = parts.map(({ depth }) => depth);
    const shared = (at: number) => this.#shared(parts[at].items, depths[at]);
    for (let before = ''; before !== depths.join(); ) {
      before = depths.join();
      for (const [at, { name }] of parts.entries()) {
        const inner = shared(at);
        if (inner !== undefined && roleOf(inner)?.kind === roleOf(name)?.kind) depths[at]++;
      }
      const first = shared(0);
      if (first !== undefined && !roleOf(first) && parts.every((_, at) => shared(at) === first))
        for (const at of parts.keys()) depths[at]++;
    }
    const opened = parts.map((part, at) => ({ ...part, depth: depths[at] }));
    for (const { name, items, depth } of opened) {
      const inner = this.#names(items, depth).find((folder) => roleOf(folder));
      if (inner !== undefined)
        throw this.#stop(
          `'${name}' holds a folder '${inner}', a part within a part`,
          'if it is a class, name the parts by --train-dir and --test-dir',
        );
    }
    return opened;
  }

  /** Parts in the folders of classes, cat/train and cat/test: the other way round. */
  #partsOfClasses(all: readonly number[], depth: number): { train: Found; tests: Found[] } | undefined {
    const classes = [...this.#folders(all, depth)].map(([name, items]) => {
      const inner = name === undefined ? [] : this.#names(items, depth + 1);
      return { items, inner, roleOf: rolesAmong(inner) };
    });
    const named = classes.flatMap(({ inner, roleOf }) => inner.filter((name) => roleOf(name)));
    if (named.length === 0) return undefined;
    const stop = (why: string) =>
      this.#stop(
        `folders of classes hold parts (${quoted([...new Set(named)])}), but ${why}`,
        'put the classes into the parts',
      );
    const found = new Map<string, Found & { items: number[] }>();
    let outside = 0;
    for (const { items, inner, roleOf } of classes) {
      const trains = inner.filter((name) => roleOf(name)?.kind === 'train');
      if (trains.length > 1) this.#checkTrain(trains, []);
      for (const i of items) {
        const name = this.#folder(i, depth + 1);
        const role = name === undefined ? undefined : roleOf(name);
        if (name === undefined || !role) outside++;
        else if (this.#images[i].parts.length !== depth + 3) throw stop('there are folders within these');
        else {
          const part = found.get(`${role.rank}`) ?? { name, items: [], depth: depth + 2, classAt: depth };
          found.set(`${role.rank}`, part);
          part.items.push(i);
        }
      }
    }
    for (const { items } of found.values()) items.sort((a, b) => a - b);
    if (outside > 0) throw stop(`${outside} of ${all.length} images are in none`);
    const [train, ...tests] = testRanks.map((rank) => found.get(rank)).filter((part) => part !== undefined);
    if (!found.has(testRanks[0]))
      this.#checkTrain(
        [],
        [train, ...tests].map(({ name }) => name),
      );
    return { train, tests };
  }

  /** Classes, and the part that is tested with. */
  #layout(train: Found, tests: readonly Found[], isStopped = false): Layout {
    const parts = [train, ...tests].map(({ name }) => name).filter((name) => name !== '');
    const known = [...this.#classes(train)].sort();
    const isLabeled = this.#options.labels !== false && !isStopped && known.length > 1;
    if (!isLabeled) {
      const [test, ...others] = tests;
      for (const part of others) this.#leaveOut(part.name, part.items.length, `'${test.name}' is used`);
      const bare = ({ name, items }: Found): Part => ({ name, items });
      return { train: bare(train), ...(test && { test: bare(test) }), parts, loose: 0, unused: this.#unused };
    }
    const used = tests.find((part) => [...this.#classes(part)].some((name) => known.includes(name)));
    for (const part of tests)
      if (part !== used)
        this.#leaveOut(
          part.name,
          part.items.length,
          used ? `'${used.name}' is used` : 'no sub-folders named like the classes',
        );
    const classes = [...new Set([...known, ...(used ? this.#classes(used) : [])])].sort();
    const numbers = new Map(classes.map((name, k) => [name, k]));
    const labeled = (part: Found): Part => {
      const items = part.items.filter((i) => this.#classOf(part, i) !== undefined);
      const loose = part.items.length - items.length;
      this.#leaveOut(part.name || 'the folder itself', loose, 'next to the sub-folders that are the classes');
      const labels = Int32Array.from(items, (i) => numbers.get(this.#classOf(part, i) as string) as number);
      return { name: part.name, items, labels };
    };
    const [own, other] = [labeled(train), used && labeled(used)];
    const loose = train.items.length - own.items.length;
    return { train: own, ...(other && { test: other }), classes, parts, loose, unused: this.#unused };
  }

  #classOf({ depth, classAt = depth }: Found, i: number): string | undefined {
    return this.#folder(i, classAt);
  }

  #classes(part: Found): Set<string> {
    return new Set(part.items.map((i) => this.#classOf(part, i)).filter((name) => name !== undefined));
  }

  #leaveOut(name: string, images: number, why: string): void {
    if (images > 0) this.#unused.push({ name, images, why });
  }

  #stop(what: string, remedy: string): DataError {
    return this.#error(
      `${what}: ${remedy}; give --train-dir . where every sub-folder is a class, --no-labels to train on all images without ` +
        'labels, or rename it (docs/data.md)',
    );
  }

  #error(message: string): DataError {
    return new DataError(`${this.#options.name ?? 'data'}: ${message}`);
  }
}

/** Keys of parts by their ranks: the part to train on, then those to test with, the first preferred. */
const testRanks = ['-1', ...testNames.map((_, rank) => String(rank))];

const byRank = (roleOf: (name: string) => Role | undefined) => (a: string, b: string) =>
  (roleOf(a)?.rank ?? 0) - (roleOf(b)?.rank ?? 0) || (a < b ? -1 : 1);

const quoted = (folders: readonly string[]) => some(folders.map((name) => `'${name}'`));
