// Arguments as a program without types may give them: nothing, a number, an array, a promise, a plan where a tape belongs. Whatever is
// called refuses them by its own name, before it reads or records anything, and never by a TypeError from inside.
import { inspect } from 'node:util';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SlimgradError, ValidationError } from '../../src/errors.js';
import { seed } from '../random.js';
import { type Call, device, ops, others, plan, tape, x } from './called.js';

/** What calls throw, at once or by a promise. */
async function thrownBy({ call }: Call, given: Call['given']): Promise<unknown> {
  try {
    await call(given);
    return undefined;
  } catch (thrown) {
    return thrown;
  }
}

const told = (name: string, changes: object, thrown: unknown) =>
  `${name}(${inspect(changes, { depth: 0 })}), seed ${seed}: ${(thrown as Error | undefined)?.stack ?? 'taken in silence'}`;

const nothings: readonly unknown[] = [
  undefined,
  null,
  0,
  Number.NaN,
  1n,
  '',
  'x',
  true,
  Symbol('x'),
  () => 1,
  {},
  [],
  [1, 2],
  new Float32Array(4),
  new Map(),
  Object.create(null),
  Promise.resolve(x(4)),
  { shape: [4], strides: [1] },
  { storage: {}, shape: 4 },
];
const kinds: Readonly<Record<string, unknown>> = { device, plan, tape, tensor: x(4) };

test('right arguments are taken, so that what is refused is refused for what is wrong with it', async () => {
  for (const [name, one] of Object.entries({ ...ops, ...others })) {
    const thrown = await thrownBy(one, one.given);
    // some of what is right in kind does not fit together here: a plan of no adapter does not compile
    assert.ok(thrown === undefined || thrown instanceof SlimgradError, told(name, {}, thrown));
  }
});

test('what is no tensor, tape, plan or device is refused by every op, by the name of the argument', async () => {
  let refused = 0;
  for (const [name, one] of Object.entries(ops))
    for (const key of Object.keys(one.given)) {
      const own = Object.hasOwn(kinds, key) ? key : 'tensor';
      const isNumber = ['add', 'sub', 'mul', 'div'].includes(name) && own === 'tensor';
      const isOptional = ['bias', 'own', 'targets'].includes(key);
      const swapped = Object.entries(kinds).flatMap(([kind, value]) => (kind === own ? [] : [value]));
      for (const wrong of [...nothings, ...swapped]) {
        if ((isNumber && typeof wrong === 'number') || (isOptional && wrong === undefined)) continue;
        const thrown = await thrownBy(one, { ...one.given, [key]: wrong });
        const what = told(name, { [key]: wrong }, thrown);
        assert.ok(thrown instanceof SlimgradError, what);
        assert.match(thrown.message, one.where, what);
        assert.match(thrown.message, `expected ${key}`, what);
        refused++;
      }
    }
  assert.ok(refused > 2000, `${refused} refused`);
});

test('messages say what came and what to do', async () => {
  const of = async (name: string, changes: object) => {
    const thrown = await thrownBy(ops[name], { ...ops[name].given, ...changes });
    assert.instance(thrown, ValidationError);
    return (thrown as Error).message;
  };
  assert.is(
    await of('exp', { tape: plan }),
    'exp: expected tape to be a Tape, got a Plan; new Tape(plan) makes one, and record() gives one',
  );
  assert.is(
    await of('sinkhorn', { plan: tape }),
    'sinkhorn: expected plan to be a Plan, got a Tape; new Plan(device) makes one, and a tape has one, tape.plan',
  );
  assert.is(
    await of('Plan', { device: Promise.resolve(device) }),
    'plan: expected device to be a Device, got a promise; await it',
  );
  assert.is(
    await of('conv2d', { weight: new Float32Array(4) }),
    'conv2d: expected weight to be a tensor, got Float32Array; device.tensor(shape, values) makes one',
  );
});

test('what is no encoder, module, method or file is refused by the name of what is called', async () => {
  let refused = 0;
  for (const [name, one] of Object.entries(others))
    for (const key of Object.keys(one.given))
      for (const wrong of [
        ...nothings,
        ...Object.entries(kinds).flatMap(([kind, own]) => (kind === key ? [] : [own])),
      ]) {
        const thrown = await thrownBy(one, { ...one.given, [key]: wrong });
        if (thrown === undefined) continue; // right by chance: no statistics, any function
        const what = told(name, { [key]: wrong }, thrown);
        assert.ok(thrown instanceof SlimgradError, what);
        assert.match(thrown.message, one.where, what);
        refused++;
      }
  assert.ok(refused > 1000, `${refused} refused`);
});

test('made-up arguments, several at once, are refused', async () => {
  const all: Readonly<Record<string, Call>> = { ...ops, ...others };
  const known = [
    ...nothings,
    ...Object.values(kinds),
    ...Object.values(all).flatMap(({ given }) => Object.values(given)),
  ];
  // known ones by their number: told in full, a plan would fill the report of a failure
  const value = fc.oneof(
    fc.record({ number: fc.nat(known.length - 1) }),
    fc.record({
      made: fc.anything({ withNullPrototype: true, withTypedArray: true, withBigInt: true, withMap: true }),
    }),
  );
  const made = fc.constantFrom(...Object.keys(all)).chain((name) =>
    fc.record({
      name: fc.constant(name),
      changes: fc.dictionary(fc.constantFrom(...Object.keys(all[name].given)), value, { minKeys: 1 }),
    }),
  );
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(made, async ({ name, changes }) => {
      const one = all[name];
      const given: Record<string, unknown> = { ...one.given };
      for (const [key, of] of Object.entries(changes)) given[key] = 'made' in of ? of.made : known[of.number];
      const thrown = await thrownBy(one, given);
      if (thrown === undefined) return;
      assert.ok(thrown instanceof SlimgradError, told(name, given, thrown));
      refused++;
    }),
    { numRuns: 600, seed, includeErrorInReport: true },
  );
  assert.ok(refused > 200, `${refused} refused`);
});

test.run();
