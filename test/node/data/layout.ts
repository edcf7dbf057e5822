import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DataError } from '../../../src/errors.js';
import { layoutOf, type Part } from '../../../src/node/data/layout.js';
import { scanFolder } from '../../../src/node/data/scan.js';
import { inFolder } from '../../outside.js';
import { seed } from '../../random.js';
import { type Expected, type Options, reference, type Side } from './layout_reference.js';

const test = suite('node/data/layout');

type Images = readonly { readonly parts: readonly string[] }[];

/** What the function under test says, in the reference's words. */
function actual(images: Images, options?: Options): Expected {
  let layout: ReturnType<typeof layoutOf>;
  try {
    layout = layoutOf(images, options);
  } catch (error) {
    if (error instanceof DataError) return 'stops';
    throw error;
  }
  const { train, test, classes, unused } = layout;
  const side = ({ items, labels }: Part): Side => {
    assert.equal(
      items,
      [...new Set(items)].sort((a, b) => a - b),
      'items ascend',
    );
    if (labels) assert.is(labels.length, items.length);
    return new Map(items.map((item, i) => [item, labels ? classes![labels[i]] : null]));
  };
  const said = { train: side(train), ...(test && { test: side(test) }) };
  const names = [...said.train.values(), ...(said.test?.values() ?? [])].filter((name) => name !== null);
  assert.equal(classes ?? [], [...new Set(names)].sort(), 'classes are those of the items, sorted');
  assert.is(classes !== undefined, train.labels !== undefined, 'there are classes where there are labels');
  for (const item of train.items) assert.not(said.test?.has(item), 'no image is on both sides');
  return { ...said, unused: unused.reduce((sum, { images }) => sum + images, 0) };
}

/** As text that is compared and read: paths with their classes. */
function shown(images: Images, expected: Expected): string {
  if (expected === 'stops') return expected;
  const side = (items?: Side) =>
    items &&
    [...items]
      .sort(([a], [b]) => a - b)
      .map(([item, name]) => `${images[item].parts.join('/')}${name === null ? '' : ` (${name})`}`);
  return JSON.stringify({ ...expected, train: side(expected.train), test: side(expected.test) }, null, 1);
}

/** Short for a layout: 'cat:a/1 cat:a/2 | dog:b/1 | unused 2', the test part after the first bar. */
function summary(images: Images, expected: Expected): string {
  if (expected === 'stops') return expected;
  const side = (items?: Side) =>
    items
      ? [...items].map(([item, name]) => `${name === null ? '' : `${name}:`}${images[item].parts.join('/')}`).join(' ')
      : '-';
  return `${side(expected.train)} | ${side(expected.test)} | ${expected.unused}`;
}

const examples: readonly (readonly [string, string, Options?])[] = [
  ['1 2', '1 2 | - | 0'],
  ['cat/1 dog/a/2', 'cat:cat/1 dog:dog/a/2 | - | 0'],
  ['cat/1 dog/2 3', 'cat:cat/1 dog:dog/2 | - | 1'],
  ['cat/1 3', 'cat/1 3 | - | 0'],
  ['x/y/cat/1 x/y/dog/2', 'cat:x/y/cat/1 dog:x/y/dog/2 | - | 0'],
  ['x/train/1 x/val/2', 'x/train/1 | x/val/2 | 0'],
  ['train/cat/1 train/dog/2', 'cat:train/cat/1 dog:train/dog/2 | - | 0'],
  ['train/cat/1 train/dog/2 test/3 val/cat/4', 'cat:train/cat/1 dog:train/dog/2 | cat:val/cat/4 | 1'],
  ['train/cat/1 train/dog/2 test/3', 'cat:train/cat/1 dog:train/dog/2 | - | 1'],
  ['train/a/1 train/b/2 test/a/3 test/c/4 5', 'a:train/a/1 b:train/b/2 | a:test/a/3 c:test/c/4 | 1'],
  ['Train2017/1 val_set/2 DEV/3 rest/4', 'Train2017/1 | val_set/2 | 2'],
  [
    'seg_train/seg_train/a/1 seg_train/seg_train/b/2 seg_test/seg_test/a/3 seg_pred/seg_pred/4',
    'a:seg_train/seg_train/a/1 b:seg_train/seg_train/b/2 | a:seg_test/seg_test/a/3 | 1',
  ],
  ['train/images/1 valid/images/2', 'train/images/1 | valid/images/2 | 0'],
  ['cat/train/1 cat/test/2 dog/train/3', 'cat:cat/train/1 dog:dog/train/3 | cat:cat/test/2 | 0'],
  ['train/1 cat/2', 'stops'],
  ['test/1', 'stops'],
  ['test/1 cat/2', 'stops'],
  ['train/1 training/2 test/3', 'stops'],
  ['cat/train/1 cat/2 dog/train/3', 'stops'],
  ['cat/train/1 dog/2', 'stops'],
  ['train/test/1 train/cat/2 train/dog/3 test/4', 'stops'],
  ['train/1 cat/2', 'train/1 cat/2 | - | 0', { labels: false }],
  ['train/a/1 train/b/2 train/3 4', 'stops'],
  ['train/a/1 train/b/2 train/3 test/4 5', 'train/a/1 train/b/2 train/3 | test/4 | 1', { labels: false }],
  ['a/1 b/2 3', 'a/1 b/2 3 | - | 0', { labels: false }],
  ['dev/1 test/2 cat/3', 'dev:dev/1 test:test/2 cat:cat/3 | - | 0', { trainDir: '.' }],
  ['dev/1 cat/2 out/dev/3 out/rat/4', 'dev:dev/1 cat:cat/2 | dev:out/dev/3 rat:out/rat/4 | 0', { testDir: 'out/' }],
  ['a/x/1 a/y/2 b/x/3 c/4', 'x:a/x/1 y:a/y/2 | x:b/x/3 | 1', { trainDir: 'a', testDir: './b' }],
  ['a/x/1 a/test/2 b/3', 'x:a/x/1 test:a/test/2 | - | 1', { trainDir: 'a' }],
  ['a/1 b/2', 'stops', { trainDir: 'c' }],
  ['\u00fc/1 b/2', '\u00fc/1 | - | 1', { trainDir: 'u\u0308' }],
];

