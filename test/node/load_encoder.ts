import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import { writeEncoder } from '../../src/inference/encoder_file.js';
import { loadEncoder } from '../../src/node/run/load_encoder.js';
import { openTestDevice } from '../device.js';
import { initialState } from '../made_up.js';
import { ofRun } from '../of_run.js';
import { inFolder } from '../outside.js';

test('a loaded encoder is freed where its scope ends', async () => {
  const device = await openTestDevice();
  const config = parseConfig({ data: 'made up', imageSize: 16, width: 0.125, blocks: '64/1', projector: 8 });
  await inFolder(async (folder) => {
    const file = join(folder, 'slim.safetensors');
    writeFileSync(file, writeEncoder(ofRun(config, await initialState(device, config, 'slim'))));
    const before = device.allocated;
    const encoder = await loadEncoder(file, { device });
    assert.ok(device.allocated > before);
    encoder[Symbol.dispose]();
    assert.is(device.allocated, before);
  });
  device.dispose();
});

test.run();
