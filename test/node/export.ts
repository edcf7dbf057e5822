// slimgrad export, as a process: what it writes, and that it refuses bad input and writes nothing then.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone } from '../../src/config/encoders.js';
import { parseConfig } from '../../src/config/settings.js';
import type { Tensors } from '../../src/core/state.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { readEncoder, writeEncoder } from '../../src/inference/encoder_file.js';
import { numel } from '../../src/tensor/tensor.js';
import { ofRun } from '../of_run.js';
import { generator, randoms } from '../random.js';
import { buildCli } from './build_cli.js';

let cli: Awaited<ReturnType<typeof buildCli>>;
const root = mkdtempSync(join(tmpdir(), 'slimgrad-export-'));
const at = (name: string) => join(root, name);
const config = parseConfig({ data: 'made up', encoder: 'mobilenet_v3_large', width: 0.25, imageSize: 48 });
const state: Tensors = new Map();

test.before(async () => {
  cli = await buildCli();
  ort.env.wasm.numThreads = 1;
  const random = generator();
  const { parameters, statistics } = backbone({ ...config, ratio: 1 });
  for (const { name, shape } of parameters) state.set(name, { shape, data: randoms(random, numel(shape), 0, 0.3) });
  for (const { name, channels } of statistics)
    state.set(name, { shape: [channels.host], data: randoms(random, channels.host, 1, 0.5) });
  const file = { ...ofRun(config, state), step: 7, metadata: { recalibrated: 'photos' } };
  writeFileSync(at('slim.safetensors'), writeEncoder(file));
});
test.after(() => {
  cli.remove();
  rmSync(root, { recursive: true, force: true });
});

function run(...args: string[]): { code: number | null; out: string; err: string } {
  const options = { cwd: root, encoding: 'utf8', timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli.file, 'export', ...args], options);
  return { code: status, out: stdout, err: stderr };
}

function exported(out: string, ...args: string[]): Uint8Array {
  const { code, out: said, err } = run('--weights', 'slim.safetensors', '--out', out, ...args);
  assert.is(code, 0, err);
  assert.match(said, new RegExp(`^Wrote ${out.replace('.', '\\.')}: the slim mobilenet_v3_large, 240 features, `));
  return readFileSync(at(out));
}

test('ONNX: any batch of images of the size of the run', async () => {
  for (const bytes of [exported('slim.onnx'), exported('folded', '--format', 'onnx', '--fold')]) {
    const session = await ort.InferenceSession.create(bytes);
    for (const N of [1, 2]) {
      const image = new ort.Tensor('float32', new Float32Array(N * 3 * 48 * 48), [N, 3, 48, 48]);
      assert.equal((await session.run({ image })).features.dims, [N, 240]);
    }
    await session.release();
  }
});

test('safetensors: the same encoder again, with a count of batches for every batchnorm', () => {
  const bytes = exported('again.safetensors', '--part', 'slim');
  const again = readEncoder(bytes);
  assert.is(again.step, 7);
  assert.is(again.metadata.recalibrated, 'photos');
  assert.equal([...again.state.keys()].sort(), [...state.keys()].sort());
  for (const [name, { data }] of state) assert.equal(again.state.get(name)?.data, data, name);
  const counters = [...readSafetensors(bytes, 'again').tensors].filter(([name]) =>
    name.endsWith('num_batches_tracked'),
  );
  assert.is(counters.length, [...state.keys()].filter((name) => name.endsWith('running_mean')).length);
  for (const [name, { dtype, shape, data }] of counters) assert.equal([dtype, shape, data[0]], ['I64', [], 7n], name);
});

test("safetensors of a classifier's file: the encoder alone, and all that its metadata say", () => {
  const layer: Tensors = new Map([
    ['classifier.weight', { shape: [2, 240], data: new Float32Array(480) }],
    ['classifier.bias', { shape: [2], data: new Float32Array(2) }],
  ]);
  const file = { ...ofRun(config, state), step: 7, classifier: { classes: ['a', 'b'], state: layer } };
  writeFileSync(at('classifier.safetensors'), writeEncoder(file));
  const { code, out, err } = run('--weights', 'classifier.safetensors', '--out', 'lone.safetensors');
  assert.is(code, 0, err);
  assert.match(out, /The classifier is left out; ONNX keeps it\./);
  const [given, lone] = ['classifier.safetensors', 'lone.safetensors'].map((name) =>
    readSafetensors(readFileSync(at(name)), name),
  );
  assert.equal(lone.metadata, given.metadata);
  assert.equal(
    [...lone.tensors.keys()],
    [...given.tensors.keys()].filter((name) => !name.startsWith('classifier.')),
  );
});

test('safetensors, folded: a weight and a bias a layer', () => {
  const names = [...readSafetensors(exported('folded.safetensors', '--fold'), 'folded').tensors.keys()];
  const kernels = [...state].filter(([, { shape }]) => shape.length > 1).map(([name]) => name);
  assert.equal(names.sort(), kernels.flatMap((name) => [name, name.replace(/weight$/, 'bias')]).sort());
});

test('what cannot be exported is refused, and nothing is written', () => {
  mkdirSync(at('folder'));
  writeFileSync(at('cut.safetensors'), readFileSync(at('slim.safetensors')).subarray(0, 5000));
  writeFileSync(at('kept.onnx'), 'as it was');
  const other = parseConfig({ ...config, width: 0.5 });
  writeFileSync(at('other.safetensors'), writeEncoder({ ...ofRun(config, state), config: other }));
  const before = readdirSync(root);
  const weights = ['--weights', 'slim.safetensors'];
  for (const [args, code, ...parts] of [
    [[...weights], 2, '--out is required'],
    [['--out', 'x.onnx'], 2, '--weights is required'],
    [[...weights, '--out', 'x.bin'], 2, '--format: expected onnx or safetensors, as the file name x.bin'],
    [
      [...weights, '--out', 'x.onnx', '--format', 'tflite'],
      2,
      '--format: expected one of onnx, safetensors, got "tflite"',
    ],
    [[...weights, '--out', 'x.onnx', '--part', 'both'], 2, '--part: expected one of slim, host, got "both"'],
    [[...weights, '--out', 'x.onnx', '--part', 'host'], 2, 'contains the slim one'],
    [[...weights, '--out', 'folder', '--format', 'onnx'], 1, 'a folder stands in its place'],
    [[...weights, '--out', 'none/x.onnx'], 1, 'there is no folder none'],
    [['--weights', 'folder', '--out', 'kept.onnx'], 1, 'but it has no weights'],
    [['--weights', 'none', '--out', 'kept.onnx'], 1, 'no such file'],
    [['--weights', 'cut.safetensors', '--out', 'kept.onnx'], 1, 'not a usable safetensors file'],
    [
      ['--weights', 'folded.safetensors', '--out', 'kept.onnx'],
      1,
      'expected an encoder of slimgrad',
      'folded encoder 1',
    ],
    [
      ['--weights', 'other.safetensors', '--out', 'kept.onnx'],
      1,
      'its tensors do not fit',
      'features.2.block.0.0.weight is',
    ],
  ] as const) {
    const { code: got, out, err } = run(...args);
    assert.equal([got, out], [code, ''], `${args.join(' ')}: ${err}`);
    for (const part of parts) assert.ok(err.startsWith('slimgrad: ') && err.includes(part), err);
  }
  assert.equal(readdirSync(root), before);
  assert.is(readFileSync(at('kept.onnx'), 'utf8'), 'as it was');
});

test.run();
