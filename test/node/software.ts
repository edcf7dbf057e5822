// The cache folder of the embedded adapter: whatever is in it, the files come out whole, or an error says why not.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DeviceError } from '../../src/errors.js';
import { driverPins, findArchive, type Pins, readTar, unpack } from '../../src/node/device/software.js';
import { generator } from '../random.js';

let folder = '';
let archive = '';
const files: Readonly<Record<string, Buffer>> = {
  'libdriver.so': Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 31) % 251)),
  'empty.so': Buffer.alloc(0),
  'driver.json': Buffer.from('{"library_path": "./libdriver.so"}'),
};
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const pins: Pins = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, sha256(bytes)]));
const asRoot = process.getuid?.() === 0;
/** Some user who is not root. */
const other = 54321;

function tar(entries: Readonly<Record<string, Buffer>>): Buffer {
  const parts = Object.entries(entries).flatMap(([name, bytes]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0, 'latin1');
    header.write(`${bytes.length.toString(8).padStart(11, '0')} `, 124, 'latin1');
    header.write('0', 156, 'latin1');
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

/** All that was wanted is there, byte for byte, this user's alone, and nothing half-written beside it. */
function assertWhole(target: string): void {
  for (const [name, bytes] of Object.entries(files)) {
    const path = join(target, name);
    assert.ok(readFileSync(path).equals(bytes), `${name} differs`);
    const { mode, uid } = lstatSync(path);
    assert.equal([(mode & 0o7777).toString(8), uid], ['600', process.getuid?.() ?? uid], name);
  }
  assert.equal(readdirSync(target).sort(), Object.keys(files).sort());
  for (const path of [target, dirname(target)]) assert.is((lstatSync(path).mode & 0o7777).toString(8), '700', path);
}

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'slimgrad-software-'));
  archive = join(folder, 'driver.tar.br');
  writeFileSync(archive, brotliCompressSync(tar({ ...files, 'unwanted.so': Buffer.from('x') })));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

test('a tar archive comes out file by file', () => {
  const read = readTar(tar(files));
  assert.equal([...read.keys()], Object.keys(files));
  for (const [name, bytes] of read) assert.ok(files[name].equals(bytes), name);
});

test('a tar archive that is cut short or damaged is refused', () => {
  const whole = tar(files);
  assert.throws(() => readTar(whole.subarray(0, 2000)), /'libdriver.so' is cut short/);
  const damaged = Buffer.from(whole);
  damaged.write('77777777777 ', 124, 'latin1');
  assert.throws(
    () => readTar(damaged),
    (error: unknown) => error instanceof DeviceError,
  );
  damaged.write('not octal!! ', 124, 'latin1');
  assert.throws(() => readTar(damaged), /no valid size/);
});

test('what is unpacked once is used again, untouched', () => {
  const target = unpack(archive, pins, [join(folder, 'cache')]);
  assertWhole(target);
  const before = statSync(join(target, 'libdriver.so')).mtimeMs;
  rmSync(archive);
  assert.is(unpack(archive, pins, [join(folder, 'cache')]), target);
  assert.is(statSync(join(target, 'libdriver.so')).mtimeMs, before);
});

const damages: Readonly<Record<string, (target: string) => void>> = {
  'a file is cut short': (target) => truncateSync(join(target, 'libdriver.so'), 100),
  'a byte is wrong': (target) => {
    const bytes = Buffer.from(files['libdriver.so']);
    bytes[1234] ^= 1;
    writeFileSync(join(target, 'libdriver.so'), bytes);
  },
  'a file is missing': (target) => rmSync(join(target, 'driver.json')),
  'every user may write a file': (target) => chmodSync(join(target, 'libdriver.so'), 0o606),
  'a group may write a file': (target) => chmodSync(join(target, 'driver.json'), 0o660),
  'a file is a link to what it should hold': (target) => {
    const elsewhere = join(folder, 'elsewhere.so');
    renameSync(join(target, 'libdriver.so'), elsewhere);
    symlinkSync(elsewhere, join(target, 'libdriver.so'));
  },
  'the folders are open': (target) => {
    chmodSync(target, 0o777);
    chmodSync(dirname(target), 0o775);
  },
  ...(asRoot && { "a file is another user's": (target) => chownSync(join(target, 'libdriver.so'), other, other) }),
};
for (const [name, damage] of Object.entries(damages)) {
  test(`a cache in which ${name} is mended`, () => {
    const cache = [join(folder, 'cache')];
    damage(unpack(archive, pins, cache));
    assertWhole(unpack(archive, pins, cache));
  });
}

