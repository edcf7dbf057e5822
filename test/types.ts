// The package's declarations in a strict project that checks them, too (no skipLibCheck): in several compilers, with and
// without the types of the DOM, of WebGPU and of Node, laid out as pnpm does it, where a package sees only what it asks for.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { finish } from '../declarations.mjs';
import type { Fallbacks } from '../src/runtime/gpu_types.js';
import { mustRun, pack, run } from './packed.js';

// The fallbacks say nothing that WebGPU's own types do not: this file compiles only where that is so.
type Own = { readonly [Name in keyof Fallbacks]: (typeof globalThis)[Name]['prototype'] };
(own: Own): Fallbacks => own;

/** What holds with any types. */
const common = `import * as browser from 'slimgrad';
import * as node from 'slimgrad/node';
import { Device, type DeviceOptions, Plan, Tape, tensor } from 'slimgrad';
export { browser, node };
export const device: Device = await node.openDevice({ adapter: 'auto' });
export const plan = new Plan(device);
export const tape: Tape = new Tape(plan);
export const buffer = device.buffer('x', 4);
export const bytes: number = buffer.size + device.limits.maxBufferSize;
export const power: DeviceOptions['powerPreference'] = 'low-power';
export const same: Device = await browser.openDevice({ device: device.gpu });
// its memory is not shared, so that WebGPU takes it
export const values: Float32Array<ArrayBuffer> = await plan.read(tensor(buffer, 'x', [1]));
plan[Symbol.dispose]();
device.free(buffer);
// @ts-expect-error: it is no any
buffer.nonsense;
// @ts-expect-error: neither is this
device.gpu.nonsense;
// @ts-expect-error: nor this
device.info.nonsense;
`;

/** Where the project knows WebGPU's types, the package's are the same. */
const withGpu = `
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
export const gpu: Same<typeof device.gpu, GPUDevice> = true;
export const storage: Same<typeof buffer, GPUBuffer> = true;
export const powers: Same<NonNullable<DeviceOptions['powerPreference']>, GPUPowerPreference> = true;
export const adapter: Same<NonNullable<DeviceOptions['adapter']>, GPUAdapter> = true;
`;

/** Kernels whose code is a literal have names; others take any, and are checked when they run. */
const kernels = `import { type Kernel, kernel } from 'slimgrad/kernel';
import { Plan, openDevice, tensor } from 'slimgrad/node';
const mine = kernel(\`
  // const HIDDEN: u32 = 1; @compute @workgroup_size(1) fn hidden() {}
  /* var<storage, read> hidden: array<f32>; */
  const THREADS: u32 = 64; // a / b
  const ON : bool = false;
  const HALF = 0.5;
  struct ParamsOfOthers { m: u32 }
  struct Params { n: u32, @align(16) factor : f32, }
  @group(0) @binding(0) var<uniform> params: Params;
  @group(0) @binding(1) var<storage, read> x: array<f32>;
  @group(0) @binding(2)
  var<storage, read_write> y : array<f32>;
  @compute @workgroup_size(THREADS)
  fn forward(@builtin(global_invocation_id) id: vec3u) { y[id.x] = params.factor / x[id.x]; }
  @compute @workgroup_size(1) fn reset() { y[0] = HALF; }
\`);
const device = await openDevice();
const plan = new Plan(device);
const x = tensor(device.buffer('x', 16), 'x', [4]);
const y = tensor(device.buffer('y', 16), 'y', [4]);
const rest = { workgroups: 1, bytes: 32 };
const params = { n: 4, factor: 1 };
plan.dispatch(mine, 'forward', { params, bindings: { x, y }, consts: { THREADS: 32, ON: true }, ...rest });
plan.dispatch(mine, 'reset', { params, bindings: { y }, ...rest });
export const threads: number = mine.consts.THREADS.value;
export const on: boolean = mine.consts.ON.value;
export const any: Kernel = mine;
// @ts-expect-error: no entry point of that name
plan.dispatch(mine, 'backward', { params, bindings: { x, y }, ...rest });
// @ts-expect-error: in a comment
plan.dispatch(mine, 'hidden', { params, bindings: { x, y }, ...rest });
// @ts-expect-error: no buffer of that name
plan.dispatch(mine, 'forward', { params, bindings: { x, z: y }, ...rest });
// @ts-expect-error: in a comment
plan.dispatch(mine, 'forward', { params, bindings: { hidden: x }, ...rest });
// @ts-expect-error: a uniform, which the plan binds
plan.dispatch(mine, 'forward', { params, bindings: { params: x }, ...rest });
// @ts-expect-error: a field is missing
plan.dispatch(mine, 'forward', { params: { n: 4 }, bindings: { x, y }, ...rest });
// @ts-expect-error: a field of another struct
plan.dispatch(mine, 'forward', { params: { n: 4, factor: 1, m: 1 }, bindings: { x, y }, ...rest });
// @ts-expect-error: no constant of that name
plan.dispatch(mine, 'forward', { params, bindings: { x, y }, consts: { LANES: 4 }, ...rest });
// @ts-expect-error: a constant without a type
plan.dispatch(mine, 'forward', { params, bindings: { x, y }, consts: { HALF: 1 }, ...rest });
// @ts-expect-error: a number for a bool
plan.dispatch(mine, 'forward', { params, bindings: { x, y }, consts: { ON: 1 }, ...rest });
// @ts-expect-error: a bool for a number
plan.dispatch(mine, 'forward', { params, bindings: { x, y }, consts: { THREADS: true }, ...rest });

const bare = kernel('@group(0) @binding(0) var<storage, read_write> y: array<f32>; @compute @workgroup_size(1) fn f() { y[0] = 1.0; }');
plan.dispatch(bare, 'f', { params: {}, bindings: { y }, ...rest });

declare const text: string;
declare const size: number;
for (const loose of [kernel(text), kernel(\`const THREADS: u32 = \${size}; \${text}\`)])
  plan.dispatch(loose, 'anything', { params: { n: 1 }, bindings: { a: x }, consts: { B: 1, C: true }, ...rest });
const labels = tensor(device.buffer('labels', 16), 'labels', [4], 0, 'u32');
export const whole: Uint32Array = await plan.read(labels);
export const numbers: Float32Array = await plan.read(x);
// @ts-expect-error: its numbers are whole
export const wrong: Float32Array = await plan.read(labels);
`;

