// The house rules that a machine can hold: imports run one way, every kernel has all its faces, files stay small.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

/** From the bottom up: a file imports from its own layer and from those listed before it. */
const layers: readonly (readonly string[])[] = [
  ['errors', 'generated'],
  ['checks'],
  ['tensor'],
  ['runtime'],
  ['custom_kernel', 'kernel'],
  ['core'],
  ['ops', 'formats', 'metrics'],
  ['nn'],
  ['encoders', 'optim'],
  ['data', 'methods'],
  ['train'],
  ['config'],
  ['inference'],
  ['cost', 'eval', 'export'],
  ['index'],
  ['node'],
];

/** The same within src/node. */
const rooms: readonly string[] = ['system', 'device', 'data', 'eval', 'report', 'run', 'cli'];

/** Lines that a file may have, by its folder or its own name; a kernel is as long as what belongs together. */
const budget: Record<string, number> = {
  src: 400,
  test: 450,
  bench: 400,
  experiments: 400,
  'src/runtime/plan.ts': 480,
};

/** Kernels that belong to another folder than ops. */
const homes: Record<string, string> = {
  sgd: 'optim',
  lars: 'optim',
  adamw: 'optim',
  ema: 'optim',
  nonfinite: 'runtime',
};

const files = (folder: string, ending: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending) && !file.includes('node_modules'))
    .map((file) => join(folder, file))
    .sort();

const layer = (file: string): number => {
  const top = relative('src', file).split(/[/.]/)[0];
  const found = layers.findIndex((names) => names.includes(top));
  assert.ok(found >= 0, `${file}: its folder is in no layer; add it to test/house.ts`);
  return found;
};

const imports = (file: string): string[] =>
  [...readFileSync(file, 'utf8').matchAll(/(?:from|import\(?)\s*'([^']+)'/g)].map(([, path]) => path);

/** The files of src that a file imports, types among them. */
const targets = (file: string): string[] =>
  imports(file)
    .filter((path) => path.startsWith('.'))
    .map((path) => join(dirname(file), path).replace(/\.js$/, '.ts'));

const sources = files('src', '.ts');
const kernels = files('kernels', '.wgsl').filter((file) => dirname(file) === 'kernels');

test('imports run one way', () => {
  assert.ok(sources.length > 10, `expected the sources of the library, found ${sources.length} files`);
  for (const file of sources) {
    const own = layer(file);
    for (const target of targets(file))
      assert.ok(layer(target) <= own, `${file} must not import ${target}, which is above it`);
  }
  const room = (file: string) => rooms.indexOf(relative('src/node', file).split('/')[0]);
  for (const file of sources.filter((name) => name.startsWith('src/node/'))) {
    assert.ok(room(file) >= 0, `${file}: its folder is in no order; add it to test/house.ts`);
    for (const target of targets(file).filter((name) => name.startsWith('src/node/')))
      assert.ok(room(target) <= room(file), `${file} must not import ${target}, which is above it`);
  }
});

test('no import goes round in a circle', () => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    assert.not.ok(path.includes(file), `imports go round: ${[...path.slice(path.indexOf(file)), file].join(' → ')}`);
    if (done.has(file)) return;
    for (const target of targets(file)) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of sources) visit(file, []);
  assert.is(done.size, sources.length);
});

test('nothing has two homes: no file stands beside a folder of its name, and only entries lie loose in src', () => {
  for (const folder of ['src', 'test', 'bench', 'experiments']) {
    const folders = new Set(files(folder, '.ts').map(dirname));
    for (const file of files(folder, '.ts'))
      assert.not.ok(folders.has(file.replace(/\.ts$/, '')), `${file} has a twin`);
  }
  assert.equal(
    sources.filter((file) => dirname(file) === 'src'),
    ['errors', 'index', 'kernel', 'node'].map((name) => `src/${name}.ts`),
  );
});

/** The parser is a package, bundled: one file imports it, and one tells TypeScript of it. */
const isParser = (file: string) => ['src/custom_kernel/parse.ts', 'src/custom_kernel/wgsl_reflect.d.ts'].includes(file);

/** A file of src and all that it imports, files that types alone are taken from among them. */
function reach(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  for (const path of imports(file)) reach(join(dirname(file), path).replace(/\.js$/, '.ts'), found);
  return found;
}

test('a trainer knows neither settings nor registries: a program carries the methods and encoders that it uses', () => {
  const reached = [...reach('src/train/trainer.ts')];
  assert.ok(reached.includes('src/methods/network.ts') && reached.length > 30, `reached ${reached.length} files`);
  const own = /^src\/(methods\/(method|network|teacher)|encoders\/encoder)\.ts$/;
  assert.equal(
    reached.filter((file) => /^src\/(config|methods|encoders)\b/.test(file) && !own.test(file)),
    [],
  );
});

