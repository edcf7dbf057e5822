// Options as a program without types may give them: misspelled, of another kind, or out of range. Whatever takes options refuses them
// by its own name and the option's, before it records, allocates or opens anything.
import { inspect } from 'node:util';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters, parameter } from '../../src/core/parameters.js';
import { record } from '../../src/core/record.js';
import { Tape } from '../../src/core/tape.js';
import { openCifar } from '../../src/data/cifar.js';
import { holdOut } from '../../src/data/split.js';
import { ConfigError, DataError, ShapeError, ValidationError } from '../../src/errors.js';
import { correlation } from '../../src/metrics/correlation.js';
import { pca } from '../../src/metrics/pca.js';
import { conv2d } from '../../src/ops/conv2d.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { transient } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { seed } from '../random.js';
import { rejects } from '../rejects.js';
import type { Door } from './door.js';
import { learned } from './learned.js';
import { opened } from './opened.js';
import { recorded } from './recorded.js';

const doors: Readonly<Record<string, Door>> = { ...recorded, ...opened, ...learned };

let device: Device;
let parameters: Parameters;
test.before(async () => {
  device = await openTestDevice();
  parameters = new Parameters(device, [parameter('w', [4, 4], () => 1)], []);
});
test.after(() => {
  parameters.dispose();
  device.dispose();
});

/** Calls a door; what it throws. What a wrong one recorded or wrote is thrown away. */
async function thrownBy({ call }: Door, options: unknown): Promise<Error | undefined> {
  const plan = new Plan(device);
  try {
    await call({ plan, device, parameters }, options);
    return undefined;
  } catch (thrown) {
    return thrown as Error;
  } finally {
    plan.dispose();
  }
}

const kinds = [ConfigError, ShapeError, DataError, ValidationError];

async function expectRefused(name: string, options: unknown, told: RegExp): Promise<void> {
  const thrown = await thrownBy(doors[name], options);
  const what = `${name}(${inspect(options)}), seed ${seed}: ${thrown?.message}`;
  assert.ok(
    kinds.some((kind) => thrown instanceof kind),
    `${what}: ${thrown?.stack ?? 'taken in silence'}`,
  );
  assert.match((thrown as Error).message, doors[name].where, what);
  assert.match((thrown as Error).message, told, what);
}

test('options that are none, or of which one is not known, are refused by every function that takes them', async () => {
  for (const [name, { options }] of Object.entries(doors)) {
    for (const none of [null, 1, 'text', true, [], [1]])
      await expectRefused(name, none, /expected (options \{ \w|\w+ to be an object)/);
    for (const key of Object.keys(options)) {
      const misspelled = `${key}s`;
      await expectRefused(
        name,
        { [misspelled]: 1 },
        new RegExp(`unknown option '${misspelled}': did you mean '\\w+'\\?`),
      );
    }
    await expectRefused(name, { unheardOfEverywhere: 1 }, /unknown option 'unheardOfEverywhere': expected one of \w/);
  }
});

const wrong: readonly unknown[] = [
  null,
  '1',
  '',
  'none such',
  -1,
  -0.5,
  0,
  0.5,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  true,
  {},
  [],
  () => 1,
];

test('values of another kind or out of range are refused by name, every one of every option', async () => {
  let refused = 0;
  for (const [name, { options }] of Object.entries(doors))
    for (const [key, fits] of Object.entries(options))
      for (const value of wrong) {
        if (fits(value)) continue;
        refused++;
        await expectRefused(name, { [key]: value }, new RegExp(`${key}|precision|resizing|padding|images of|sides`));
      }
  assert.ok(refused > 1000, `${refused} refused`);
});

test('made-up options are refused or right', async () => {
  const made = fc.constantFrom(...Object.keys(doors)).chain((name) =>
    fc.record({
      name: fc.constant(name),
      options: fc.dictionary(
        fc.oneof(fc.constantFrom(...Object.keys(doors[name].options)), fc.string({ minLength: 1, maxLength: 8 })),
        fc.oneof(fc.constantFrom(...wrong), fc.integer(), fc.double(), fc.string(), fc.object({ maxDepth: 1 })),
        { minKeys: 1, maxKeys: 3 },
      ),
    }),
  );
  await fc.assert(
    fc.asyncProperty(made, async ({ name, options }) => {
      const known = doors[name].options;
      const isRight = Object.entries(options).every(([key, value]) => {
        if (value === undefined && Object.hasOwn(known, key)) return true;
        return Object.hasOwn(known, key) && known[key](value);
      });
      // several that are right by themselves need not go together
      if (!isRight) await expectRefused(name, options, /./);
    }),
    { numRuns: 400, seed, includeErrorInReport: true },
  );
  await device.settled();
});

test('variants of a kind that nothing chooses by are refused when the plan is compiled', async () => {
  const compiled = async (variants: Record<string, string>) => {
    using plan = new Plan(device, { variants });
    conv2d(new Tape(plan), transient(plan, 'x', [2, 4, 6, 6]), transient(plan, 'w', [5, 4, 3, 3]));
    await plan.compile();
  };
  await rejects(
    () => compiled({ 'conv2d.foward': 'plain' }),
    ConfigError,
    /^plan: variants: no recorded choice matches 'conv2d\.foward': did you mean 'conv2d\.forward'\?/,
  );
  await rejects(
    () => compiled({ sinkhorn: 'plain' }),
    ConfigError,
    /'sinkhorn': expected one of conv2d\.forward, conv2d/,
  );
  await rejects(
    () => compiled({ conv2d: 3 as unknown as string }),
    ConfigError,
    /^plan: variants: expected the name of a variant for 'conv2d', got 3/,
  );
  await rejects(
    () => record(device, () => undefined, { variants: { add: 'plain' } }),
    ConfigError,
    /^step: variants: no recorded choice matches 'add': it has no op with variants$/,
  );
  for (const right of ['conv2d', 'conv2d.forward', 'conv2d.forward 1', 'of another version 7'])
    await compiled({ [right]: 'plain' });
});

test('numbers and names beside the options are refused as these are', async () => {
  const rows = Float32Array.of(1, 2, 3, 4);
  for (const count of [0, -1, 1.5, Number.NaN])
    await rejects(() => pca(rows, 2, count), ShapeError, /^pca: expected a whole number of components/);
  for (const most of [0, Number.NaN])
    await rejects(() => correlation(rows, rows, 2, most), ShapeError, /^correlation: expected at least 1 column/);
  await rejects(() => openCifar('cifar' as 'cifar10', 'c', []), ConfigError, /^openCifar: variant: .*, got cifar$/);
  const source = {
    name: 's',
    length: 8,
    images: 1 as const,
    load: async () => ({ width: 1, height: 1, pixels: new Uint8Array(4) }),
  };
  for (const seed of [-1, 1.5, Number.NaN])
    await rejects(() => holdOut(source, 0.5, seed), DataError, /^s: expected a seed that is a whole number/);
});

test.run();