test('wherever one byte is wrong, in the cache it is put right, in the archive it is refused by name and digest', () => {
  const random = generator();
  const cache = [join(folder, 'cache')];
  const target = unpack(archive, pins, cache);
  for (const name of ['libdriver.so', 'driver.json']) {
    const bytes = Buffer.from(files[name]);
    bytes[Math.floor(random() * bytes.length)] ^= 1 << Math.floor(random() * 8);
    writeFileSync(join(target, name), bytes);
    assert.is(unpack(archive, pins, cache), target);
    assertWhole(target);

    const altered = join(folder, 'altered.tar.br');
    writeFileSync(altered, brotliCompressSync(tar({ ...files, [name]: bytes })));
    assert.throws(
      () => unpack(altered, pins, [join(folder, 'fresh')]),
      (error: unknown) =>
        error instanceof DeviceError &&
        [altered, name, `expected SHA-256 ${pins[name]}`, `found ${sha256(bytes)}`].every((part) =>
          error.message.includes(part),
        ) &&
        error.message.endsWith('npm i -D @sparticuz/chromium@147.0.0'),
    );
    assert.not.ok(existsSync(join(folder, 'fresh')), 'nothing was written');
  }
});

test('where the first folder cannot be used, the second is', () => {
  writeFileSync(join(folder, 'file'), 'in the way');
  const target = unpack(archive, pins, [join(folder, 'file', 'cache'), join(folder, 'second')]);
  assert.ok(target.startsWith(join(folder, 'second')));
  assertWhole(target);
  assert.is(readFileSync(join(folder, 'file'), 'utf8'), 'in the way');
});

test('a folder where nothing can be made is passed over at once', () => {
  const target = unpack(archive, pins, ['/proc/nothing/slimgrad', join(folder, 'second')]);
  assert.ok(target.startsWith(join(folder, 'second')));
});

test('a link to a folder is not followed, at either level', () => {
  const elsewhere = dirname(unpack(archive, pins, [join(folder, 'elsewhere')]));
  symlinkSync(elsewhere, join(folder, 'link'));
  mkdirSync(join(folder, 'mine'));
  symlinkSync(unpack(archive, pins, [elsewhere]), join(folder, 'mine', 'swiftshader-147.0.0'));
  for (const name of ['link', 'mine']) {
    assert.throws(() => unpack(archive, pins, [join(folder, name)]), / is a link\n/);
    const second = unpack(archive, pins, [join(folder, name), join(folder, `${name} 2`)]);
    assert.ok(second.startsWith(join(folder, `${name} 2`)));
    assertWhole(second);
  }
});

test('what lies where everybody may rename it is not used; a sticky folder is safe', () => {
  const shared = join(folder, 'shared');
  mkdirSync(join(shared, 'below'), { recursive: true });
  const place = join(shared, 'below', 'cache');
  chmodSync(shared, 0o777);
  const refusal = new RegExp(`everybody may rename what lies in ${shared}\n`);
  assert.throws(() => unpack(archive, pins, [place]), refusal);
  assert.not.ok(existsSync(place), 'nothing was made');
  symlinkSync(join(shared, 'below'), join(folder, 'named otherwise'));
  assert.throws(() => unpack(archive, pins, [join(folder, 'named otherwise', 'cache')]), refusal);
  chmodSync(shared, 0o1777);
  assertWhole(unpack(archive, pins, [place]));
  chmodSync(shared, 0o777);
  const second = unpack(archive, pins, [place, join(folder, 'second')]);
  assert.ok(second.startsWith(join(folder, 'second')), 'though all of it is there');
});

