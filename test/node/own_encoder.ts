// Files of a program's own encoder: that program opens them by path, and every command says that it alone can.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import { DataError } from '../../src/errors.js';
import { type EncoderFile, writeEncoder } from '../../src/inference/encoder_file.js';
import { shapesOf } from '../../src/inference/state_dict.js';
import { loadClassifier, loadEncoder } from '../../src/node/run/load_encoder.js';
import { openTeacher } from '../../src/node/run/teacher_file.js';
import { numel } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { ownEncoder } from '../own_encoder.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';
import { buildCli } from './build_cli.js';

let cli: Awaited<ReturnType<typeof buildCli>>;
const root = mkdtempSync(join(tmpdir(), 'slimgrad-own-'));
const at = (name: string) => join(root, name);
const random = generator();
const encoder = ownEncoder({ channels: { host: 6, slim: 6 }, features: { host: 4, slim: 4 } });
const state = new Map(
  Array.from(shapesOf(encoder), ([name, shape]) => [name, { shape, data: randoms(random, numel(shape), 1, 0.5) }]),
);
const classifier = {
  classes: ['a', 'b'],
  state: new Map([
    ['classifier.weight', { shape: [2, 4], data: randoms(random, 8) }],
    ['classifier.bias', { shape: [2], data: randoms(random, 2) }],
  ]),
};
const file: EncoderFile = { encoder, state, imageSize: 8, step: 1, classifier, metadata: {} };

test.before(async () => {
  cli = await buildCli();
  mkdirSync(at('photos'));
  writeFileSync(at('own.safetensors'), writeEncoder(file));
});
test.after(() => {
  cli.remove();
  rmSync(root, { recursive: true, force: true });
});

const message =
  /own\.safetensors: this file's encoder is a program's own; open it with openEncoder\(device, bytes, \{ encoder \}\)$/;

test('the program that made it opens it by path, with its classifier too', async () => {
  const device = await openTestDevice();
  const pixels = Uint8Array.from({ length: 12 * 9 * 4 }, () => 256 * random());
  const image = { width: 12, height: 9, pixels };
  {
    using loaded = await loadEncoder(at('own.safetensors'), { device, encoder });
    using classes = await loadClassifier(at('own.safetensors'), { device, encoder });
    assert.equal([loaded.features, loaded.imageSize, loaded.config, classes.config], [4, 8, undefined, undefined]);
    assert.equal(await loaded.embed([image]), await classes.encoder.embed([image]));
    assert.equal((await classes.classify([image])).probabilities.length, 2);
    for (const open of [loadEncoder, loadClassifier])
      await rejects(() => open(at('own.safetensors'), { device }), DataError, message);
    await rejects(
      () => openTeacher(parseConfig({ data: 'photos', method: 'seed', teacher: at('own.safetensors') }), device),
      DataError,
      message,
    );
  }
  device.dispose();
});

for (const [command, ...more] of [
  ['export', '--out', 'out.onnx'],
  ['embed', 'photos', '--out', 'out.csv'],
  ['classify', 'photos', '--out', 'out.csv'],
  ['recalibrate', '--data', 'photos', '--out', 'out.safetensors'],
  ['eval', '--data', 'photos'],
  ['linear', '--data', 'photos'],
  ['finetune', '--data', 'photos'],
])
  test(`${command} says in a line whose it is`, () => {
    const args = [cli.file, command, '--weights', 'own.safetensors', ...more];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: root,
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal([status, stdout], [1, ''], stderr);
    assert.match(stderr.trimEnd(), message);
    assert.is(stderr.trimEnd().split('\n').length, 1, stderr);
    for (const out of ['out.onnx', 'out.csv', 'out.safetensors', 'report.html']) assert.not(existsSync(at(out)));
  });

test.run();
