// Tensors that are taken out of a network's memory and put back: what was loaded is what was saved, and nothing else moves.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { sliceModes } from '../../src/core/channel_selection.js';
import { bnModes, Parameters, parameter, type Slicing } from '../../src/core/parameters.js';
import type { Tensors } from '../../src/core/state.js';
import { mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { DataError, ShapeError, ValidationError } from '../../src/errors.js';
import { sequential } from '../../src/nn/module.js';
import { projector } from '../../src/nn/projector.js';
import type { Device } from '../../src/runtime/device.js';
import { numel } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();
const encoder = mobilenetV1({
  width: 0.25,
  ratio: 1.5,
  stemStride: 1,
  blocks: [
    [64, 1],
    [128, 2],
  ],
});
const whole = sequential(encoder, projector(encoder.features, 10));
const make = (slicing: Slicing = {}) => new Parameters(device, whole.parameters, whole.statistics, slicing);

/** Fills all but the index lists anew. */
function fill(parameters: Parameters): void {
  for (const [name, shape] of parameters.shapes)
    if (!name.startsWith('kept.')) parameters.write(name, randoms(random, numel(shape)));
}

const plain = (state: Tensors) => [...state].map(([name, { shape, data }]) => [name, [...shape], [...data]]);

for (const bn of bnModes)
  for (const slice of sliceModes)
    for (const width of ['host', 'slim'] as const)
      test(`a state that is loaded is the state that was saved, and no other number moves: ${bn}, ${slice}, ${width}`, async () => {
        using parameters = make({ bn, slice });
        fill(parameters);
        await parameters.select();
        const saved = await parameters.state(encoder, width);
        fill(parameters);
        const before = await parameters.read();
        await parameters.loadState(encoder, width, saved);
        assert.equal(plain(await parameters.state(encoder, width)), plain(saved), `seed ${seed}`);
        const after = await parameters.read();
        let [moved, slots] = [0, 0];
        for (const [name, { data }] of before) {
          const now = after.get(name)?.data as Float32Array;
          moved += data.reduce((count, value, i) => count + (value === now[i] ? 0 : 1), 0);
        }
        for (const { data } of saved.values()) slots += data.length;
        assert.ok(moved <= slots && moved > 0.9 * slots, `${moved} numbers moved, ${slots} were loaded, seed ${seed}`);
      });

test('two states at once are refused, and the first is loaded', async () => {
  using parameters = make();
  fill(parameters);
  const saved = await parameters.state(encoder, 'slim');
  fill(parameters);
  const first = parameters.loadState(encoder, 'slim', saved);
  await rejects(
    () => parameters.loadState(encoder, 'slim', saved),
    ValidationError,
    /^parameters: loadState\(\) while another is pending/,
  );
  await first;
  assert.equal(plain(await parameters.state(encoder, 'slim')), plain(saved), `seed ${seed}`);
});

test('all that was read is loaded into another network, index lists too', async () => {
  for (const slice of sliceModes) {
    using parameters = make({ slice });
    using other = make({ slice });
    fill(parameters);
    await parameters.select();
    other.load(await parameters.read());
    assert.equal(plain(await other.read()), plain(await parameters.read()), `${slice}, seed ${seed}`);
  }
});

test('what does not fit is listed as a whole, and nothing is written', async () => {
  using parameters = make({ slice: 'l1' });
  fill(parameters);
  const right = await parameters.read();
  const [first, second, third] = [...right.keys()];
  const wrong: Tensors = new Map(right);
  const { shape, data } = right.get(second) as { shape: readonly number[]; data: Float32Array };
  wrong.delete(first);
  wrong.set(second, { shape: [1, ...shape], data });
  wrong.set(third, {
    ...(right.get(third) as { shape: readonly number[] }),
    data: new Float32Array(3).fill(Number.NaN),
  });
  wrong.set('more', { shape: [1], data: new Float32Array(1) });
  const listed = (what: string) =>
    new RegExp(
      `^${what}: its tensors do not fit: ${first} is missing; ${second} is F32 \\(1, .*; ${third} .*more is not`,
    );
  await rejects(() => parameters.load(wrong), DataError, listed('parameters'));
  await rejects(() => parameters.load(wrong, 'mine.safetensors'), DataError, listed('mine\\.safetensors'));
  const infinite = new Map(right).set(second, { shape, data: new Float32Array(data.length).fill(Infinity) });
  await rejects(() => parameters.load(infinite), DataError, new RegExp(`${second} holds a NaN or infinity$`));
  const doubles = new Map(right).set(second, { shape, data: Float64Array.from(data) as unknown as Float32Array });
  await rejects(() => parameters.load(doubles), DataError, new RegExp(`${second} is Float64Array \\(.*expected F32`));
  const kept = [...right.keys()].find((name) => name.startsWith('kept.')) as string;
  const list = right.get(kept) as { shape: readonly number[]; data: Float32Array };
  const falling = new Map(right).set(kept, { ...list, data: list.data.toReversed() });
  await rejects(() => parameters.load(falling), DataError, /^kept\..*rising numbers/);
  assert.equal(plain(await parameters.read()), plain(right));

  for (const width of ['host', 'slim'] as const) {
    const state = await parameters.state(encoder, width);
    const [name] = state.keys();
    const without = new Map(state);
    without.delete(name);
    await rejects(
      () => parameters.loadState(encoder, width, without),
      DataError,
      new RegExp(`^state of the ${width} encoder: its tensors do not fit: ${name} is missing$`),
    );
  }
  const host = await parameters.state(encoder, 'host');
  await rejects(
    () => parameters.loadState(encoder, 'slim', host),
    DataError,
    /\.weight is F32 \(12, 3, 3, 3\), expected F32 \(8, 3, 3, 3\)/,
  );
  assert.equal(plain(await parameters.read()), plain(right));
  await rejects(
    () => parameters.write(first, [1] as unknown as Float32Array),
    ValidationError,
    /expected a Float32Array for/,
  );
});

test('a parameter has sides, and its slice lies in it', async () => {
  const one = () => 1;
  for (const side of [0, -1, 1.5, Number.NaN, '3' as unknown as number])
    await rejects(() => parameter('w', [2, side], one), ShapeError, /^w: expected sides that are whole/);
  await rejects(() => parameter('w', [{ host: 2, slim: 3 }], one), ShapeError, /^w: expected a slim side of at most/);
});

test.run();
