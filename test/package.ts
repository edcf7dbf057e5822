// The package as a user gets it: packed, installed into an empty project, imported, bundled by Vite.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { softwareVersion } from '../src/node/device/software.js';
import { mustRun, pack, run } from './packed.js';

const project = mkdtempSync(join(tmpdir(), 'slimgrad-package-'));
const npmFlags = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
let tarball = '';
let trouble: unknown;

const tool = (path: string) => resolve('node_modules', path);

test.before(async () => {
  try {
    tarball = await pack(project);
    writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
    await mustRun('npm', ['i', ...npmFlags, tarball], project);
  } catch (error) {
    trouble = error;
  }
});
test.before.each(() => {
  if (trouble) throw trouble;
});
test.after(() => rmSync(project, { recursive: true, force: true }));

const program = `
import { Plan, Tape, add, openDevice, tensor } from 'slimgrad/node';
try {
  const device = await openDevice();
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const upload = (label, values) => {
    const buffer = device.buffer(label, 4 * values.length);
    device.write(buffer, Float32Array.from(values));
    return tensor(buffer, label, [values.length]);
  };
  const y = add(tape, upload('a', [1, 2, 3]), upload('b', [10, 20, 30]));
  plan.retain(y);
  await plan.compile();
  plan.run();
  console.log([...(await plan.read(y))].join(' '));
} catch (error) {
  console.log(error.name, error.message);
  process.exitCode = 3;
}
`;

test('the package runs no scripts, and has all the rest of package.json', () => {
  const { scripts, ...rest } = JSON.parse(readFileSync('package.json', 'utf8'));
  assert.ok(scripts.prepare, 'a checkout is built on npm ci');
  const packed = JSON.parse(readFileSync(join(project, 'node_modules/slimgrad/package.json'), 'utf8'));
  assert.equal(packed, rest);
});

test('without a driver, the error says what to install', async () => {
  writeFileSync(join(project, 'program.js'), program);
  const { code, out } = await run('node', ['program.js'], project, { SLIMGRAD_ADAPTER: 'swiftshader' });
  assert.is(code, 3, out);
  assert.match(out, /^DeviceError /);
  assert.ok(out.includes(`npm i -D @sparticuz/chromium@${softwareVersion}\n`), out);
  assert.ok(out.includes('mesa-vulkan-drivers'), out);
});

test('that line makes the embedded adapter work, and the process ends by itself', async () => {
  await mustRun('npm', ['i', '-D', ...npmFlags, `@sparticuz/chromium@${softwareVersion}`], project);
  writeFileSync(join(project, 'program.js'), program);
  const { code, out, err } = await run('node', ['program.js'], project, { SLIMGRAD_ADAPTER: 'swiftshader' });
  assert.is(code, 0, out + err);
  assert.is(out, '11 22 33\n');
});

test('CommonJS requires it where Node can require ES modules; elsewhere it imports it', async () => {
  const use = ({ Device, openDevice }: Record<string, unknown>) =>
    console.log(typeof Device, openDevice?.constructor.name);
  writeFileSync(join(project, 'required.cjs'), `(${use})(require('slimgrad/node'));`);
  writeFileSync(join(project, 'imported.cjs'), `import('slimgrad/node').then(${use});`);
  const isRequired = (process.features as { require_module?: boolean }).require_module === true; // from Node 20.19 and 22.12 on
  const { code, out, err } = await run('node', ['required.cjs'], project);
  assert.equal([code, out], isRequired ? [0, 'function AsyncFunction\n'] : [1, ''], err);
  if (!isRequired) assert.match(err, /ERR_REQUIRE_ESM/);
  assert.is(await mustRun('node', ['imported.cjs'], project), 'function AsyncFunction\n');
});

test('kernels of its own need no parser beside the package, which brings the parser’s license', async () => {
  writeFileSync(
    join(project, 'kernel.js'),
    `import { ValidationError } from 'slimgrad';
import { kernel } from 'slimgrad/kernel';
console.log(Object.keys(kernel('@compute @workgroup_size(1) fn nothing() {}').entries).join());
try {
  kernel('fn nothing() {}');
} catch (error) {
  console.log(error instanceof ValidationError, error.message);
}`,
  );
  const { out, err } = await run('node', ['kernel.js'], project);
  assert.match(out, /^nothing\ntrue kernel "kernel": has no entry point/, err);
  assert.not.ok(existsSync(join(project, 'node_modules/wgsl_reflect')));
  const parser = readFileSync(join(project, 'node_modules/slimgrad/dist/custom_kernel/parse.js'), 'utf8');
  assert.match(parser, /^\/\*!\nwgsl_reflect: MIT License\n\nCopyright \(c\) \d+ Brendan Duncan/);
});

test('Vite bundles it for a browser, without Node and without the shader parser', async () => {
  writeFileSync(join(project, 'index.html'), '<script type="module" src="/main.js"></script>');
  writeFileSync(
    join(project, 'main.js'),
    `import { Plan, Tape, openDevice } from 'slimgrad';
document.title = String(new Tape(new Plan(await openDevice())));`,
  );
  const out = await mustRun('node', [tool('vite/bin/vite.js'), 'build', '--target', 'es2022'], project);
  assert.not.match(out, /externalized for browser compatibility/);
  const assets = join(project, 'dist/assets');
  const bundle = readdirSync(assets)
    .map((file) => readFileSync(join(assets, file), 'utf8'))
    .join('\n');
  assert.ok(bundle.includes('@compute'), 'the bundle holds a kernel');
  for (const alien of ['node:', 'WgslReflect', 'wgsl_reflect', 'dawn.node'])
    assert.not.ok(bundle.includes(alien), alien);
});

test('publint and are-the-types-wrong find nothing', async () => {
  const lint = await mustRun('node', [tool('publint/src/cli.js'), 'run', '--strict', tarball]);
  assert.match(lint, /All good!/);
  const types = await mustRun('node', [
    tool('@arethetypeswrong/cli/dist/index.js'),
    tarball,
    '--profile',
    'esm-only',
    '--no-color',
  ]);
  assert.match(types, /🟢 \(ESM\)/);
});

test.run();