test('methods take encoders as they come', () => {
  for (const file of sources.filter((name) => name.startsWith('src/methods/')))
    assert.equal(
      [...reach(file)].filter((name) => /^src\/(config|encoders\/(?!encoder\.ts))/.test(name)),
      [],
      file,
    );
});

test('methods for comparison are made of what is public, as those of a program are', () => {
  const exported = new Set(
    [...readFileSync('src/index.ts', 'utf8').matchAll(/\{([^}]*)\}/g)].flatMap(
      ([, names]) => names.match(/\w+/g) ?? [],
    ),
  );
  const errors = new Set(readFileSync('src/errors.ts', 'utf8').match(/(?<=export class )\w+/g)); // exported all at once
  for (const name of ['byol', 'moco_v2', 'seed', 'disco', 'rekd', 'oss', 'ssl_small']) {
    const source = readFileSync(`src/methods/${name}.ts`, 'utf8');
    // a spec is for the table of methods, and settings are checked by what checks all; a program's own may do as they like
    const taken = [...source.matchAll(/^import (?:type )?\{([^}]*)\} from (?!'\.\/settings)/gm)].flatMap(
      ([, names]) => names.replaceAll(/\btype /g, '').match(/\w+/g) ?? [],
    );
    assert.ok(taken.length > 3, `${name} imports ${taken.length} names`);
    assert.equal(
      taken.filter((each) => !exported.has(each) && !errors.has(each) && !/(Spec|Defaults)$/.test(each)),
      [],
      name,
    );
  }
});

test('only src/node knows Node', () => {
  for (const file of sources.filter((name) => !name.startsWith('src/node')))
    for (const path of imports(file))
      assert.ok(path.startsWith('.') || isParser(file), `${file} must not import ${path}`);
});

test('every kernel has an op, a test and a bench row of its name', () => {
  const bench = ['bench/ops.ts', 'bench/losses.ts'].map((file) => readFileSync(file, 'utf8')).join('\n');
  const stems = new Set(kernels.map((file) => basename(file).split('.')[0]));
  assert.ok(stems.size > 5, `expected the kernels, found ${stems.size}`);
  for (const stem of stems) {
    const home = homes[stem] ?? 'ops';
    for (const face of [`src/${home}/${stem}.ts`, `test/${home}/${stem}.ts`])
      assert.ok(existsSync(face), `kernels/${stem}.wgsl has no ${face}`);
    // a bench of augment needs images: it is timed within a step
    if (home === 'ops' && stem !== 'augment')
      assert.match(bench, new RegExp(`\\b${stem}\\b`), `bench/ops.ts and bench/losses.ts have no row of ${stem}`);
  }
});

/** Line comments and documentation comments, and the files that they name: a kernel by its name, all else by its path. */
const commentsIn = (text: string) => text.match(/(?<=^|\s)\/\/ .*|\/\*\*[\s\S]*?\*\//gm) ?? [];
const namedFile = /(?<![\w./-])(?:(?:src|test|bench|docs|kernels)\/[\w./-]*\w|[a-z]\w*(?:\.\w+)*\.wgsl)\b/g;

test('every file that a comment of a kernel or of a source names exists', () => {
  let named = 0;
  for (const file of [...sources, ...files('kernels', '.wgsl'), ...files('kernels', '.mjs')]) {
    if (file.startsWith('src/generated')) continue;
    for (const path of commentsIn(readFileSync(file, 'utf8')).flatMap((text) => text.match(namedFile) ?? [])) {
      if (path.includes('NAME')) continue; // stands for any
      const candidates = path.includes('/') ? [path, `${path}.ts`] : [`kernels/${path}`, `kernels/shared/${path}`];
      assert.ok(
        candidates.some((each) => existsSync(each)),
        `${file} names ${path}, which does not exist`,
      );
      named++;
    }
  }
  assert.ok(named > 50, `found ${named} names of files in comments`);
});

test('a file of over 60 lines says first what it is', () => {
  for (const file of sources.filter((path) => !path.startsWith('src/generated'))) {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const [first, second] = lines;
    const opening = /^(#!|\/\/\/ <reference)/.test(first) ? second : first;
    assert.ok(
      lines.length <= 60 || /^(\/\/|\/\*\*?)/.test(opening),
      `${file}: ${lines.length} lines, no opening comment`,
    );
  }
});

test('files stay small', () => {
  for (const folder of ['src', 'test', 'bench', 'experiments'])
    for (const file of files(folder, '.ts')) {
      if (file.startsWith('src/generated')) continue;
      const lines = readFileSync(file, 'utf8').split('\n').length;
      const limit = budget[file] ?? budget[folder];
      assert.ok(lines <= limit, `${file} has ${lines} lines, over its budget of ${limit}`);
    }
});

test.run();
