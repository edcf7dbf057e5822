import { execFile, execFileSync } from 'node:child_process';
import { chmod, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DataError } from '../../../src/errors.js';
import { type LeftOut, leftOutText, type Scan, scanFolder } from '../../../src/node/data/scan.js';
import { inFolder } from '../../outside.js';
import { rejects } from '../../rejects.js';

const test = suite('node/data/scan');

const png = Buffer.from('89504e470d0a1a0a0000000d', 'hex');
const heic = Buffer.from('00000018667479706865696300000000', 'hex');

/** Writes files by their paths below `folder`, and makes the folders whose paths end with '/'. */
async function make(folder: string, files: Readonly<Record<string, string | Buffer>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(path.endsWith('/') ? join(folder, path) : dirname(join(folder, path)), { recursive: true });
    if (!path.endsWith('/')) await writeFile(join(folder, path), content);
  }
}

const paths = ({ images }: Scan) => images.map(({ parts }) => parts.join('/'));
/** Scans as somebody whom permissions hold, which they do not root. */
async function scanUnprivileged(folder: string, path: string): Promise<Scan> {
  const outfile = join(folder, 'scan.mjs');
  const contents = `import { scanFolder } from './src/node/data/scan.ts';
    console.log(JSON.stringify(await scanFolder('${path}')));`;
  const stdin = { contents, resolveDir: process.cwd(), loader: 'ts' } as const;
  await build({ stdin, bundle: true, format: 'esm', platform: 'node', outfile, logLevel: 'silent' });
  await chmod(folder, 0o755);
  await chmod(outfile, 0o644);
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const { stdout } = await promisify(execFile)(process.execPath, [outfile], { cwd: folder, timeout: 60_000, ...user });
  return JSON.parse(stdout);
}

const left = ({ leftOut }: Scan) => leftOut.map(({ path, kind, images }) => `${kind} ${path} ${images}`);