if (asRoot) {
  test("another user's folder is not used, at either level", () => {
    for (const level of ['cache', 'cache/swiftshader-147.0.0']) {
      const target = unpack(archive, pins, [join(folder, 'cache')]);
      chownSync(join(folder, level), other, other);
      assert.throws(() => unpack(archive, pins, [join(folder, 'cache')]), /belongs to another user \(id 54321\)\n/);
      const second = unpack(archive, pins, [join(folder, 'cache'), join(folder, 'second')]);
      assert.ok(second.startsWith(join(folder, 'second')));
      assertWhole(second);
      chownSync(join(folder, level), 0, 0);
      assertWhole(target);
    }
  });
}

test('where no folder can be used, the error names each and the way out', () => {
  writeFileSync(join(folder, 'file'), '');
  const places = [join(folder, 'file', 'a'), join(folder, 'file', 'b')];
  assert.throws(
    () => unpack(archive, pins, places),
    (error: unknown) =>
      error instanceof DeviceError &&
      places.every((place) => error.message.includes(place)) &&
      error.message.includes('XDG_CACHE_HOME'),
  );
});

test('a damaged or foreign archive is refused with the line that reinstalls it', () => {
  const line = /npm i -D @sparticuz\/chromium@\d+\.\d+\.\d+/;
  writeFileSync(archive, 'no brotli');
  assert.throws(() => unpack(archive, pins, [join(folder, 'cache')]), line);
  const whole = brotliCompressSync(tar(files));
  writeFileSync(archive, whole.subarray(0, whole.length - 40));
  assert.throws(() => unpack(archive, pins, [join(folder, 'cache')]), line);
  writeFileSync(archive, brotliCompressSync(tar({ 'other.so': Buffer.from('x') })));
  assert.throws(() => unpack(archive, pins, [join(folder, 'cache')]), /holds no libdriver.so/);
  assert.not.ok(existsSync(join(folder, 'cache')), 'nothing was written');
});

test('a missing package names both remedies and where it was looked for', () => {
  assert.throws(
    () => findArchive('swiftshader.tar.br', [join(folder, 'node_modules')]),
    (error: unknown) =>
      error instanceof DeviceError &&
      error.message.includes(`looked for in node_modules of ${folder}`) &&
      error.message.includes('npm i -D @sparticuz/chromium@147.0.0\n') &&
      error.message.includes('mesa-vulkan-drivers'),
  );
});

test('the installed package holds the driver that is pinned', () => {
  const target = unpack(findArchive('swiftshader.tar.br'), driverPins, [join(folder, 'cache')]);
  const names = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json'];
  assert.equal(Object.keys(driverPins).sort(), names);
  for (const name of names) assert.is(sha256(readFileSync(join(target, name))), driverPins[name], name);
});

test('processes that unpack at once into a broken cache all get whole files', async () => {
  const cache = join(folder, 'cache');
  truncateSync(join(unpack(archive, pins, [cache]), 'libdriver.so'), 7);
  const one = () =>
    new Promise<string>((resolve, reject) => {
      const args = [fileURLToPath(import.meta.url), archive, cache];
      execFile(process.execPath, args, { timeout: 30_000 }, (error, out) => (error ? reject(error) : resolve(out)));
    });
  const targets = await Promise.all(Array.from({ length: 6 }, one));
  assert.is(new Set(targets).size, 1);
  assertWhole(targets[0]);
});

if (process.argv[3]) process.stdout.write(unpack(process.argv[2], pins, [process.argv[3]]));
else test.run();
