import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { create } from 'webgpu';
import { doctor } from '../../src/node/device/doctor.js';
import { openTestDevice } from '../device.js';

test('the adapter at hand is well, and the report says what it is', async () => {
  const device = await openTestDevice();
  const report = await doctor();
  assert.is(report.problem, undefined);
  assert.ok(report.ok);
  assert.is(report.name, device.name);
  assert.ok(report.limits.maxStorageBuffersPerShaderStage >= 8);
  assert.ok(report.features.includes('subgroups'));
  for (const part of [device.name, 'subgroup sizes: ', 'maxBufferSize: ', 'OK: '])
    assert.ok(report.text.includes(part), `${part} is missing in\n${report.text}`);
  device.dispose();
});

test('an adapter that computes nothing is found out', async () => {
  const instance = create(['backend=null']);
  const adapter = (await instance.requestAdapter()) as GPUAdapter;
  assert.ok(adapter, 'Dawn has a null backend');
  const report = await doctor({ adapter });
  assert.not.ok(report.ok);
  assert.match(report.text, /NOT WELL: the mean of plane 0 should be/);
  assert.is((await instance.requestAdapter())?.info.device, adapter.info.device);
});

test('what keeps a device from opening stands in the report', async () => {
  const report = await doctor({ adapter: 'voodoo' as 'auto' });
  assert.not.ok(report.ok);
  assert.is(report.name, undefined);
  assert.match(report.problem ?? '', /expected one of auto, system, .* got 'voodoo'/);
});

test.run();
