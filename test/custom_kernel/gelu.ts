// The example of a user's own kernel computes GELU and its slope: beside f64, and beside differences of f64.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import { close } from '../check.js';
import { Playground } from '../programs.js';
import { generator, randoms } from '../random.js';

const playground = new Playground();
test.before(() => playground.open());
test.after(() => playground.close());

const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

test('examples/own_kernel.ts', async () => {
  const x = [...randoms(generator(), 100, 0, 4), 0, -30, 30, 1e4];
  const source = readFileSync('examples/own_kernel.ts', 'utf8');
  const { y, dx } = JSON.parse(await playground.output('own_kernel', source, ...x.map(String)));
  const small = x.length - 1; // beside 10 000 all else would be near
  close(y.slice(0, small), x.slice(0, small).map(gelu), 'y');
  close(y, x.map(gelu), 'y');
  const h = 1e-5;
  const slope = (v: number) => (gelu(v + h) - gelu(v - h)) / (2 * h);
  close(dx, x.map(slope), 'dx');
});

test.run();
