// The examples of docs, but for the guides (guides.ts), and of the folder `examples`, run as they stand beside folders of images and a run on them.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { docsPages, exampleFiles, examplesOf, isGuide, Playground } from './programs.js';

const playground = new Playground();
test.before(async () => {
  await playground.open();
  await playground.train();
});
test.after(() => playground.close());

const pages = docsPages().filter((page) => !isGuide(page));
/** All but `supervised`, whose figures a test below judges. */
const printing = exampleFiles().filter(({ name }) => name !== 'supervised');
for (const { name, source } of pages.flatMap(examplesOf))
  test(name, () => playground.program(name, source, { inProcess: true }));
for (const { name, source } of printing) test(name, () => playground.program(name, source));

/** Lines that are neither blank nor comments, nor WGSL. */
const codeLines = (source: string) =>
  source
    .replace(/\/\* wgsl \*\/ `[^`]*`/, "''")
    .split('\n')
    .filter((line) => /\S/.test(line) && !/^\s*(\/\/|\/\*|\*)/.test(line)).length;

for (const { name, source } of exampleFiles())
  test(`examples/${name}.ts is short, and of public names alone`, () => {
    assert.ok(codeLines(source) > 15 && codeLines(source) <= 40, `${codeLines(source)} lines of code`);
    const taken = [...source.matchAll(/from '([^']+)'/g)].map(([, path]) => path);
    assert.equal(
      taken.filter((path) => !/^(slimgrad\/(node|kernel)|node:fs)$/.test(path)),
      [],
    );
  });

test('examples/supervised.ts tells bright images from dark ones', async () => {
  const source = exampleFiles().find(({ name }) => name === 'supervised')?.source as string;
  const rows = (await playground.output('supervised', source))
    .trim()
    .split('\n')
    .map((row) => row.split(' ').map(Number));
  const mean = (part: number[][], column: number) => part.reduce((sum, row) => sum + row[column], 0) / part.length;
  for (const column of [1, 2]) {
    const [first, last] = [mean(rows.slice(0, 4), column), mean(rows.slice(-4), column)];
    assert.ok(last < 0.9 * first, `the loss falls from ${first} to ${last}`);
  }
});

test.run();
