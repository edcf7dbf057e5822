import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import { DataError } from '../../src/errors.js';
import { f32, writeSafetensors } from '../../src/formats/safetensors.js';
import { openTeacher } from '../../src/node/run/teacher_file.js';
import type { Device } from '../../src/runtime/device.js';
import { openTestDevice } from '../device.js';
import { initialState } from '../made_up.js';
import { rejects } from '../rejects.js';

let device: Device;
const folder = mkdtempSync(join(tmpdir(), 'slimgrad-teacher-'));
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => {
  device.dispose();
  rmSync(folder, { recursive: true });
});

const learning = (teacher: string) => parseConfig({ data: 'photos', method: 'seed', teacher });

test("a teacher is a run folder's slim encoder, or the encoder in a file", async () => {
  const config = parseConfig({ data: 'photos', method: 'sacl_xd', width: 0.125, blocks: '64/2' });
  for (const part of ['slim', 'host'] as const) {
    const state = await initialState(device, config, part);
    const tensors = [...state].map(([name, t]) => [name, f32(t.shape, t.data)] as const);
    const about = { format: 'slimgrad encoder 1', part, step: '0', config: JSON.stringify(config) };
    writeFileSync(join(folder, `${part}.safetensors`), writeSafetensors(tensors, about));
  }
  for (const [path, features] of [
    [folder, 8],
    [join(folder, 'host.safetensors'), 12],
  ] as const) {
    const teacher = await openTeacher(learning(path), device);
    assert.is(teacher?.features, features);
    teacher?.dispose();
  }
  assert.is(await openTeacher(parseConfig({ data: 'photos' }), device), undefined);
});

test('a teacher that is missing, or no encoder, is refused by the name of its setting', async () => {
  const missing = join(folder, 'missing');
  await rejects(
    () => openTeacher(learning(missing), device),
    DataError,
    /^teacher \(--teacher\): cannot read .*missing/,
  );
  const broken = join(folder, 'broken.safetensors');
  writeFileSync(broken, 'not an encoder');
  await rejects(
    () => openTeacher(learning(broken), device),
    DataError,
    /^teacher \(--teacher\): .*broken\.safetensors/,
  );
});

test.run();
