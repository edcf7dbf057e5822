// What a program pays for the names that it imports: bundled from the package as a user gets it, minified, gzipped.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { squeezed } from '../kernels/comments.mjs';
import { Parameters } from '../src/core/parameters.js';
import { mobilenetV1 } from '../src/encoders/mobilenet_v1.js';
import type * as slimgrad from '../src/index.js';
import { writeEncoder } from '../src/inference/encoder_file.js';
import { ImageEncoder } from '../src/inference/image_encoder.js';
import { saclXd } from '../src/methods/sacl_xd.js';
import { tensor } from '../src/tensor/tensor.js';
import { Trainer } from '../src/train/trainer.js';
import { openTestDevice } from './device.js';
import { assertEqual, images } from './made_up.js';
import { mustRun, pack } from './packed.js';
import { generator, seed } from './random.js';

type Slimgrad = typeof slimgrad;
type Name = keyof Slimgrad & string;

const device = await openTestDevice();
const project = mkdtempSync(join(tmpdir(), 'slimgrad-bundle-'));
const home = join(project, 'node_modules/slimgrad');

test.before(async () => {
  mkdirSync(home, { recursive: true });
  await mustRun('tar', ['xzf', await pack(project), '-C', home, '--strip-components', '1']);
});
test.after(() => {
  rmSync(project, { recursive: true, force: true });
  device.dispose();
});

/** Bundles a program of these names alone for the browser. */
async function bundle(names: readonly Name[]): Promise<Uint8Array> {
  const contents = `export { ${names.join(', ')} } from 'slimgrad';`;
  const stdin = { contents, resolveDir: project };
  const options = { bundle: true, minify: true, format: 'esm', platform: 'browser', write: false } as const;
  const { outputFiles, warnings } = await build({ ...options, stdin, logLevel: 'silent' });
  assert.equal(warnings, []);
  return outputFiles[0].contents;
}

/** Sees that a bundle of `names` has at most `most` bytes, gzipped, and does what `use` does with it. */
function costs<const N extends Name>(
  names: readonly N[],
  most: number,
  use: (bundled: Pick<Slimgrad, N>) => void | Promise<void>,
) {
  test(`${names.join(' + ')}: at most ${most} bytes`, async () => {
    const script = await bundle(names);
    const bytes = gzipSync(script, { level: 9 }).length;
    console.log(`${names.join(' + ')}: ${bytes} of ${most} bytes`);
    const file = join(project, `${names.join('_')}.mjs`);
    writeFileSync(file, script);
    await use(await import(file));
    assert.ok(bytes <= most, `${bytes} bytes`);
  });
}

function upload(label: string, values: readonly number[]) {
  const buffer = device.buffer(label, 4 * values.length);
  device.write(buffer, Float32Array.from(values));
  return tensor(buffer, label, [values.length]);
}

async function adds({ Plan, Tape }: Pick<Slimgrad, 'Plan' | 'Tape'>): Promise<void> {
  const plan = new Plan(device);
  const y = new Tape(plan).accumulate(upload('a', [1, 2, 3]), upload('b', [10, 20, 30]));
  plan.retain(y);
  await plan.compile();
  plan.run();
  assert.equal([...(await plan.read(y))], [11, 22, 33]);
  plan.dispose();
}

costs(['Plan', 'Tape'], 10_600, adds);

costs(['Plan', 'Tape', 'mul'], 14_600, async ({ Plan, Tape, mul }) => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const a = tape.requireGrad(upload('a', [1, 2, 3]));
  const y = mul(tape, a, upload('b', [10, 20, 30]));
  tape.backward(y, upload('dy', [1, 2, 4]));
  const da = tape.gradient(a);
  assert.ok(da);
  plan.retain(y);
  plan.retain(da);
  await plan.compile();
  plan.run();
  assert.equal(
    [[...(await plan.read(y))], [...(await plan.read(da))]],
    [
      [10, 40, 90],
      [10, 40, 120],
    ],
  );
  plan.dispose();
});

costs(['record', 'mul'], 15_500, async ({ record, mul }) => {
  const [a, b] = [upload('a', [1, 2, 3]), upload('b', [10, 20, 30])];
  const step = await record(device, (tape) => ({ y: mul(tape, a, b) }));
  step.run();
  assert.equal([...(await step.read('y'))], [10, 40, 90]);
  step.dispose();
});

const lean = { width: 0.25, ratio: 1.5, stemStride: 1, blocks: [[64, 2]] } as const;

