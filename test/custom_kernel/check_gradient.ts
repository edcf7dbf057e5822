// The example that checks a gradient finds one that is wrong, and none in the example of a user's own kernel.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { exampleFiles, Playground } from '../programs.js';

const playground = new Playground();
test.before(() => playground.open());
test.after(() => playground.close());

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
