// The examples of docs and of the folder `examples`, run as they stand beside folders of images and a run on them.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { docsPages, exampleFiles, examplesOf, Playground } from './programs.js';

const playground = new Playground();
test.before(async () => {
  await playground.open();
  const quick = '--steps 2 --batch 8 --projector 16 --out runs/photos'.split(' ');
  await playground.command('pretrain', '--data', 'photos', ...quick);
  await playground.command('export', '--weights', 'runs/photos/slim.safetensors', '--out', 'slim.onnx');
});
test.after(() => playground.close());

for (const { name, source } of [...docsPages().flatMap(examplesOf), ...exampleFiles()])
  test(name, () => playground.program(name, source));

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

/** A program that checks the gradient of another op of x, made of the example that does so. */
function gradientOf(op: string, imports: string): string {
  const source = exampleFiles().find(({ name }) => name === 'check_gradient')?.source as string;
  const call = /^await checkGradient\(.*\);$/m;
  assert.match(source, call);
  return `${imports}\n${source.replace(call, () => `await checkGradient(device, ${op}, [x]);`)}`;
}

test('examples/check_gradient.ts finds a gradient that is wrong', async () => {
  const imports = "import { detach, scale } from 'slimgrad/node';";
  const op = (factor: number) =>
    `(tape, x) => tape.record('own', [x], scale(tape, detach(tape, x), 2), (dy) => [scale(tape, dy, ${factor})])`;
  await playground.output('right_gradient', gradientOf(op(2), imports));
  const wrong = await playground.output('wrong_gradient', gradientOf(op(2.01), imports)).catch((error) => error);
  assert.match(wrong.message, /the gradient of x is wrong/);
});

test('the op of examples/own_kernel.ts passes examples/check_gradient.ts', async () => {
  const source = exampleFiles().find(({ name }) => name === 'own_kernel')?.source as string;
  await playground.output('own_kernel', source); // beside the one that imports it
  const out = await playground.output(
    'gelu_gradient',
    gradientOf('geluOf', "import { geluOf } from './own_kernel.mjs';"),
  );
  assert.match(out, /gradient of x \(4,6\): off by at most/);
});

test.run();
