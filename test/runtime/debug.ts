// What debug levels print, and that nothing is printed without one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ConfigError } from '../../src/errors.js';
import { log, mul } from '../../src/ops/elementwise.js';
import { Debug } from '../../src/runtime/debug.js';
import { describe } from '../../src/runtime/describe.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { openTestDevice } from '../device.js';
import { rejects } from '../rejects.js';

/** Opens a device with the environment's SLIMGRAD_DEBUG as given, and takes what goes to the standard error by console.error. */
async function opened(level: string | undefined, use: (device: Device) => Promise<void>): Promise<string[]> {
  const printed: string[] = [];
  const [before, write] = [process.env.SLIMGRAD_DEBUG, console.error];
  if (level === undefined) delete process.env.SLIMGRAD_DEBUG;
  else process.env.SLIMGRAD_DEBUG = level;
  console.error = (text: string) => printed.push(text);
  try {
    const device = await openTestDevice();
    try {
      await use(device);
    } finally {
      device.dispose();
    }
  } finally {
    console.error = write;
    if (before === undefined) delete process.env.SLIMGRAD_DEBUG;
    else process.env.SLIMGRAD_DEBUG = before;
  }
  return printed;
}

/** A plan of a clear and three dispatches. */
async function run(device: Device): Promise<void> {
  const plan = new Plan(device, { label: 'step' });
  const tape = new Tape(plan);
  const x = device.tensor([2, 3], [1, 2, 3, 4, 5, 6], { label: 'x' });
  const grads = device.buffer('grads', 64);
  plan.clear({ storage: grads, offset: 16, bytes: 32 });
  const y = plan.phase('forward', () => mul(tape, log(tape, x), tape.accumulate(x, x)));
  plan.retain(y);
  await plan.compile();
  plan.run();
  assert.ok((await plan.read(y)).every(Number.isFinite));
  plan.dispose();
}

test('level 1 prints a compiled plan, a line a command', async () => {
  const [text, ...more] = await opened('1', run);
  assert.equal(more, []);
  const [head, ...lines] = text.split('\n');
  assert.match(head, /^step: 4 commands, 3 dispatches of \d pipelines, 3 slots in \d+ bytes$/);
  assert.is(lines.length, 4);
  assert.is(lines[0], '  0  clear  writes "grads" 32 B of buffer grads from byte 16');
  assert.match(
    lines[1],
    /^ {2}1 {2}forward {2}elementwise\.\w+ {2}\(1, 1, 1\) {2}reads x4: "x" \(2, 3\) \d+ B of buffer x {2}writes y4: "log\.y" \(2, 3\) 24 B of slot log\.y in step\.memory\d$/,
  );
  assert.match(lines[2], /add\.forward .*reads a: "x" .*, b: "x" .* writes y: "add\.y" \(2, 3\)/);
  assert.match(lines[3], /reads .*"log\.y" .*"add\.y" .*writes .*"mul\.y" \(2, 3\)/);
});

test('a plan can be described before it is compiled, and by variant', async () => {
  using device = await openTestDevice();
  const plan = new Plan(device);
  const tape = new Tape(plan);
  plan.choose('mine.forward', [{ name: 'plain' }], () => void log(tape, device.tensor([4], 1)));
  assert.match(describe(plan), /\[plain\] .*writes y4: "log\.y" \(4\) 16 B of slot log\.y$/m);
});

test('level 2 prints plans, too; level 3 also the WGSL of each pipeline, once, as it is compiled', async () => {
  assert.is((await opened('2', run)).length, 1);
  const printed = await opened('3', async (device) => {
    await run(device);
    await run(device);
  });
  assert.is(printed.filter((text) => text.startsWith('step: ')).length, 2);
  const codes = printed.filter((text) => text.startsWith('WGSL of '));
  assert.is(codes.length, 6, codes.map((text) => text.split('\n')[0]).join()); // of which 3 look for what is not finite
  assert.is(new Set(codes).size, codes.length);
  const added = codes.find((text) => text.startsWith('WGSL of add.forward:\n')) ?? '';
  const lines = added.split('\n').slice(1);
  assert.ok(lines.length > 10);
  lines.forEach((line, i) => {
    assert.is(Number.parseInt(line, 10), i + 1);
  });
  assert.match(added, /\d fn forward\(/);
});

test('level 3 shows constants as they are set, and the header of f16', async () => {
  let half = false;
  const codes = await opened('3', async (device) => {
    half = device.features.has('shader-f16');
    const x = device.tensor([4], [1, 2, 3, 4], half ? { dtype: 'f16' } : {});
    using plan = new Plan(device);
    mul(new Tape(plan), x, x);
    await plan.compile();
    assert.is(plan.dispatches[0].half, half);
  });
  const [code] = codes.filter((text) => text.startsWith('WGSL of elementwise.'));
  assert.match(code, /const OP: u32 = 2;/);
  assert.is(/^ *1 enable f16; /m.test(code), half);
});

test('no level, level 0 and an empty one print nothing', async () => {
  for (const level of [undefined, '', '0'])
    assert.equal(
      await opened(level, async (device) => {
        assert.is(device.debug, undefined);
        await run(device);
      }),
      [],
    );
});

test('what is no level is refused by the name of who gave it', async () => {
  for (const level of ['4', 'yes', '1.5', '-1'])
    await rejects(
      () => opened(level, async () => undefined),
      ConfigError,
      new RegExp(`^SLIMGRAD_DEBUG: expected one of 0, 1, 2, 3, got ${level}`),
    );
  for (const level of [0, 4, '1'] as never[])
    await rejects(() => new Debug(level), ConfigError, /^debug: level: expected one of 1, 2, 3, got/);
  const refused = /^openDevice: expected debug to be (an object|a Debug), got (2|Object; new Debug\(2\) makes one)$/;
  for (const debug of [2, {}] as never[]) await rejects(() => openTestDevice({ debug }), ConfigError, refused);
});

test('the option wins over the environment', async () => {
  const own: string[] = [];
  const printed = await opened('2', async () => {
    using device = await openTestDevice({ debug: new Debug(1, (text) => own.push(text)) });
    await run(device);
  });
  assert.equal([printed.length, own.length], [0, 1]);
});

test.run();