/** All that a run of few steps holds, as it is computed by these modules. */
async function trained({
  Trainer,
  saclXd,
  mobilenetV1,
}: Pick<Slimgrad, 'Trainer' | 'saclXd' | 'mobilenetV1'>): Promise<slimgrad.Tensors> {
  const method = saclXd(mobilenetV1(lean), { projector: 16 });
  const options = { batch: 8, steps: 3, imageSize: 16, seed };
  const trainer = await Trainer.open(device, method, images(16), options);
  const losses: number[] = [];
  for await (const { loss } of trainer) losses.push(loss);
  const state = await trainer.save();
  trainer.dispose();
  return state.set('losses', { shape: [losses.length], data: Float32Array.from(losses) });
}

// the whole path of a training: kernels as they are shipped compute what those of src do
costs(['Trainer', 'saclXd', 'mobilenetV1'], 82_050, async (bundled) => {
  assertEqual(await trained(bundled), await trained({ Trainer, saclXd, mobilenetV1 }), `seed ${seed}`);
});

costs(['ImageEncoder', 'readEncoderOf', 'mobilenetV1'], 65_800, async (bundled) => {
  const encoder = mobilenetV1({ ...lean, ratio: 1 });
  const parameters = new Parameters(device, encoder.parameters, encoder.statistics, { bn: 'shared' });
  parameters.initialize(generator());
  const state = await parameters.state(encoder, 'host');
  const bytes = writeEncoder({ encoder, state, imageSize: 16, step: 0, metadata: {} });
  const opened = new bundled.ImageEncoder(
    device,
    bundled.readEncoderOf(bundled.mobilenetV1({ ...lean, ratio: 1 }), bytes),
  );
  const own = new ImageEncoder(device, { encoder, state, imageSize: 16 });
  const embeddings = await opened.embed(images(3));
  assert.is(embeddings.length, 3 * encoder.features.host);
  assert.equal(embeddings, await own.embed(images(3)), `seed ${seed}`);
  for (const used of [parameters, opened, own]) used.dispose();
});

costs(['readSafetensors'], 4_000, ({ readSafetensors }) => {
  const header = JSON.stringify({ x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } });
  const file = new Uint8Array(8 + header.length + 8);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(new TextEncoder().encode(header), 8);
  file.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 8 + header.length);
  const { tensors } = readSafetensors(file, 'x.safetensors');
  assert.equal(tensors.get('x')?.shape, [2]);
  // a minifier renames classes; errors keep their names
  assert.throws(
    () => readSafetensors(file.subarray(0, 4), 'x.safetensors'),
    (error: Error) => error.name === 'DataError',
  );
});

// what is a constant brings no kernel and no network along
costs(['defaultViews', 'encoderNames'], 500, ({ defaultViews, encoderNames }) => {
  assert.is(defaultViews(32)[0].size, 32);
  assert.ok(encoderNames.includes('resnet18'));
});

test('one file is all of the library, for browsers without a bundler', async () => {
  const { unpkg, jsdelivr } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  assert.is(unpkg, jsdelivr);
  const text = readFileSync(join(home, unpkg), 'utf8');
  assert.not.match(text, /\bimport\s*[("'{*]/);
  const [file, modules]: Slimgrad[] = await Promise.all(
    [unpkg, 'dist/index.js'].map((path) => import(join(home, path))),
  );
  assert.equal(Object.keys(file), Object.keys(modules));
  await adds(file);
});

test('kernels are shipped without comments and needless spaces', () => {
  const files = readdirSync('kernels').filter((file) => file.endsWith('.wgsl'));
  assert.ok(files.length > 30, `found ${files.length} kernels`);
  for (const file of files) {
    const stem = file.replace('.wgsl', '').replaceAll('.', '_');
    const text = readFileSync(join(home, 'dist/generated', `${stem}.js`), 'utf8');
    const code = JSON.parse(/^const code = (".*");$/m.exec(text)?.[1] ?? 'null');
    assert.is(code, squeezed(readFileSync(join('kernels', file), 'utf8')), file);
  }
  for (const file of ['slimgrad.js', ...readdirSync(join(home, 'dist/cli')).map((name) => join('cli', name))])
    assert.not.match(readFileSync(join(home, 'dist', file), 'utf8'), /\/\/ One thread per/, file);
});

test('every module finds what it imports in the package', () => {
  const files = readdirSync(join(home, 'dist'), { recursive: true, encoding: 'utf8' });
  const scripts = files.filter((file) => file.endsWith('.js'));
  assert.ok(scripts.length > 150, `found ${scripts.length} modules`);
  for (const script of scripts)
    for (const [, path] of readFileSync(join(home, 'dist', script), 'utf8').matchAll(
      /(?:\bfrom|\bimport\(?)\s*["'](\.{1,2}\/[^"']+)["']/g,
    ))
      assert.ok(files.includes(join(dirname(script), path)), `${script}: ${path}`);
});

test.run();