for (const [paths, expected, options] of examples) {
  test(`${paths} ${options ? JSON.stringify(options) : ''}`, () => {
    const images = paths.split(' ').map((path) => ({ parts: path.split('/') }));
    assert.is(summary(images, reference(images, options)), expected, 'of the reference');
    assert.is(summary(images, actual(images, options)), expected);
  });
}

// Trees are lists of folders' names, an image in each; a few names, so that they meet.
type Tree = readonly (readonly string[])[];

const pick = (names: string) => fc.constantFrom(...names.split(','));
const partName = fc.oneof(
  { weight: 4, arbitrary: pick('train,test,val') },
  { weight: 2, arbitrary: pick('Train,TEST,training,testing,eval,evaluation,valid,Validation,dev') },
  {
    weight: 2,
    arbitrary: pick('train2017,val2017,test_set,training-images,validation images,traindata,dev.1,test-split'),
  },
  { weight: 1, arbitrary: pick('seg_train,seg_test,seg_val,SEG_Train,my-train,my-test,pretrain,trainer,tested,test_') },
);
const className = fc.oneof(
  { weight: 8, arbitrary: pick('cat,dog,rat') },
  { weight: 2, arbitrary: pick('Cat,images,\u00fc,\u00c5,z z') },
  { weight: 1, arbitrary: partName },
);
const plainName = pick('archive,data,photos-main,x');
const under = (name: fc.Arbitrary<string>, tree: fc.Arbitrary<Tree>): fc.Arbitrary<Tree> =>
  fc.tuple(name, tree).map(([top, below]) => below.map((path) => [top, ...path]));
const several = (tree: fc.Arbitrary<Tree>, minLength: number, maxLength: number): fc.Arbitrary<Tree> =>
  fc.array(tree, { minLength, maxLength }).map((trees) => trees.flat());
const both = (...trees: fc.Arbitrary<Tree>[]): fc.Arbitrary<Tree> => fc.tuple(...trees).map((all) => all.flat());

const loose: fc.Arbitrary<Tree> = fc.constantFrom<Tree>([[]], [[], []]);
const maybe = (tree: fc.Arbitrary<Tree>): fc.Arbitrary<Tree> =>
  fc.oneof({ weight: 4, arbitrary: fc.constant<Tree>([]) }, { weight: 1, arbitrary: tree });
const inClass: fc.Arbitrary<Tree> = fc.oneof(
  { weight: 4, arbitrary: loose },
  { weight: 1, arbitrary: under(plainName, loose) },
);
const classes = several(under(className, inClass), 2, 4);
const content: fc.Arbitrary<Tree> = fc.oneof(
  { weight: 4, arbitrary: both(classes, maybe(loose)) },
  { weight: 3, arbitrary: loose },
  { weight: 1, arbitrary: under(className, loose) },
);
const images = fc.constant('images');
/** Parts, all of which may have a level that says nothing, or the same again. */
const part: fc.Arbitrary<Tree> = fc
  .tuple(partName, content, pick('plain,plain,plain,again,images'))
  .map(([name, tree, level]) =>
    tree.map((path) => [name, ...(level === 'plain' ? [] : [level === 'again' ? name : level]), ...path]),
  );
