import { execFile } from 'node:child_process';
import { chmod, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DataError } from '../../src/errors.js';
import {
  checkPlace,
  fileError,
  listFolder,
  makeFolder,
  readBytes,
  removePartials,
  writeFileAtomic,
} from '../../src/node/system/files.js';
import { inFolder, runOutside } from '../outside.js';
import { rejects } from '../rejects.js';

const test = suite('node/files');

const refuses = (promise: Promise<unknown>, message: RegExp) => rejects(() => promise, DataError, message);

test('a file is written and replaced whole, text or bytes, and nothing is left beside it', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'weights.bin');
    await writeFileAtomic(path, Uint8Array.of(1, 2, 3));
    assert.equal([...(await readBytes(path))], [1, 2, 3]);
    await writeFileAtomic(path, 'shörter');
    assert.is(await readFile(path, 'utf8'), 'shörter');
    assert.equal(await readdir(folder), ['weights.bin']);
  }));

test('a file is written in pieces, and where a link leads', () =>
  inFolder(async (folder) => {
    await mkdir(join(folder, 'there'));
    await writeFile(join(folder, 'there', 'file'), 'old');
    await symlink(join('there', 'file'), join(folder, 'link'));
    const pieces = function* () {
      yield 'a';
      yield 'b';
    };
    await writeFileAtomic(join(folder, 'link'), pieces());
    assert.is(await readFile(join(folder, 'there', 'file'), 'utf8'), 'ab');
    assert.ok((await lstat(join(folder, 'link'))).isSymbolicLink());
    assert.equal(await readdir(join(folder, 'there')), ['file']);
  }));

test('a write that fails halfway tells why, leaves the old file whole, and removes its own', () =>
  inFolder(async (folder) => {
    await writeFile(join(folder, 'old'), 'the old contents');
    // The kernel refuses every byte after the first 8 blocks, in the middle of the write.
    const { code, out } = await runOutside(
      `import { DataError } from '#/errors.js';
       import { writeFileAtomic } from '#/node/system/files.js';
       await writeFileAtomic('old', new Uint8Array(1e6).fill(7)).catch((error) => {
         console.log(error instanceof DataError, error.message);
         process.exitCode = 3;
       });`,
      folder,
      "trap '' XFSZ && ulimit -f 8",
    );
    assert.is(code, 3, out);
    assert.match(out, /true cannot write old \(1000000 bytes\): it would be larger than files may be here/);
    assert.is(await readFile(join(folder, 'old'), 'utf8'), 'the old contents');
    assert.equal(await readdir(folder), ['old', 'outside.mjs']);
  }));

test('a process killed again and again while it writes leaves one whole version', () =>
  inFolder(async (folder) => {
    const source = `import { writeFileAtomic } from '#/node/system/files.js';
      for (let i = 0; ; i = (i + 1) % 256) await writeFileAtomic('file', new Uint8Array(300000).fill(i));`;
    for (let round = 0; round < 4; round++) {
      await rm(join(folder, 'file'), { force: true });
      const killer = `( until [ -e file ]; do sleep 0.01; done; sleep 0.${round}; kill -9 $$ ) & true`;
      assert.is((await runOutside(source, folder, killer)).code, -1);
      const bytes = await readBytes(join(folder, 'file'));
      assert.is(bytes.length, 300000);
      assert.ok(
        bytes.every((value) => value === bytes[0]),
        `round ${round}: two versions in one file`,
      );
    }
    await writeFile(join(folder, '.file.0123456789ab.partial'), 'half');
    await writeFile(join(folder, '.other'), 'kept');
    await removePartials(folder);
    assert.equal(await readdir(folder), ['.other', 'file', 'outside.mjs']);
  }));

test('a full disk is called so', async () => {
  // The system's own device whose disk is always full.
  const cause = await writeFile('/dev/full', 'x').catch((error: unknown) => error);
  const { message } = fileError('cannot write x', cause);
  assert.is(message, 'cannot write x: the disk is full; free some space and try again');
});

test('places that cannot be written or read are called by what is wrong with them', () =>
  inFolder(async (folder) => {
    await mkdir(join(folder, 'sub'));
    await writeFile(join(folder, 'plain'), 'x');
    await symlink('circle', join(folder, 'circle'));
    await promisify(execFile)('mkfifo', [join(folder, 'pipe')]);
    await refuses(writeFileAtomic(join(folder, 'sub'), 'x'), /cannot write .*sub: a folder stands in its place/);
    await refuses(writeFileAtomic(join(folder, 'none', 'x'), 'x'), /no such file or folder/);
    await refuses(writeFileAtomic(join(folder, 'plain', 'x'), 'x'), /part of its path is a file/);
    await refuses(writeFileAtomic(join(folder, 'n'.repeat(300)), 'x'), /the name is too long/);
    await refuses(writeFileAtomic(join(folder, 'pipe'), 'x'), /pipe: it is neither a file nor a link to one/);
    await refuses(checkPlace(join(folder, 'pipe')), /pipe: it is neither a file nor a link to one/);
    await refuses(checkPlace(join(folder, 'none', 'x')), /there is no folder .*none; make it, or choose another/);
    await refuses(readBytes(join(folder, 'none')), /cannot read .*none: no such file/);
    await refuses(readBytes(join(folder, 'sub')), /it is a folder; expected a file/);
    await refuses(readBytes(join(folder, 'pipe')), /neither a file nor a link to one/);
    await refuses(readBytes(join(folder, 'circle')), /its links lead in a circle/);
    await refuses(listFolder(join(folder, 'plain')), /cannot list the folder .*: part of its path is a file/);
    await refuses(makeFolder(join(folder, 'plain', 'x')), /cannot make the folder .*: part of its path is a file/);
    assert.equal((await readdir(folder)).sort(), ['circle', 'pipe', 'plain', 'sub']);
    assert.equal(await readdir(join(folder, 'sub')), []);
  }));

test('a folder without permission is called so, and its file stays', () =>
  inFolder(async (folder) => {
    await writeFile(join(folder, 'old'), 'old');
    // Root may write anywhere, so that the process gives that up first.
    const { code, out } = await runOutside(
      `import { chmodSync } from 'node:fs';
       import { writeFileAtomic } from '#/node/system/files.js';
       chmodSync('.', 0o555);
       if (process.getuid() === 0) process.setuid(65534);
       await writeFileAtomic('old', 'new').catch((error) => {
         console.log(error.message);
         process.exitCode = 3;
       });`,
      folder,
    );
    await chmod(folder, 0o755);
    assert.is(code, 3, out);
    assert.match(out, /cannot write old \(3 bytes\): permission denied; choose a place/);
    assert.is(await readFile(join(folder, 'old'), 'utf8'), 'old');
    assert.equal(await readdir(folder), ['old', 'outside.mjs']);
  }));

if (process.platform === 'linux')
  test('a folder that the system cannot make is an error, and soon', async () => {
    await refuses(makeFolder('/proc/x/y'), /cannot make the folder \/proc\/x\/y: no such file/);
  });

test('folders are made as deep as needed, and listed in order', () =>
  inFolder(async (folder) => {
    await makeFolder(join(folder, 'b', 'c'));
    await makeFolder(join(folder, 'b', 'c'));
    await makeFolder('.');
    for (const name of ['a', 'B', '10', '2', '.x']) await makeFolder(join(folder, name));
    assert.equal(await listFolder(folder), ['.x', '10', '2', 'B', 'a', 'b']);
  }));

test.run();
