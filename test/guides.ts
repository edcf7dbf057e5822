// The guides of docs/guides: their programs run, what they excerpt are lines of the examples that they link to, what they name in code
// font exists, and docs/api.md lists every one of them. docs.ts checks their links and types, paths.ts the paths that they name.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blocksOf, docsPages, examplesOf, isGuide, Playground } from './programs.js';

const guides = docsPages().filter(isGuide);
const playground = new Playground();
test.before(async () => {
  await playground.open();
  await playground.train();
});
test.after(() => playground.close());

const filesIn = (folder: string, ending: RegExp) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => ending.test(file))
    .map((file) => join(folder, file));
const examples = filesIn('examples', /\.(ts|js|html)$/);
const read = (file: string) => readFileSync(file, 'utf8');

/** The files of `examples` that a page links to. */
const linked = (page: string) =>
  [...read(page).matchAll(/\]\((?!https?:)([^)#]+)/g)]
    .map(([, target]) => join(dirname(page), target))
    .filter((file) => examples.includes(file));

/** Lines without what indents them all. */
const dedented = (text: string) => {
  const lines = text.trimEnd().split('\n');
  const indent = Math.min(...lines.filter(Boolean).map((line) => line.length - line.trimStart().length));
  return lines.map((line) => line.slice(indent)).join('\n');
};

/** Whether these lines stand one after another in a file. */
function isExcerpt(excerpt: string, file: string): boolean {
  const wanted = dedented(excerpt);
  const length = wanted.split('\n').length;
  const lines = read(file).split('\n');
  return lines.some((_, i) => dedented(lines.slice(i, i + length).join('\n')) === wanted);
}

const words = (text: string) => text.match(/\w+/g) ?? [];
/** Every word of the reference's code, of the examples and of the kernels. */
const known = new Set(
  [
    ...docsPages()
      .filter((page) => dirname(page) === join('docs', 'api'))
      .flatMap((page) => [...blocksOf(page, 'typescript'), ...blocksOf(page, 'ts'), ...blocksOf(page, 'wgsl')]),
    ...read('docs/api/training.md').matchAll(/^\| `\w+` \|/gm), // settings
    ...read('src/node/device/device.ts').matchAll(/process\.env\.\w+/g),
    ...[...examples, ...filesIn('kernels', /\.wgsl$/)].map(read),
  ].flatMap((text) => words(String(text))),
);

/** All public values, and types, which docs/api.md lists. */
const exported = new Set([...read('docs/api.md').matchAll(/^\[(\w+)\]\(api\//gm)].map(([, name]) => name));

/**
 * What a text has in code font that looks like a name or a call and that nothing has; what is of `torch` is PyTorch's. A page about
 * other programs names what is theirs: with `own` alone, what begins with a public name is looked at.
 */
function unknownNames(text: string, pick: 'all' | 'own'): string[] {
  const blocks = text.match(/^```.*?^```/gms) ?? [];
  const inBlocks = new Set(blocks.flatMap(words));
  const spans = [...text.replaceAll(/^```.*?^```/gms, '').matchAll(/(?<!`)`([^`]+)`(?!`)/g)].map(([, span]) => span);
  return spans.filter((span) => {
    const [, name] = /^([A-Za-z_]\w*(?:\.\w+)*)(?:\(.*\))?$/s.exec(span) ?? [];
    if (!name || /^torch\./.test(name)) return false;
    if (/\.(ts|html)$/.test(name)) return pick === 'all' && !examples.some((file) => basename(file) === name);
    const parts = name.split('.');
    if (pick === 'own' && !exported.has(parts[0])) return false;
    return parts.some((part) => !known.has(part) && !inBlocks.has(part) && !Object.hasOwn(globalThis, part));
  });
}

test('names that do not exist are found, and lines that are no excerpt', () => {
  const text =
    'Call `record(device, (tape) => {})` and `plan.retain`, `noSuchCall()`, `plan.noSuchMember`, `none.ts`, `torch.x`.';
  assert.equal(unknownNames(text, 'all'), ['noSuchCall()', 'plan.noSuchMember', 'none.ts']);
  assert.equal(unknownNames('`Trainer.open()`, `Trainer.noSuchCall()`, `theirs()`', 'own'), ['Trainer.noSuchCall()']);
  assert.is(isExcerpt('  return y;\n}', 'examples/own_kernel.ts'), false);
  assert.ok(
    isExcerpt(
      'const device = await openDevice();\nconst x = device.parameter([numbers.length], numbers);',
      'examples/own_kernel.ts',
    ),
  );
});

test('there are guides, and docs/api.md links to each', () => {
  assert.ok(guides.length >= 4, `found ${guides}`);
  const index = read('docs/api.md');
  for (const guide of guides) assert.ok(index.includes(`](guides/${basename(guide)})`), guide);
});

for (const { name, source } of guides.flatMap(examplesOf))
  test(name, () => playground.program(name, source, { inProcess: true }));

for (const guide of guides) {
  test(`${guide} names in code font what exists`, () => {
    assert.equal(unknownNames(read(guide), basename(guide).startsWith('own_') ? 'all' : 'own'), []);
  });

  test(`${guide} excerpts lines of an example that it links to`, () => {
    for (const excerpt of ['typescript', 'wgsl'].flatMap((language) => blocksOf(guide, language)))
      assert.ok(
        linked(guide).some((file) => isExcerpt(excerpt, file)),
        `${guide}: no example that it links to has\n${excerpt}`,
      );
  });
}

for (const name of ['own_loop', 'own_kernel', 'own_encoder', 'own_method'])
  test(`docs/guides/${name}.md is about an example and shows some of it`, () => {
    const guide = `docs/guides/${name}.md`;
    assert.ok(linked(guide).length > 0, 'it links to an example');
    assert.ok(blocksOf(guide, 'typescript').length > 0 && blocksOf(guide, 'ts').length > 0, 'excerpts and a program');
    const lines = read(guide).split('\n').length;
    assert.ok(lines <= 125, `${lines} lines`);
  });

test.run();
