// The pages of docs: every public name and no other, links that lead somewhere, examples that are well typed (examples.ts runs them).
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blocksOf, docsPages, exampleFiles, examplesOf } from './programs.js';

const pages = docsPages();

function check(cwd: string): { status: number | null; stderr: string } {
  return spawnSync(process.execPath, ['docs/build.mjs', '--check'], { cwd, encoding: 'utf8' });
}

test('the reference has every public name as it stands, and no other', () => {
  const { status, stderr } = check('.');
  assert.equal([status, stderr], [0, '']);
});

test('a public name without a comment, a page or its place in the reference is found', () => {
  const copy = resolve('build', `docs-${process.pid}`);
  mkdirSync(copy, { recursive: true });
  try {
    for (const part of ['src', 'docs', 'package.json', 'tsconfig.json', 'tsconfig.build.json'])
      cpSync(part, join(copy, part), { recursive: true });
    symlinkSync(resolve('node_modules'), join(copy, 'node_modules'));
    writeFileSync(join(copy, 'src/ops/bare.ts'), 'export const bare = 1;\n');
    writeFileSync(join(copy, 'src/homeless.ts'), '/** Has no page. */\nexport const homeless = 1;\n');
    const exported = "export { bare } from './ops/bare.js';\nexport { homeless } from './homeless.js';\n";
    appendFileSync(join(copy, 'src/index.ts'), exported);
    appendFileSync(join(copy, 'docs/api/errors.md'), '\n### GoneError\n');
    const { status, stderr } = check(copy);
    assert.is(status, 1);
    for (const part of [
      'src/ops/bare.ts: bare is public and has no comment',
      'src/homeless.ts: no page of docs/api documents it: homeless',
      'docs/api/ops.md is not up to date: run npm run docs',
      'docs/api/errors.md is not up to date: run npm run docs',
    ])
      assert.ok(stderr.includes(part), `'${part}' in: ${stderr}`);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
});

test('slimgrad/node is all of slimgrad, and only openDevice is another there', async () => {
  const entries: string[] = ['slimgrad', 'slimgrad/node'];
  const [anywhere, node] = await Promise.all(entries.map((entry): Promise<Record<string, unknown>> => import(entry)));
  const values = Object.keys(anywhere);
  assert.ok(values.length > 100, `found ${values.length} values`);
  assert.equal(
    values.filter((name) => node[name] !== anywhere[name]),
    ['openDevice'],
  );
  assert.type(node.openDevice, 'function');
  const index = readFileSync('docs/api.md', 'utf8').split('## What slimgrad/node has beside these');
  const [names, more] = index.map((part) => new Set([...part.matchAll(/^\[(\w+)\]/gm)].map(([, name]) => name)));
  assert.equal(
    [...more].filter((name) => names.has(name)), // types, too
    ['openDevice'],
  );
});

test('every public value is used in an example', async () => {
  const examples = ['README.md', ...pages].flatMap((page) => blocksOf(page, 'ts')).join('\n');
  const used = examples.replaceAll(/^import .*?;$/gms, '').replaceAll(/\/\/ .*$/gm, ''); // neither imported nor told of alone
  const words = new Set(used.match(/\w+/g));
  const entries: string[] = ['slimgrad', 'slimgrad/node', 'slimgrad/kernel']; // as built, so that types are none of them
  const values = (await Promise.all(entries.map((entry) => import(entry)))).flatMap(Object.keys);
  assert.ok(values.length > 150, `found ${values.length} values`);
  assert.equal(
    values.filter((name) => !words.has(name)),
    [],
  );
});

test('links between pages lead somewhere', () => {
  let links = 0;
  for (const page of [...pages, 'README.md'])
    for (const [, target] of readFileSync(page, 'utf8').matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
      assert.ok(existsSync(join(dirname(page), target)), `${page}: ${target}`);
      links++;
    }
  assert.ok(links > 100, `found ${links} links`);
});

test('every page of the reference has an example, and all examples are well typed', () => {
  for (const page of pages.filter((path) => path.startsWith('docs/api/')))
    assert.ok(blocksOf(page, 'ts').length > 0, `${page} has an example`);
  const folder = resolve('build', `types-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  try {
    for (const { name, source } of [...docsPages().flatMap(examplesOf), ...exampleFiles()])
      writeFileSync(join(folder, `${name}.ts`), source);
    const flags = '--noEmit --strict --module nodenext --target es2022 --skipLibCheck --types node'.split(' ');
    const files = readdirSync(folder).map((file) => join(folder, file));
    const args = ['node_modules/typescript/bin/tsc', '--ignoreConfig', ...flags, ...files];
    const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.is(stdout, '');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();
