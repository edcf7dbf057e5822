// Optional packages come from where slimgrad is installed. Traps, which tell when their code runs, lie wherever else one could
// look: in the working folder, above it, in NODE_PATH and in Node's folders at home.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findEntries, findPackageFile, packageFolders } from '../../src/node/system/packages.js';
import { bundleSource } from '../outside.js';
import { generator } from '../random.js';
import { buildCli } from './build_cli.js';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'slimgrad-packages-')));
const photos = join(root, 'outer', 'photos');
const home = join(root, 'home');
const sprung = join(root, 'sprung');
const own = resolve('build', `packages-${process.pid}`);
/** Says what is found, in one line of JSON. */
const program = `
import { loadSharp } from '#/node/data/sharp.js';
import { openEmoji } from '#/node/data/emoji.js';
import { findArchive } from '#/node/device/software.js';
const tell = (error) => error.message;
console.log(JSON.stringify({
  sharp: await loadSharp('this test').then((sharp) => sharp.versions.sharp, tell),
  emoji: await openEmoji().then((emoji) => emoji.length, tell),
  archive: await new Promise((done) => done(findArchive('swiftshader.tar.br'))).catch(tell),
}));`;
let cli: Awaited<ReturnType<typeof buildCli>>;

/** A package of files by their paths; `code` is what it runs when it is loaded. */
function install(folder: string, name: string, code: string, files: Readonly<Record<string, string>> = {}): void {
  const all = {
    'package.json': JSON.stringify({ name, version: '99.0.0', main: 'index.cjs' }),
    'index.cjs': code,
    ...files,
  };
  for (const [file, text] of Object.entries(all)) {
    const path = join(folder, name, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

/** Everything that slimgrad may take from packages, spoilt. */
function trap(folder: string): void {
  const code = `require('node:fs').appendFileSync(${JSON.stringify(sprung)}, __filename + '\\n');
    module.exports = class { autoOrient() {} };
    module.exports.versions = { sharp: 'a trap' };`;
  for (const name of ['sharp', 'webgpu', 'slimgrad']) install(folder, name, code);
  install(folder, '@sparticuz/chromium', code, { 'bin/swiftshader.tar.br': 'a trap' });
  for (const style of ['google', 'twitter'])
    install(folder, `emoji-datasource-${style}`, code, { 'emoji.json': 'a trap' });
}

function run(file: string, args: readonly string[] = [], more: Readonly<Record<string, string>> = {}) {
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    NODE_PATH: join(root, 'named'),
    SLIMGRAD_ADAPTER: 'swiftshader',
    ...more,
  };
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...args], {
    cwd: photos,
    env,
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { code: status, out: stdout, all: stdout + stderr };
}

/** What the program at `file` finds; it must spring no trap. */
function foundBy(file: string): Record<'sharp' | 'emoji' | 'archive', unknown> {
  const { code, out, all } = run(file);
  assert.is(code, 0, all);
  assertQuiet();
  return JSON.parse(out);
}

function assertQuiet(): void {
  assert.not.ok(existsSync(sprung), existsSync(sprung) ? readFileSync(sprung, 'utf8') : '');
}

test.before(async () => {
  cli = await buildCli();
  await bundleSource(program, join(own, 'program.mjs'));
  const places = [photos, dirname(photos)].map((folder) => join(folder, 'node_modules'));
  for (const place of [...places, join(root, 'named'), join(home, '.node_modules'), join(home, '.node_libraries')]) {
    trap(place);
  }
  const random = generator();
  for (let i = 0; i < 10; i++) {
    const raw = { width: 20, height: 16, channels: 3 as const };
    const pixels = Uint8Array.from({ length: raw.width * raw.height * 3 }, () => random() * 256);
    await sharp(pixels, { raw })
      .png()
      .toFile(join(photos, `${i}.png`));
  }
});
test.after(() => {
  cli.remove();
  rmSync(own, { recursive: true, force: true });
  rmSync(root, { recursive: true, force: true });
});

test('the traps work: what looks from the working folder, or in NODE_PATH, runs them', () => {
  const looks = join(root, 'looks.cjs');
  writeFileSync(looks, `require(require('node:path').join(process.cwd(), 'node_modules/sharp')); require('webgpu');`);
  const { code, all } = run(looks);
  assert.is(code, 0, all);
  assert.is(readFileSync(sprung, 'utf8').trim().split('\n').length, 2);
  rmSync(sprung);
});

test('the folders are those around slimgrad, and the one that the started program is linked from', () => {
  const installed = '/p/node_modules/.pnpm/slimgrad@1/node_modules/slimgrad/dist/cli.js';
  const around = [
    '/p/node_modules/.pnpm/slimgrad@1/node_modules/slimgrad/dist/node_modules',
    '/p/node_modules/.pnpm/slimgrad@1/node_modules/slimgrad/node_modules',
    '/p/node_modules/.pnpm/slimgrad@1/node_modules',
    '/p/node_modules/.pnpm/node_modules',
    '/p/node_modules',
    '/node_modules',
  ];
  assert.equal(packageFolders(installed, '/p/node_modules/.bin/slimgrad'), around);
  const linked = ['/c/dist/node_modules', '/c/node_modules', '/node_modules'];
  for (const started of ['', '/usr/bin/slimgrad', '/q/main.js', 'node_modules/.bin/slimgrad', './node_modules/x.js'])
    assert.equal(packageFolders('/c/dist/cli.js', started), linked, started);
  for (const started of ['/q/node_modules/.bin/slimgrad', '/q/node_modules/slimgrad/dist/cli.js'])
    assert.equal(packageFolders('/c/dist/cli.js', started), [...linked, '/q/node_modules'], started);
});

test('of the folders the first that has the package counts, and none beside them', () => {
  const [first, second] = ['first', 'second'].map((name) => join(root, name, 'node_modules'));
  install(second, 'sharp', '', { 'some/file.txt': '' });
  assert.equal(findEntries('sharp', [first, second]), [join(second, 'sharp', 'index.cjs')]);
  assert.is(findPackageFile('sharp', 'some/file.txt', [first, second]), join(second, 'sharp', 'some', 'file.txt'));
  assert.is(findPackageFile('sharp', 'some', [first, second]), undefined);
  // One without code, below another that has some.
  const below = join(second, 'sharp', 'node_modules');
  mkdirSync(join(below, 'sharp'), { recursive: true });
  assert.equal(findEntries('sharp', [below]), []);
  // As pnpm has it.
  mkdirSync(first, { recursive: true });
  symlinkSync(join(second, 'sharp'), join(first, 'sharp'));
  assert.equal(findEntries('sharp', [first]), [join(second, 'sharp', 'index.cjs')]);
});

test('library code finds its own packages, whatever lies in the working folder', () => {
  const found = foundBy(join(own, 'program.mjs'));
  assert.equal(found, {
    sharp: sharp.versions.sharp,
    emoji: 1906,
    archive: resolve('node_modules/@sparticuz/chromium/bin/swiftshader.tar.br'),
  });
});

test('without packages of its own it says where it looked, and what installs them', async () => {
  const file = join(root, 'bare', 'program.mjs');
  await bundleSource(program, file);
  const looked = `looked for in node_modules of ${dirname(file)} and of the folders above it`;
  const found = foundBy(file);
  assert.is(found.sharp, `this test needs the package sharp, which is not installed, ${looked}: npm i -D sharp`);
  assert.match(String(found.emoji), `is not installed, ${looked}: npm i -D emoji-datasource-google@16 emoji`);
  assert.match(String(found.archive), `(bin/swiftshader.tar.br) is not installed, ${looked}.\n`);
});

test('without webgpu, openDevice says what installs it; with a broken one, why it cannot be loaded', async () => {
  const opens = `
import { openDevice } from '#/node/device/device.js';
await openDevice().catch((error) => console.log(error.name, error.message));`;
  const { version } = JSON.parse(readFileSync('node_modules/webgpu/package.json', 'utf8'));
  const [line] = /^\d+\.\d+/.exec(version) ?? [];
  const bare = join(root, 'bare', 'opens.mjs');
  await bundleSource(opens, bare);
  assert.is(
    run(bare).all,
    `DeviceError Node computes by the package webgpu (Dawn), which is not installed: npm i webgpu@${line}\n`,
  );
  const broken = join(root, 'broken', 'opens.mjs');
  await bundleSource(opens, broken);
  install(join(root, 'broken', 'node_modules'), 'webgpu', "throw new Error('no such symbol')");
  const { all } = run(broken);
  assert.match(all, /^DeviceError The package webgpu \(Dawn\) cannot be loaded on .*: Error: no such symbol\. /);
  assert.ok(all.includes(`reinstall it: npm i webgpu@${line}\n`), all);
  assertQuiet();
});

test("a linked slimgrad finds what its own place has, and else the project's", async () => {
  const clone = join(root, 'clone');
  const project = join(root, 'project', 'node_modules');
  await bundleSource(program, join(clone, 'dist', 'cli.mjs'));
  const marked = (version: string) =>
    `module.exports = class { autoOrient() {} }; module.exports.versions = { sharp: '${version}' };`;
  install(project, 'sharp', marked('the project'));
  install(project, '@sparticuz/chromium', '', { 'bin/swiftshader.tar.br': '' });
  mkdirSync(join(project, '.bin'), { recursive: true });
  symlinkSync(clone, join(project, 'slimgrad'));
  symlinkSync('../slimgrad/dist/cli.mjs', join(project, '.bin', 'slimgrad'));
  for (const started of ['.bin/slimgrad', 'slimgrad/dist/cli.mjs']) {
    const found = foundBy(join(project, started));
    assert.is(found.sharp, 'the project', started);
    assert.is(found.archive, join(project, '@sparticuz/chromium/bin/swiftshader.tar.br'));
    assert.match(String(found.emoji), `and in ${dirname(project)}: npm i`);
  }
  install(join(clone, 'node_modules'), 'sharp', marked('its own'));
  assert.is(foundBy(join(project, '.bin', 'slimgrad')).sharp, 'its own');
  install(join(clone, 'node_modules'), 'sharp', "throw new Error('for another platform')");
  assert.is(foundBy(join(project, '.bin', 'slimgrad')).sharp, 'the project');
});

const small = [...'--image-size 16 --width 0.25 --stem-stride 2 --projector 16 --blocks'.split(' '), '64/1 128/2'];

test('the command line trains on images amid traps, on the embedded adapter', () => {
  const args = ['pretrain', ...small, ...'--data . --batch 4 --steps 1 --ratio 1.5 --out ../run'.split(' ')];
  // A relative folder is none for a cache.
  const { code, all } = run(cli.file, args, { XDG_CACHE_HOME: 'cache' });
  assert.is(code, 0, all);
  assertQuiet();
  assert.not.ok(existsSync(join(photos, 'cache')), 'nothing is unpacked in the working folder');
  assert.ok(existsSync(join(home, '.cache', 'slimgrad', 'swiftshader-147.0.0', 'libvulkan.so.1')));
});

test('the command line counts its own emoji amid traps', () => {
  const { all } = run(cli.file, ['pretrain', ...small, ...'--data emoji --batch 5000 --epochs 1'.split(' ')]);
  assertQuiet();
  assert.match(all, /^1906 emoji in two styles; .*at most the 1508 training images/s, all);
});

test.run();