test('names tell what is an image, and content where they do not; sizes and files are told', () =>
  inFolder(async (folder) => {
    await make(folder, {
      'a.PNG': 'not opened',
      'empty.jpg': '',
      'b/none': png,
      'b/strange.xyz': Buffer.from('ffd8ffe000', 'hex'),
      'b/named.heic': png,
      'b/deep/er/x.webp': 'abc',
      'notes.txt': png,
      'text.xyz': 'no image',
      nothing: '',
      'c/phone.HEIC': heic,
      'c/phone2.heic': 'of no known kind',
      'c/phone3': heic,
      'c/drawing.xyz': '<svg xmlns="http://www.w3.org/2000/svg"/>',
      'c/1.jpg': '1',
    });
    const scan = await scanFolder(folder);
    assert.equal(paths(scan), [
      'a.PNG',
      'b/deep/er/x.webp',
      'b/named.heic',
      'b/none',
      'b/strange.xyz',
      'c/1.jpg',
      'empty.jpg',
    ]);
    assert.equal(
      scan.images.map(({ bytes }) => bytes),
      [10, 3, 12, 12, 5, 1, 0],
    );
    assert.equal(scan.images[1].file, join(folder, 'b/deep/er/x.webp'));
    assert.equal(left(scan), [
      'format c/drawing.xyz 1',
      'format c/phone.HEIC 1',
      'format c/phone2.heic 1',
      'format c/phone3 1',
      'other notes.txt 0',
      'other nothing 0',
      'other text.xyz 0',
    ]);
    const text = leftOutText(scan.leftOut);
    assert.match(
      text,
      /^3 other files, 2 \.heic \(HEIC: convert to JPEG.*\), 1 \.xyz \(SVG.*\), 1 without ending \(HEIC/,
    );
    for (const { kind, reason } of scan.leftOut) if (kind === 'format') assert.match(reason, /^(HEIC|SVG).*(con|ex)/);
  }));

test('folders of systems are left out at any depth, and counted', () =>
  inFolder(async (folder) => {
    const systems =
      '__MACOSX @eaDir @Recycle @Recently-Snapshot #recycle #snapshot $RECYCLE.BIN RECYCLER System_Volume_Information ' +
      'lost+found Network_Trash_Folder Temporary_Items FOUND.000 found.017 thumb Thumbs _thumbnail .thumbnails a.lrdata';
    const names = systems.split(' ').map((name) => (/^[SNT].*_/.test(name) ? name.replaceAll('_', ' ') : name));
    await make(folder, { 'a/1.png': '', 'a/thumbs.png': '', 'thumbs2/2.png': '', 'a/__MACOSX2/3.png': '' });
    for (const name of names)
      await make(folder, { [`a/${name}/x.jpg`]: '', [`a/${name}/@eaDir/in/y.png`]: '', [`a/${name}/._x.jpg`]: '' });
    await make(folder, { '__macosx/._1.png': '', '__macosx/.DS_Store': '' });
    const scan = await scanFolder(folder);
    assert.equal(paths(scan), ['a/1.png', 'a/__MACOSX2/3.png', 'a/thumbs.png', 'thumbs2/2.png']);
    assert.equal(left(scan), ['system __macosx 0', ...names.sort().map((name) => `system a/${name} 2`)]);
    assert.is(
      leftOutText(scan.leftOut.filter(({ path }) => /macosx|@ea/.test(path))),
      '2 images in @eaDir, __macosx (no images)',
    );
  }));

test('hidden names are left out, and told where they have images', () =>
  inFolder(async (folder) => {
    await make(folder, { '1.png': '', '.2.png': '', '._1.png': '', '.DS_Store': '', '.git/config': '' });
    await make(folder, { '.cache/a/3.png': '', '.cache/a/4.jpg': '', '.cache/a/thumbs/5.jpg': '' });
    await symlink(join(folder, '1.png'), join(folder, '.link.png'));
    await symlink(folder, join(folder, '.cache', 'round'));
    const scan = await scanFolder(folder);
    assert.equal(paths(scan), ['1.png']);
    assert.equal(left(scan), ['hidden .2.png 1', 'hidden .cache 3']);
    assert.is(leftOutText(scan.leftOut), '3 images in .cache, 1 hidden image');
  }));

test('folders without images are told at the top, and below where nothing else explains them', () =>
  inFolder(async (folder) => {
    await make(folder, { 'a/1.png': '', 'a/none/deep/': '', 'a/phone/2.heic': heic, 'b/c/d/': '', 'e/x.txt': '' });
    const scan = await scanFolder(folder);
    assert.equal(paths(scan), ['a/1.png']);
    assert.equal(left(scan), [
      'empty a/none 0',
      'format a/phone/2.heic 1',
      'empty b 0',
      'empty e 0',
      'other e/x.txt 0',
    ]);
    assert.match(leftOutText(scan.leftOut), /^a\/none, b, e \(no images\), 1 \.heic \(.*\), 1 other file$/);
    await make(folder, { 'f/': '' });
    assert.match(
      leftOutText((await scanFolder(folder)).leftOut),
      /^4 folders without images \(a\/none, b, e, …\), 1 \.heic/,
    );
    await make(folder, { 'only/in/here/': '' });
    assert.equal((await scanFolder(join(folder, 'only'))).leftOut, [
      { path: 'in', reason: 'has no images', kind: 'empty', images: 0 },
    ]);
    assert.equal(await scanFolder(join(folder, 'f')), { images: [], leftOut: [] });
    assert.is(leftOutText([]), '');
  }));

test('links are followed, those that lead in circles or nowhere are told', () =>
  inFolder(async (folder) => {
    const top = join(folder, 'top');
    const to = (target: string, name: string) => symlink(target, join(top, name));
    await make(folder, { 'top/a/1.png': 'abc', 'top/b/2.png': '', 'else/4.png': '', 'else/5.txt': '' });
    await to(join(top, 'a', '1.png'), 'a/3.png');
    await to('../a', 'b/twin');
    await to(join(folder, 'else'), 'c');
    await to(top, 'a/round');
    await to(folder, 'a/above');
    await to('../b', 'a/across'); // and back by b/twin
    await to('self', 'self');
    await to('nowhere', 'lost.png');
    await to('nowhere', 'lost');
    await to('nowhere', 'lost.txt');
    await to('a/1.png/x', 'through.jpg');
    const scan = await scanFolder(top);
    const expected = ['a/1.png', 'a/3.png', 'a/across/2.png', 'b/2.png', 'b/twin/1.png', 'b/twin/3.png', 'c/4.png'];
    assert.equal(paths(scan), expected);
    assert.is(scan.images[1].bytes, 3);
    assert.equal(left(scan), [
      'link a/above 0',
      'link a/across/twin 0',
      'link a/round 0',
      'link b/twin/above 0',
      'link b/twin/across 0',
      'link b/twin/round 0',
      'other c/5.txt 0',
      'link lost 0',
      'link lost.png 1',
      'other lost.txt 0',
      'link self 0',
      'link through.jpg 1',
    ]);
    assert.is(leftOutText(scan.leftOut), '7 links that lead in a circle, 3 links that lead nowhere, 2 other files');
    await symlink(top, join(folder, 'entry'));
    assert.equal(paths(await scanFolder(join(folder, 'entry'))), expected);
    await make(folder, { 'd/@eaDir/7.png': '' });
    await symlink('../else', join(folder, 'd', 'thumbs'));
    assert.equal(left(await scanFolder(join(folder, 'd'))), ['system @eaDir 1', 'system thumbs 0']);
  }));

test('pipes are not waited for, whatever their names', () =>
  inFolder(async (folder) => {
    await make(folder, { 'a/1.png': '' });
    for (const name of ['pipe.png', 'pipe', 'pipe.heic']) execFileSync('mkfifo', [join(folder, name)]);
    await symlink('pipe', join(folder, 'link.png'));
    const scan = await scanFolder(folder);
    assert.equal(paths(scan), ['a/1.png']);
    assert.equal(left(scan), ['other link.png 0', 'other pipe 0', 'other pipe.heic 0', 'other pipe.png 0']);
    for (const { reason } of scan.leftOut) assert.is(reason, 'is neither a file nor a link to one');
    assert.is(leftOutText(scan.leftOut.slice(3)), 'pipe.png (neither a file nor a link to one)');
  }));

test('names are in composed form, and the files behind them are opened by their own', () =>
  inFolder(async (folder) => {
    await make(folder, { 'u\u0308/1.png': 'ab', '\u00fc/1.png': 'a', 'e\u0301.png': 'abc' });
    const { images } = await scanFolder(folder);
    assert.equal(
      images.map(({ parts, file, bytes }) => [parts.join('/'), file, bytes]),
      [
        ['\u00e9.png', join(folder, 'e\u0301.png'), 3],
        ['\u00fc/1.png', join(folder, 'u\u0308/1.png'), 2],
        ['\u00fc/1.png', join(folder, '\u00fc/1.png'), 1],
      ],
    );
  }));

if (process.platform === 'linux') {
  test('names that are no UTF-8 stand as their bytes, and no two alike', () =>
    inFolder(async (folder) => {
      const names = ['\xff.png', '\xfe.png', 'a\xc3\xbc\xe4.jpg', '\\xff.png', '\\xfe\xfe.png', '\xfe\xfe.png'];
      const at = (name: string) => Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')]);
      for (const name of names) await writeFile(at(name), name);
      await mkdir(at('\xe4'));
      await writeFile(at('\xe4/1.png'), 'inside');
      await writeFile(at('\xe4/x\xe4.txt'), '');
      const scan = await scanFolder(folder);
      const expected = [
        ['\\x5cxfe\\xfe.png', '\\xfe\xfe.png'],
        ['\\x5cxff.png', '\\xff.png'],
        ['\\xe4/1.png', '\xe4/1.png'],
        ['\\xfe.png', '\xfe.png'],
        ['\\xfe\\xfe.png', '\xfe\xfe.png'],
        ['\\xff.png', '\xff.png'],
        ['a\u00fc\\xe4.jpg', 'a\xc3\xbc\xe4.jpg'],
      ];
      assert.equal(
        paths(scan),
        expected.map(([name]) => name),
      );
      for (const [i, { file }] of scan.images.entries()) assert.equal(Buffer.from(file as string), at(expected[i][1]));
      assert.equal(left(scan), ['other \\xe4/x\\xe4.txt 0']);
    }));

  test('folders deeper than a path can say are told, not stumbled over', () =>
    inFolder(async (folder) => {
      await make(folder, { '1.png': '' });
      const name = 'x'.repeat(200);
      // Too long for a path, so every folder is made from the one above it, and rm removes them.
      execFileSync('/bin/bash', [
        '-c',
        `cd "$0" && for i in {1..30}; do mkdir ${name} && cd -P ${name}; done; touch 2.png`,
        folder,
      ]);
      try {
        const scan = await scanFolder(folder);
        assert.equal(paths(scan), ['1.png']);
        const { path, ...about } = scan.leftOut.at(-1)!;
        assert.equal(about, { kind: 'unreadable', reason: 'its path is too long', images: 0 });
        assert.ok(path.split('/').every((part) => part === name));
        await rename(join(folder, name), join(folder, '.hidden'));
        assert.equal(left(await scanFolder(folder)), []);
      } finally {
        execFileSync('rm', ['-rf', join(folder, name), join(folder, '.hidden')]);
      }
    }));

  test('a thousand folders deep', () =>
    inFolder(async (folder) => {
      const deep = join(folder, ...new Array(1900).fill('a'));
      await make(deep, { '1.png': 'abc', 'b/none': '' });
      const scan = await scanFolder(folder);
      assert.equal([scan.images.length, scan.images[0].parts.length], [1, 1901]);
      assert.equal([scan.leftOut.length, scan.leftOut[0].kind], [1, 'other']);
    }));

  test('folders and files that may not be read are told', () =>
    inFolder(async (folder) => {
      await make(folder, { 'top/a/1.png': '', 'top/locked/2.png': '', 'top/locked2/': '', 'top/b/secret': png });
      await make(folder, { 'top/b/3.heic': heic, 'top/@eaDir/4.png': '', 'top/in/sight.png': 'abc' });
      await symlink('../locked/2.png', join(folder, 'top/a/link.png'));
      await symlink('../locked', join(folder, 'top/a/link'));
      for (const path of ['locked', 'locked2', '@eaDir', 'b/secret', 'b/3.heic', 'in/sight.png'])
        await chmod(join(folder, 'top', path), 0);
      const scan = await scanUnprivileged(folder, 'top').finally(async () => {
        for (const path of ['locked', 'locked2', '@eaDir']) await chmod(join(folder, 'top', path), 0o755);
      });
      assert.equal(paths(scan), ['a/1.png', 'in/sight.png']);
      assert.equal(left(scan), [
        'system @eaDir 0',
        'unreadable a/link 0',
        'unreadable a/link.png 1',
        'empty b 0',
        'unreadable b/3.heic 1',
        'unreadable b/secret 0',
        'unreadable locked 0',
        'unreadable locked2 0',
      ]);
    }));
}

test('a folder that cannot be listed is an error', () =>
  inFolder(async (folder) => {
    await make(folder, { file: '' });
    await rejects(() => scanFolder(join(folder, 'none')), DataError, /cannot list the folder .*none: no such file/);
    await rejects(() => scanFolder(join(folder, 'file')), DataError, /part of its path is a file/);
  }));

test('the line of counts ends, and holds no control characters', () => {
  const entries: LeftOut[] = Array.from({ length: 9 }, (_, i) => ({
    path: `a/b${i}\n\x1b[2J`,
    reason: `reason ${i}`,
    kind: 'unreadable',
    images: 9 - i,
  }));
  const all = [...entries, { ...entries[7] }, ...new Array(1234).fill({ ...entries[0], kind: 'other', images: 0 })];
  const text = leftOutText(all);
  assert.match(text, /^1,234 other files, /);
  assert.match(text, /, a\/b4\\x0a\\x1b\[2J \(cannot be read: reason 4\) and 5 more$/);
  assert.not.match(text, /\p{Cc}/u);
});

test.run();
