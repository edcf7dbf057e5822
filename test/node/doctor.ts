import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { create } from 'webgpu';
import { doctor } from '../../src/node/device/doctor.js';
import { openTestDevice } from '../device.js';
import { buildCli } from './build_cli.js';

let cli: Awaited<ReturnType<typeof buildCli>>;
test.before(async () => {
  cli = await buildCli();
});
test.after(() => cli.remove());

test('the adapter at hand is well, and the report says what it is', async () => {
  const device = await openTestDevice();
  const report = await doctor();
  assert.is(report.problem, undefined);
  assert.ok(report.ok);
  assert.is(report.name, device.name);
  assert.ok(report.limits.maxStorageBuffersPerShaderStage >= 8);
  assert.ok(report.features.includes('subgroups'));
  const { chosen, speed, versions } = report;
  assert.ok(chosen && speed);
  assert.is(chosen.driver, device.info.description);
  assert.is(chosen.software, device.software);
  assert.ok(chosen.subgroupSizes && chosen.subgroupSizes[0] >= 4);
  assert.ok(speed.matmulGflops > 0.1 && Number.isFinite(speed.matmulGflops), `${speed.matmulGflops} GFLOP/s`);
  assert.ok(speed.copyGbps > 0.1 && Number.isFinite(speed.copyGbps), `${speed.copyGbps} GB/s`);
  const { version } = JSON.parse(readFileSync('node_modules/webgpu/package.json', 'utf8'));
  assert.is(versions.webgpu, version);
  assert.is(versions.slimgrad, JSON.parse(readFileSync('package.json', 'utf8')).version);
  assert.is(versions.runtime, `Node ${process.versions.node}`);
  const parts = [device.name, versions.slimgrad, version, 'subgroup sizes', 'maxBufferSize', 'GFLOP/s', 'GB/s', 'OK: '];
  for (const part of [...parts, ...report.dawn])
    assert.ok(report.text.includes(part), `${part} is missing in\n${report.text}`);
  for (const line of report.text.split('\n'))
    assert.ok(line.length <= 100 || report.dawn.includes(line.trim()), `${line.length} columns: ${line}`);
  device.dispose();
});

test('an adapter that computes nothing is found out', async () => {
  const instance = create(['backend=null']);
  const adapter = (await instance.requestAdapter()) as GPUAdapter;
  assert.ok(adapter, 'Dawn has a null backend');
  const report = await doctor({ adapter });
  assert.not.ok(report.ok);
  assert.is(report.speed, undefined);
  assert.match(report.text, /FAILED: the mean of plane 0 should be/);
  assert.is((await instance.requestAdapter())?.info.device, adapter.info.device);
});

test('what keeps a device from opening stands in the report', async () => {
  const report = await doctor({ adapter: 'voodoo' as 'auto' });
  assert.not.ok(report.ok);
  assert.is(report.name, undefined);
  assert.match(report.problem ?? '', /expected one of auto, system, .* got 'voodoo'/);
});

/** What the command line prints with a pipe for its standard error, as a shell makes one: Node makes sockets. */
function slimgrad(args: string, env: Record<string, string>): Promise<{ out: string; err: string; code: number }> {
  const command = `{ '${process.execPath}' '${cli.file}' ${args} 2>&1 >&3 | cat >&2; exit \${PIPESTATUS[0]}; } 3>&1`;
  return new Promise((resolve) => {
    execFile('bash', ['-c', command], { env: { ...process.env, ...env } }, (error, out, err) =>
      resolve({ out, err, code: error ? Number(error.code) : 0 }),
    );
  });
}

const keys = [
  'ok',
  'problem',
  'versions',
  'name',
  'chosen',
  'speed',
  'adapters',
  'features',
  'limits',
  'notices',
  'dawn',
];

test('the command prints JSON of the same keys whatever it finds, and what Dawn prints only in it', async () => {
  const { out, err, code } = await slimgrad('doctor --json', {});
  assert.equal([err, code], ['', 0]);
  const report = JSON.parse(out);
  assert.equal(Object.keys(report), keys);
  assert.ok(report.ok && report.speed.matmulGflops > 0 && report.limits.maxBufferSize > 0);

  const none = await slimgrad('doctor --json', { SLIMGRAD_ADAPTER: 'system', VK_DRIVER_FILES: '/nowhere/driver.json' });
  assert.equal([none.err, none.code], ['', 1]);
  const failed = JSON.parse(none.out);
  assert.equal(Object.keys(failed), keys);
  assert.equal([failed.ok, failed.name, failed.chosen, failed.speed], [false, null, null, null]);
  assert.ok(
    failed.dawn.some((line: string) => /vkCreateInstance|no drivers/i.test(line)),
    failed.dawn.join('\n'),
  );
  assert.match(failed.problem, failed.dawn[0]);
});

test('a command that trains or evaluates prints nothing of Dawn, and still its own errors', async () => {
  const { err, code } = await slimgrad('embed no-such-folder --weights no-such-file', {});
  assert.is(code, 1);
  assert.match(err, /^slimgrad: [^\n]*no-such-f[^\n]*\n$/);
});

test.run();
