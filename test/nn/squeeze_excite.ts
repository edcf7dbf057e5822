// Squeeze-and-excitation inside a residual block, host and slim: values and directional derivatives against f64.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters, type Width } from '../../src/core/parameters.js';
import { Tape } from '../../src/core/tape.js';
import { residual } from '../../src/nn/residual.js';
import { squeezeExcite } from '../../src/nn/squeeze_excite.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, type Tensor } from '../../src/tensor/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

type Gate = 'sigmoid' | 'hardsigmoid';

const act = {
  relu: (v: number) => Math.max(v, 0),
  silu: (v: number) => v / (1 + Math.exp(-v)),
  sigmoid: (v: number) => 1 / (1 + Math.exp(-v)),
  hardsigmoid: (v: number) => Math.min(Math.max(v / 6 + 0.5, 0), 1),
};

const [N, H, W] = [3, 7, 7];
const channels = { host: 13, slim: 9 };
const squeezed = { host: 5, slim: 3 };

/** silu(x gate + x) in f64; weights are the host's, of which the leading rows and columns count. */
function block(
  x: Float64Array,
  weights: Map<string, Float64Array>,
  width: Width,
  inner: 'relu' | 'silu',
  gate: Gate,
): Float64Array {
  const [C, S] = [channels[width], squeezed[width]];
  const layer = (name: string, rows: number[], outputs: number, columns: number) => {
    const [weight, bias] = ['weight', 'bias'].map((part) => weights.get(`se.${name}.${part}`) as Float64Array);
    return Array.from({ length: outputs }, (_, o) =>
      rows.reduce((sum, v, i) => sum + weight[o * columns + i] * v, bias[o]),
    );
  };
  const P = H * W;
  const y = new Float64Array(x.length);
  for (let n = 0; n < N; n++) {
    const plane = (c: number) => x.subarray((n * C + c) * P, (n * C + c + 1) * P);
    const means = Array.from({ length: C }, (_, c) => plane(c).reduce((sum, v) => sum + v, 0) / P);
    const hidden = layer('fc1', means, S, channels.host).map(act[inner]);
    const scale = layer('fc2', hidden, C, squeezed.host).map(act[gate]);
    for (let c = 0; c < C; c++)
      plane(c).forEach((v, p) => {
        y[(n * C + c) * P + p] = act.silu(v * scale[c] + v);
      });
  }
  return y;
}

for (const width of ['host', 'slim'] as const)
  for (const [inner, gate] of [
    ['relu', 'hardsigmoid'],
    ['silu', 'sigmoid'],
  ] as const)
    test(`${width}, ${inner} and ${gate}: forward, and its derivative along random directions`, async () => {
      const random = generator();
      const excite = squeezeExcite('se', channels, squeezed, { activation: inner, gate });
      const { parameters: declared, forward } = residual(excite, { activation: 'silu' });
      const parameters = new Parameters(device, declared, []);
      const weights = new Map(
        // of a mean that keeps hidden units alive
        declared.map(({ name, shape }) => [name, randoms(random, numel(shape), 0.3, 1 / Math.sqrt(shape[1] ?? 4))]),
      );
      for (const [name, values] of weights) parameters.write(name, values);
      const shape = [N, channels[width], H, W];
      const values = randoms(random, numel(shape), 0.3, 1);
      const slopes = randoms(random, numel(shape), 0.1, 1);
      const [x, dy] = [upload(device, 'x', shape, values), upload(device, 'dy', shape, slopes)];
      using plan = new Plan(device);
      const tape = new Tape(plan);
      const y = forward({ tape, parameters, width, training: true, updateStats: false }, tape.requireGrad(x));
      tape.backward(y, dy);
      const dx = tape.gradient(x) as Tensor;
      for (const output of [y, dx]) plan.retain(output);
      await plan.compile();
      plan.poison();
      device.write(parameters.grads, new Float32Array(parameters.size));
      plan.run();

      const exact = new Map([...weights].map(([name, of]) => [name, Float64Array.from(of)]));
      close(
        (await plan.read(y)).subarray(0, numel(shape)),
        block(Float64Array.from(values), exact, width, inner, gate),
        'y',
      );

      const loss = (input: Float64Array, of: Map<string, Float64Array>) =>
        block(input, of, width, inner, gate).reduce((sum, v, i) => sum + v * slopes[i], 0);
      const grads = new Float32Array(await device.read(parameters.grads));
      const gradients = new Map([['x', (await plan.read(dx)).subarray(0, numel(shape))]]);
      for (const { name, offset, length } of parameters.places)
        gradients.set(name, grads.subarray(offset, offset + length));
      for (const [name, gradient] of gradients)
        for (let direction = 0; direction < 3; direction++) {
          const along = randoms(random, gradient.length, 0, 1);
          const shifted = (step: number) => {
            const move = (from: Float64Array) => from.map((v, i) => v + step * along[i]);
            if (name === 'x') return loss(move(Float64Array.from(values)), exact);
            return loss(Float64Array.from(values), new Map(exact).set(name, move(exact.get(name) as Float64Array)));
          };
          const step = 1e-5;
          const numeric = (shifted(step) - shifted(-step)) / (2 * step);
          const product = gradient.reduce((sum, g, i) => sum + g * along[i], 0);
          const scale = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
          assert.ok(scale > 0, `${name} has a gradient (seed ${seed})`);
          assert.ok(
            Math.abs(product - numeric) <= 1e-4 * scale,
            `d${name}: ${product} along a direction, ${numeric} by differences (seed ${seed})`,
          );
        }
      parameters.dispose();
      for (const each of [x, dy]) device.free(each);
    });

test.run();
