// The cache folder of the embedded adapter: whatever is in it, the files come out whole, or an error says why not.
import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DeviceError } from '../../src/errors.js';
import { cacheFolders, findArchive, readTar, unpack, unpackArchive } from '../../src/node/software.js';

let folder = '';
let archive = '';
const files: Readonly<Record<string, Buffer>> = {
  'libdriver.so': Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 31) % 251)),
  'empty.so': Buffer.alloc(0),
  'driver.json': Buffer.from('{"library_path": "./libdriver.so"}'),
};
const wanted = Object.keys(files);

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

/** All that was wanted is there, byte for byte, and nothing half-written beside it. */
function assertWhole(target: string): void {
  for (const [name, bytes] of Object.entries(files))
    assert.ok(readFileSync(join(target, name)).equals(bytes), `${name} differs`);
  assert.equal(readdirSync(target).sort(), [...wanted, 'stamp.json'].sort());
}

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'slimgrad-software-'));
  archive = join(folder, 'driver.tar.br');
  writeFileSync(archive, brotliCompressSync(tar({ ...files, 'unwanted.so': Buffer.from('x') })));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

test('a tar archive comes out file by file', () => {
  const read = readTar(tar(files));
  assert.equal([...read.keys()], wanted);
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
  const target = unpack(archive, wanted, [join(folder, 'cache')]);
  assertWhole(target);
  const before = statSync(join(target, 'libdriver.so')).mtimeMs;
  rmSync(archive);
  assert.is(unpack(archive, wanted, [join(folder, 'cache')]), target);
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
  'the stamp is missing': (target) => rmSync(join(target, 'stamp.json')),
  'the stamp is no JSON': (target) => writeFileSync(join(target, 'stamp.json'), '{"libdriver'),
  'the stamp is null': (target) => writeFileSync(join(target, 'stamp.json'), 'null'),
};
for (const [name, damage] of Object.entries(damages)) {
  test(`a cache in which ${name} is mended`, () => {
    const cache = [join(folder, 'cache')];
    damage(unpack(archive, wanted, cache));
    assertWhole(unpack(archive, wanted, cache));
  });
}

test('where the first folder cannot be used, the second is', () => {
  writeFileSync(join(folder, 'file'), 'in the way');
  const target = unpack(archive, wanted, [join(folder, 'file', 'cache'), join(folder, 'second')]);
  assert.ok(target.startsWith(join(folder, 'second')));
  assertWhole(target);
  assert.is(readFileSync(join(folder, 'file'), 'utf8'), 'in the way');
});

test('a folder where nothing can be made is passed over at once', () => {
  const target = unpack(archive, wanted, ['/proc/nothing/slimgrad', join(folder, 'second')]);
  assert.ok(target.startsWith(join(folder, 'second')));
});

test('a folder that others may write is never used', () => {
  const open = join(folder, 'open');
  mkdirSync(open);
  chmodSync(open, 0o777);
  assert.throws(() => unpack(archive, wanted, [open]), /open to other users/);
  const target = unpack(archive, wanted, [join(folder, 'mine')]);
  chmodSync(target, 0o777);
  const second = unpack(archive, wanted, [join(folder, 'mine'), join(folder, 'second')]);
  assert.ok(second.startsWith(join(folder, 'second')));
});

test('a link to a folder is not followed', () => {
  mkdirSync(join(folder, 'elsewhere'));
  symlinkSync(join(folder, 'elsewhere'), join(folder, 'link'));
  assert.throws(() => unpack(archive, wanted, [join(folder, 'link')]), /is not a folder/);
});

test('where no folder can be used, the error names each and the way out', () => {
  writeFileSync(join(folder, 'file'), '');
  const places = [join(folder, 'file', 'a'), join(folder, 'file', 'b')];
  assert.throws(
    () => unpack(archive, wanted, places),
    (error: unknown) =>
      error instanceof DeviceError &&
      places.every((place) => error.message.includes(place)) &&
      error.message.includes('XDG_CACHE_HOME'),
  );
});

test('a damaged or foreign archive is refused with the line that reinstalls it', () => {
  const line = /npm i -D @sparticuz\/chromium@\d+\.\d+\.\d+/;
  writeFileSync(archive, 'no brotli');
  assert.throws(() => unpack(archive, wanted, [join(folder, 'cache')]), line);
  const whole = brotliCompressSync(tar(files));
  writeFileSync(archive, whole.subarray(0, whole.length - 40));
  assert.throws(() => unpack(archive, wanted, [join(folder, 'cache')]), line);
  writeFileSync(archive, brotliCompressSync(tar({ 'other.so': Buffer.from('x') })));
  assert.throws(() => unpack(archive, wanted, [join(folder, 'cache')]), /holds no libdriver.so/);
  assert.not.ok(existsSync(join(folder, 'cache')), 'nothing was written');
});

test('a missing package names both remedies', () => {
  assert.throws(
    () => findArchive('swiftshader.tar.br', [join(folder, 'package.json')]),
    (error: unknown) =>
      error instanceof DeviceError &&
      error.message.includes('npm i -D @sparticuz/chromium@147.0.0\n') &&
      error.message.includes('mesa-vulkan-drivers'),
  );
});

test('the installed package holds the driver', () => {
  const found = unpackArchive(findArchive('swiftshader.tar.br'));
  for (const name of ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json'])
    assert.ok(found.has(name), name);
});

test('the cache follows XDG_CACHE_HOME, and the temporary folder comes last', () => {
  const [first, last] = cacheFolders({ XDG_CACHE_HOME: '/somewhere' });
  assert.is(first, '/somewhere/slimgrad');
  assert.ok(last.startsWith(tmpdir()));
});

test('processes that unpack at once into a broken cache all get whole files', async () => {
  const cache = join(folder, 'cache');
  truncateSync(join(unpack(archive, wanted, [cache]), 'libdriver.so'), 7);
  const one = () =>
    new Promise<string>((resolve, reject) => {
      const args = [fileURLToPath(import.meta.url), archive, cache];
      execFile(process.execPath, args, { timeout: 30_000 }, (error, out) => (error ? reject(error) : resolve(out)));
    });
  const targets = await Promise.all(Array.from({ length: 6 }, one));
  assert.is(new Set(targets).size, 1);
  assertWhole(targets[0]);
});

if (process.argv[3]) process.stdout.write(unpack(process.argv[2], wanted, [process.argv[3]]));
else test.run();
