// What --weights names: a file, or a run folder and which encoder of it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { generator } from '../../src/core/random.js';
import { mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { DataError } from '../../src/errors.js';
import { writeEncoder } from '../../src/inference/encoder_file.js';
import { classifierFile, weightsFile } from '../../src/node/run/weights_file.js';
import { inFolder } from '../outside.js';
import { rejects } from '../rejects.js';

/** The bytes of a tiny encoder's file, as the host or as the slim encoder of a run. */
function encoderBytes(part: 'host' | 'slim'): Uint8Array {
  const encoder = mobilenetV1({ width: 0.25, blocks: [[16, 1]] });
  const random = generator(1);
  const parameters = encoder.parameters.map(({ name, shape, init }) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => init(random));
    return [name, { shape, data }] as const;
  });
  const statistics = encoder.statistics.map(({ name, channels, init }) => {
    return [name, { shape: [channels.host], data: new Float32Array(channels.host).fill(init) }] as const;
  });
  return writeEncoder({
    encoder,
    state: new Map([...parameters, ...statistics]),
    imageSize: 32,
    step: 1,
    part,
    metadata: {},
  });
}

test('a run folder stands for its slim encoder, or for the one that --part names', () =>
  inFolder(async (folder) => {
    for (const part of ['host', 'slim'] as const)
      writeFileSync(join(folder, `${part}.safetensors`), encoderBytes(part));
    assert.is(await weightsFile(folder), join(folder, 'slim.safetensors'));
    assert.is(await weightsFile(folder, 'slim'), join(folder, 'slim.safetensors'));
    assert.is(await weightsFile(folder, 'host'), join(folder, 'host.safetensors'));
  }));

test('a folder without the weights that are asked for is refused by what it has', () =>
  inFolder(async (folder) => {
    await rejects(
      () => weightsFile(folder),
      DataError,
      /expected a run folder with slim\.safetensors, but it has no weights/,
    );
    writeFileSync(join(folder, 'slim.safetensors'), encoderBytes('slim'));
    await rejects(
      () => weightsFile(folder, 'host'),
      DataError,
      /expected a run folder with host\.safetensors, but it has slim\.safetensors/,
    );
  }));

test('a file stands for itself, unless it holds the other encoder', () =>
  inFolder(async (folder) => {
    assert.is(await weightsFile(join(folder, 'missing')), join(folder, 'missing')); // is refused when it is read
    const file = join(folder, 'a.safetensors');
    writeFileSync(file, encoderBytes('slim'));
    assert.is(await weightsFile(file), file);
    assert.is(await weightsFile(file, null), file);
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