/** More code than the compiler follows: it has no names, and is no error. */
const long = `import { type Kernel, kernel } from 'slimgrad/kernel';
const mine = kernel(${JSON.stringify(`${'const A: u32 = 4 / 2; // half\n'.repeat(3000)}@compute @workgroup_size(1) fn f() {}`)});
export const loose: typeof mine extends Kernel ? (Kernel extends typeof mine ? true : false) : false = true;
const most = kernel(${JSON.stringify(`${'// told\n'.repeat(290)}@compute @workgroup_size(1) fn f() {}`)});
export const name: keyof typeof most.entries = 'f';
// @ts-expect-error: of a kernel of fewer lines than that
export const other: keyof typeof most.entries = 'g';
`;

const project = mkdtempSync(join(tmpdir(), 'slimgrad-types-'));

test.before(async () => {
  const tarball = await pack(project);
  const store = join(project, 'node_modules/.pnpm/slimgrad@1/node_modules/slimgrad');
  mkdirSync(store, { recursive: true });
  await mustRun('tar', ['xzf', tarball, '-C', store, '--strip-components', '1']);
  symlinkSync(store, join(project, 'node_modules/slimgrad'));
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  for (const [folder, name] of [
    ['@types', 'node'],
    ['@webgpu', 'types'],
  ]) {
    mkdirSync(join(project, 'node_modules', folder));
    symlinkSync(resolve('node_modules', folder, name), join(project, 'node_modules', folder, name));
  }
});
test.after(() => rmSync(project, { recursive: true, force: true }));

/** Compiles modules in the project, of one name each, with no types around but those named. */
async function compile(
  compiler: string,
  sources: Readonly<Record<string, string>>,
  lib: string,
  types: readonly string[],
): Promise<void> {
  const strict = { strict: true, noEmit: true, skipLibCheck: false, target: 'es2022' };
  const compilerOptions = { ...strict, module: 'nodenext', lib: lib.split(' '), types };
  const files = Object.keys(sources).map((name) => `${name}.ts`);
  for (const [name, source] of Object.entries(sources)) writeFileSync(join(project, `${name}.ts`), source);
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  const { code, out, err } = await run('node', [resolve('node_modules', compiler, 'bin/tsc')], project);
  assert.equal([code, out], [0, ''], err);
}

for (const compiler of ['typescript-5.9', 'typescript-6', 'typescript']) {
  test(`${compiler}: es2023 alone`, () => compile(compiler, { common, kernels, long }, 'es2023', []));
  const apart = compiler === 'typescript-5.9' ? ['@webgpu/types'] : []; // later ones have WebGPU in the DOM
  test(`${compiler}: with the DOM and WebGPU`, () =>
    compile(compiler, { common: common + withGpu }, 'es2023 dom', apart));
}

test('with Node', () => compile('typescript', { common }, 'es2023', ['node']));

test('no declaration has what compilers before 5.7 do not know', () => {
  const files = readdirSync('dist', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.d.ts'));
  assert.ok(files.length > 100 && existsSync('dist/index.d.ts'), `found ${files.length} declarations`);
  for (const file of files) assert.not.match(readFileSync(join('dist', file), 'utf8'), /\w+Array</, file);
});

test('declarations import what they use of WebGPU, below their references, and name what is missing', () => {
  const known = new Set(['GPUBuffer', 'GPUDevice']);
  const head = '/// <reference lib="x" />\n';
  const body =
    '/** A GPUTexture is only told of. */\nexport declare const a: (to: GPUBuffer) => Uint8Array<ArrayBuffer>;\n';
  assert.is(
    finish(head + body, 'ops/a.d.ts', known),
    `${head}import type { GPUBuffer } from '../runtime/gpu_types.js';\n${body.replace('Uint8Array<ArrayBuffer>', "ReturnType<Uint8Array['slice']>")}`,
  );
  assert.match(finish('export type A = GPUDevice;\n', 'runtime/a.d.ts', known), /from '\.\/gpu_types\.js'/);
  assert.is(finish('export type A = 1;\n', 'a.d.ts', known), 'export type A = 1;\n');
  assert.throws(
    () => finish('export type A = GPUTexture;\n', 'a.d.ts', known),
    /^a\.d\.ts: src\/runtime\/gpu_types\.ts has no GPUTexture$/,
  );
});

test.run();
