// Which adapter openDevice finds in Node, and what it says where there is none.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigError, DeviceError } from '../../src/errors.js';
import { type AdapterChoice, findAdapter, lavapipeManifest, openDevice } from '../../src/node/device/device.js';
import { throttle } from '../../src/node/device/throttle.js';
import type { Device } from '../../src/runtime/device.js';
import { openTestDevice } from '../device.js';

/** Random bytes to the device and back: an adapter that loses them is none. */
async function assertCarries(device: Device): Promise<void> {
  const sent = crypto.getRandomValues(new Uint32Array(64));
  const buffer = device.buffer('sent', sent.byteLength);
  device.write(buffer, sent);
  assert.equal(new Uint32Array(await device.read(buffer)), sent);
  device.free(buffer);
}

/** Opens a device in a process of its own, with this environment; gives its standard output. */
function openElsewhere(env: Record<string, string>): Promise<Record<string, unknown>> {
  const options = { env: { ...process.env, SLIMGRAD_ADAPTER: 'auto', ...env }, timeout: 30_000 };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [fileURLToPath(import.meta.url), 'child'], options, (error, out, err) =>
      error ? reject(new Error(`${error.message}\n${err}`)) : resolve(JSON.parse(out)),
    );
  });
}

async function child(): Promise<void> {
  const notices: string[] = [];
  const said: Record<string, unknown> = { notices };
  try {
    const device = await openDevice({ onNotice: (line) => notices.push(line) });
    await assertCarries(device);
    Object.assign(said, { name: device.name, software: device.software, drivers: process.env.VK_DRIVER_FILES });
  } catch (error) {
    Object.assign(said, { error: String(error), device: error instanceof DeviceError });
  }
  process.stdout.write(JSON.stringify(said));
}

test('the device that SLIMGRAD_ADAPTER names carries data and says what it is', async () => {
  const device = await openTestDevice();
  await assertCarries(device);
  assert.ok(device.name.length > 0);
  if (process.env.SLIMGRAD_ADAPTER === 'swiftshader') {
    assert.match(device.name, /SwiftShader/);
    assert.ok(device.software);
    assert.is(device.subgroupSize, 4);
  }
  if (process.env.SLIMGRAD_ADAPTER === 'lavapipe') {
    assert.match(device.name, /llvmpipe/);
    assert.ok(device.software);
    assert.ok(device.subgroupSize >= 4);
  }
  device.dispose();
});

test("the memory of an adapter that computes on the CPU is the machine's", async () => {
  const device = await openDevice({ adapter: 'swiftshader' });
  assert.ok(device.memory > 2 ** 28 && device.memory <= totalmem());
  device.dispose();
});

test('opening leaves VK_DRIVER_FILES as it was', async () => {
  const before = process.env.VK_DRIVER_FILES;
  for (const value of [undefined, '/some/driver.json']) {
    if (value === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = value;
    (await openDevice({ adapter: 'software' })).dispose();
    assert.is(process.env.VK_DRIVER_FILES, value);
  }
  if (before === undefined) delete process.env.VK_DRIVER_FILES;
  else process.env.VK_DRIVER_FILES = before;
});

test('devices opened at once on two drivers do not disturb each other', async () => {
  const open = () => [openTestDevice(), openDevice({ adapter: 'software' })];
  const devices = await Promise.all([...open(), ...open()]);
  assert.match(devices[1].name, /SwiftShader/);
  assert.match(devices[3].name, /SwiftShader/);
  assert.is(devices[0].name, devices[2].name);
  await Promise.all(devices.map(assertCarries));
  for (const device of devices) device.dispose();
});

test('an unknown choice is refused with the known ones', async () => {
  const error = await openDevice({ adapter: 'voodoo' as AdapterChoice }).catch((thrown) => thrown);
  assert.instance(error, ConfigError);
  assert.match(error.message, /expected one of auto, system, lavapipe, swiftshader, software, got 'voodoo'/);
});

test('a machine without a driver gets the embedded adapter, and is told so in one line', async () => {
  const said = await openElsewhere({ VK_DRIVER_FILES: '/nowhere/driver.json' });
  assert.is(said.error, undefined);
  assert.match(String(said.name), /SwiftShader/);
  assert.is(said.drivers, '/nowhere/driver.json');
  const notices = said.notices as string[];
  assert.is(notices.length, 1);
  assert.match(notices[0], /^No usable GPU driver: .*embedded software adapter[^\n]*$/);
});

test('a machine without a driver that insists on the system gets both remedies', async () => {
  const said = await openElsewhere({ VK_DRIVER_FILES: '/nowhere/driver.json', SLIMGRAD_ADAPTER: 'system' });
  assert.ok(said.device);
  assert.match(String(said.error), /npm i -D @sparticuz\/chromium@147\.0\.0\n/);
  assert.match(String(said.error), /mesa-vulkan-drivers/);
  assert.equal(said.notices, []);
});

test('the embedded adapter by name needs no notice', async () => {
  const said = await openElsewhere({ SLIMGRAD_ADAPTER: 'swiftshader' });
  assert.match(String(said.name), /SwiftShader/);
  assert.equal(said.notices, []);
});

test("the caller's own adapter is used, and the caller's own device is never destroyed", async () => {
  const choice = (process.env.SLIMGRAD_ADAPTER ?? 'auto') as AdapterChoice;
  const first = await openDevice({ adapter: (await findAdapter(choice)).adapter });
  await assertCarries(first);
  first.dispose();
  const own = await (await findAdapter(choice)).adapter.requestDevice();
  const device = await openDevice({ device: own });
  await assertCarries(device);
  device.dispose();
  const again = await openDevice({ device: own });
  await assertCarries(again);
  again.dispose();
  own.destroy();
});

test("lavapipe's manifest is found under any of its names, and nothing else is", () => {
  const root = mkdtempSync(join(tmpdir(), 'slimgrad-icd-'));
  try {
    for (const name of ['a', 'b']) mkdirSync(join(root, name));
    writeFileSync(join(root, 'a', 'radeon_icd.json'), '{}');
    const folders = ['missing', 'a', 'b'].map((name) => join(root, name));
    assert.is(lavapipeManifest(folders), undefined);
    writeFileSync(join(root, 'b', 'lvp_icd.x86_64.json'), '{}');
    assert.is(lavapipeManifest(folders), join(root, 'b', 'lvp_icd.x86_64.json'));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test('a throttled wait gives the value or the reason, and lets the loop rest meanwhile', async () => {
  assert.is(await throttle(Promise.resolve(5)), 5);
  const reason = await throttle(Promise.reject(new Error('on purpose'))).catch((error) => error);
  assert.is(reason.message, 'on purpose');
  let turns = 0;
  let spinning = true;
  const spin = () => {
    turns++;
    if (spinning) setImmediate(spin);
  };
  setImmediate(spin);
  const waits = [1, 2, 3].map((value) => throttle(new Promise<number>((resolve) => setTimeout(resolve, 100, value))));
  assert.equal(await Promise.all(waits), [1, 2, 3]);
  spinning = false;
  // A free loop turns tens of thousands of times; a rested one once a millisecond, after a short spin.
  assert.ok(turns < 3000, `${turns} turns in 100 ms`);
});

if (process.argv[2] === 'child') await child();
else test.run();
