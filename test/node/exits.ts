// However a process ends, with GPU work under way or not, it ends by itself, at once, and with the right code.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { openDevice } from '../../src/node/device/device.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { tensor } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';

/** Submits some tens of milliseconds of work. */
async function startWork(device: Device): Promise<Plan> {
  const n = 1 << 20;
  const plan = new Plan(device);
  const tape = new Tape(plan);
  let y = tensor(device.buffer('x', 4 * n), 'x', [n]);
  for (let i = 0; i < 12; i++) y = tape.accumulate(y, y);
  plan.retain(y);
  await plan.compile();
  plan.run();
  return plan;
}

interface Way {
  readonly code: number;
  readonly how: (device: Device) => unknown;
}
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const ways: Readonly<Record<string, Way>> = {
  'after dispose': { code: 0, how: (device) => device.settled().then(() => device.dispose()) },
  'without dispose': { code: 0, how: (device) => device.settled() },
  'with work pending': { code: 0, how: () => undefined },
  'disposed with work pending': { code: 0, how: (device) => device.dispose() },
  'disposed while a wait is pending': {
    code: 0,
    how: async (device) => {
      const wait = device.settled().catch(() => undefined);
      device.dispose();
      await wait;
    },
  },
  'with an exit code': {
    code: 3,
    how: (device) => {
      process.exitCode = 3;
      return device.settled();
    },
  },
  'by process.exit with work pending': { code: 7, how: () => process.exit(7) },
  'by process.exit while a wait is pending': {
    code: 7,
    how: (device) => {
      device.settled();
      process.exit(7);
    },
  },
  'by process.exit when idle': { code: 7, how: (device) => device.settled().then(() => process.exit(7)) },
  'by a throw': {
    code: 1,
    how: () => {
      throw new Error('on purpose');
    },
  },
  'by a throw in a callback': {
    code: 1,
    how: async (device) => {
      setImmediate(() => {
        throw new Error('on purpose');
      });
      await device.settled();
      await pause(1000);
    },
  },
  'by an unhandled rejection': {
    code: 1,
    how: (device) => {
      Promise.reject(new Error('on purpose'));
      return device.settled();
    },
  },
  'after many devices, half of them disposed': {
    code: 0,
    how: async (first) => {
      first.dispose();
      for (let i = 0; i < 4; i++) {
        const device = await openDevice({ onNotice: () => undefined });
        const buffer = device.buffer('y', 64);
        await device.read(buffer);
        if (i % 2 === 0) device.dispose();
      }
    },
  },
  'after garbage collections': {
    code: 0,
    how: async (device) => {
      await device.settled();
      for (let i = 0; i < 10; i++) {
        (globalThis as { gc?: () => void }).gc?.();
        await pause(2);
      }
      const buffer = device.buffer('z', 64);
      await device.read(buffer);
    },
  },
};

async function child(name: string): Promise<void> {
  const device = await openTestDevice();
  await startWork(device);
  await ways[name].how(device);
}

function end(name: string): Promise<{ code: number | string | undefined; err: string }> {
  const args = ['--expose-gc', fileURLToPath(import.meta.url), name];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: 30_000 }, (error, _, err) => {
      resolve({ code: error ? (error.signal ?? error.code ?? undefined) : 0, err });
    });
  });
}

const chosen = process.argv[2];
if (chosen) await child(chosen);
else {
  for (const [name, { code }] of Object.entries(ways))
    test(`a process ends ${name}`, async () => {
      for (const ended of await Promise.all([end(name), end(name)])) {
        assert.is(ended.code, code, ended.err);
        if (code !== 0 && code !== 1) assert.not.match(ended.err, /Error/);
        if (code === 1) assert.match(ended.err, /on purpose/);
      }
    });
  test.run();
}
