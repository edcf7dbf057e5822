// What --weights names: a file, or a run folder and which encoder of it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import { ConfigError, DataError } from '../../src/errors.js';
import { writeEncoder } from '../../src/inference/encoder_file.js';
import { encoderOf } from '../../src/inference/run_file.js';
import { shapesOf } from '../../src/inference/state_dict.js';
import { classifierFile, readWeights } from '../../src/node/system/weights_file.js';
import { numel } from '../../src/tensor/tensor.js';
import { ofRun } from '../of_run.js';
import { inFolder } from '../outside.js';
import { rejects } from '../rejects.js';

/** The bytes of a small encoder's file, as the host or as the slim encoder of a run. */
function encoderBytes(part: 'host' | 'slim'): Uint8Array {
  const config = parseConfig({ data: 'made up', imageSize: 16, width: 0.125, blocks: '64/1', projector: 8 });
  const shapes = shapesOf(encoderOf(config, part));
  const state = new Map(Array.from(shapes, ([name, shape]) => [name, { shape, data: new Float32Array(numel(shape)) }]));
  return writeEncoder(ofRun(config, state, part));
}

test('a run folder stands for its slim encoder, or for the one that --part names', () =>
  inFolder(async (folder) => {
    for (const part of ['host', 'slim'] as const)
      writeFileSync(join(folder, `${part}.safetensors`), encoderBytes(part));
    for (const [part, expected] of [
      [undefined, 'slim'],
      ['slim', 'slim'],
      ['host', 'host'],
    ] as const) {
      const { weights, encoder } = await readWeights(folder, part);
      assert.equal([weights, encoder.part], [join(folder, `${expected}.safetensors`), expected]);
    }
  }));

test('a folder without the weights that are asked for is refused by what it has', () =>
  inFolder(async (folder) => {
    await rejects(
      () => readWeights(folder),
      DataError,
      /expected a run folder with slim\.safetensors, but it has no weights/,
    );
    writeFileSync(join(folder, 'slim.safetensors'), encoderBytes('slim'));
    await rejects(
      () => readWeights(folder, 'host'),
      DataError,
      /expected a run folder with host\.safetensors, but it has slim\.safetensors/,
    );
  }));

test('a file stands for itself, unless it contains the other encoder', () =>
  inFolder(async (folder) => {
    await rejects(() => readWeights(join(folder, 'missing')), DataError, /missing: .*no such file/);
    const file = join(folder, 'a.safetensors');
    writeFileSync(file, encoderBytes('slim'));
    for (const part of [undefined, null, 'slim'] as const) assert.is((await readWeights(file, part)).weights, file);
    await rejects(
      () => readWeights(file, 'host'),
      ConfigError,
      /expected the host encoder, but .* contains the slim one; give host\.safetensors of the same run/,
    );
  }));

test('of classifiers, a run folder stands for the only one in it', () =>
  inFolder(async (folder) => {
    await rejects(() => classifierFile(folder), DataError, /it has no classifier/);
    writeFileSync(join(folder, 'slim.safetensors'), '');
    writeFileSync(join(folder, 'linear-slim-photos.safetensors'), '');
    assert.is(await classifierFile(folder), join(folder, 'linear-slim-photos.safetensors'));
    writeFileSync(join(folder, 'finetune-slim-photos.safetensors'), '');
    await rejects(() => classifierFile(folder), DataError, /expected one classifier, got finetune-.*, linear-/);
    mkdirSync(join(folder, 'sub'));
    assert.is(await classifierFile(join(folder, 'sub.safetensors')), join(folder, 'sub.safetensors'));
  }));

test.run();