const pair = (level: fc.Arbitrary<string>): fc.Arbitrary<Tree> =>
  fc
    .tuple(
      level,
      content,
      content,
      pick('train/test,train/val,Train2017/val2017,seg_train/seg_test,training/evaluation'),
    )
    .map(([name, a, b, names]) => {
      const [train, test] = names.split('/');
      return [...a.map((path) => [train, name, ...path]), ...b.map((path) => [test, name, ...path])];
    });
const wild: fc.Arbitrary<Tree> = fc.array(fc.array(fc.oneof(partName, className, plainName), { maxLength: 4 }), {
  minLength: 1,
  maxLength: 6,
});
const shape: fc.Arbitrary<Tree> = fc.oneof(
  content,
  both(several(part, 1, 3), maybe(under(plainName, inClass)), maybe(loose)),
  both(under(pick('train,Training,train_set'), content), several(part, 1, 2), maybe(loose)),
  pair(images),
  both(several(under(className, several(under(partName, inClass), 1, 2)), 2, 3), maybe(loose)),
  several(under(pick('cat,dog,rat'), several(under(pick('train,test,val,Test'), loose), 1, 3)), 2, 3),
  wild,
);
/** Archives have folders around all that. */
const tree: fc.Arbitrary<Tree> = fc.oneof(
  { weight: 3, arbitrary: shape },
  { weight: 1, arbitrary: under(plainName, shape) },
  { weight: 1, arbitrary: under(plainName, under(fc.oneof(plainName, partName), shape)) },
);
const imagesOf = (folders: Tree): Images => folders.map((path, i) => ({ parts: [...path, `${i}.jpg`] }));

/** A folder of the tree, written in one of the ways that there are. */
const folderOf = (folders: Tree): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom(...folders), fc.nat(3), fc.constantFrom('', './'), fc.boolean(), fc.nat(20))
    .map(([path, length, before, isApart, missing]) => {
      const name = [...path.slice(0, length), ...(missing === 0 ? ['missing'] : [])].join('/');
      return name === '' ? '.' : `${before}${isApart ? name.normalize('NFD') : name}`;
    });
const withOptions = tree.chain((folders) =>
  fc.record({
    folders: fc.constant(folders),
    options: fc.record(
      { labels: fc.constant(false), trainDir: folderOf(folders), testDir: folderOf(folders) },
      { requiredKeys: [] },
    ),
  }),
);

const agrees = (found: Images, options?: Options) =>
  assert.is(shown(found, actual(found, options)), shown(found, reference(found, options)));

test('layouts are those that the text of docs/data.md gives', () =>
  fc.assert(
    fc.property(tree, (folders) => agrees(imagesOf(folders))),
    { seed, numRuns: 5000 },
  ));

test('with --no-labels, --train-dir and --test-dir, too', () =>
  fc.assert(
    fc.property(withOptions, ({ folders, options }) => agrees(imagesOf(folders), options)),
    { seed, numRuns: 5000 },
  ));

test('the trees that are made up stop, have labels, and have test parts often enough to try the rule', () => {
  const all = fc.sample(tree, { seed, numRuns: 5000 }).map((folders) => reference(imagesOf(folders)));
  const layouts = all.filter((expected) => expected !== 'stops');
  const withTest = layouts.filter((expected) => expected.test);
  const isLabeled = ({ train }: { train: Side }) => [...train.values()][0] !== null;
  const counts = [
    all.length - layouts.length,
    layouts.filter(isLabeled).length,
    withTest.filter(isLabeled).length,
    withTest.filter((expected) => !isLabeled(expected)).length,
  ];
  for (const n of counts) assert.ok(n > 100, `${counts}`);
});

test('from files on a disk, with rubbish among them', () =>
  inFolder(async (top) => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(tree, pick('NFC,NFD'), async (folders, form) => {
        const folder = join(top, `${run++}`);
        const write = async (...names: string[]) => {
          const path = join(folder, ...names);
          await mkdir(dirname(path), { recursive: true });
          await writeFile(path, '');
        };
        const given = imagesOf(folders);
        for (const [i, { parts }] of given.entries()) {
          await write(...parts.map((part) => (i % 2 ? part.normalize(form) : part)));
          const rubbish = [['@eaDir', 'train', 'x.jpg'], ['.test', 'x.jpg'], ['test', 'x.txt'], ['._1.jpg']];
          await write(...parts.slice(0, i % parts.length), ...rubbish[i % 4]);
        }
        const { images: found } = await scanFolder(folder);
        const text = (all: Images) => all.map(({ parts }) => parts.join('/')).sort();
        assert.equal(text(found), text(given));
        agrees(found);
      }),
      { seed, numRuns: 60 },
    );
  }));

test.run();
