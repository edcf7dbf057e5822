// Writes encoder files as runs do, one of each kind, and beside each images with the features that we make of them.
//
//   node build/test/interop/write.mjs FOLDER
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type EncoderName, encoderNames } from '../../src/config/encoders.js';
import { parseConfig } from '../../src/config/settings.js';
import type { Width } from '../../src/core/parameters.js';
import { f32, writeSafetensors } from '../../src/formats/safetensors.js';
import { writeEncoder } from '../../src/inference/encoder_file.js';
import { encoderOf } from '../../src/inference/run_file.js';
import { openTestDevice } from '../device.js';
import { ofRun } from '../of_run.js';
import { generator } from '../random.js';
import { features, randomInput, trained } from '../train/trained.js';

interface Kind {
  encoder: EncoderName;
  part: Width;
  settings: Record<string, unknown>;
}

/** Of every encoder the published width, and a host of it where that is another network; small and large images. */
const kinds: readonly Kind[] = [
  ...encoderNames.map((encoder): Kind => ({ encoder, part: 'slim', settings: { imageSize: 72 } })),
  ...encoderNames.map((encoder): Kind => ({ encoder, part: 'host', settings: { imageSize: 32, width: 0.25 } })),
  { encoder: 'mobilenet_v1', part: 'slim', settings: { imageSize: 32, width: 0.25, blocks: '64/1 128/2' } },
];

const folder = process.argv[2];
const random = generator();
const device = await openTestDevice();
for (const [i, { encoder, part, settings }] of kinds.entries()) {
  const config = parseConfig({ data: 'made up', encoder, ratio: 1.5, projector: 16, ...settings });
  const network = encoderOf(config, part);
  const state = await trained(device, random, network, config.imageSize);
  const input = randomInput(random, 2, config.imageSize);
  const rows = await features(device, network, state, input);
  const check = [
    ['images', f32(input.shape, input.images)],
    ['features', f32([2, network.features.host], rows)],
  ] as const;
  writeFileSync(join(folder, `${i}.safetensors`), writeEncoder({ ...ofRun(config, state, part), step: 20 }));
  writeFileSync(join(folder, `${i}.check`), writeSafetensors(check));
}
device.dispose();
