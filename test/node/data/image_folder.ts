import { execFile } from 'node:child_process';
import { mkdir, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RgbaImage } from '../../../src/data/source.js';
import { DataError } from '../../../src/errors.js';
import { openImageFolder } from '../../../src/node/data/image_folder.js';
import { inFolder, runOutside } from '../../outside.js';
import { rejects } from '../../rejects.js';

const test = suite('node/data/image_folder');

type Rgba = [number, number, number, number];

/** An image of one color, in the format that the name's ending says. */
async function image(path: string, [r, g, b, a]: Rgba = [200, 100, 50, 255], width = 6, height = 4): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const image = sharp({ create: { width, height, channels: 4, background: { r, g, b, alpha: a / 255 } } });
  await image.webp({ lossless: true, force: false }).toFile(path);
}

/** Pseudo-random pixels: nothing that a format can leave out. */
async function noise(path: string, width = 64, height = 64): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 13) & 255);
  await sharp(data, { raw: { width, height, channels: 3 } }).toFile(path);
}

function color({ pixels }: RgbaImage): number[] {
  const first = [...pixels.subarray(0, 4)];
  for (let at = 0; at < pixels.length; at += 4) assert.equal([...pixels.subarray(at, at + 4)], first);
  return first;
}

const refuses = (promise: Promise<unknown>, message: RegExp) => rejects(() => promise, DataError, message);

test('sub-folders are labels, at any depth; other files, hidden ones and empty folders are left out', () =>
  inFolder(async (folder) => {
    for (const path of ['b/2.png', 'b/10.png', 'a/deep/er/x.PNG', 'a/z.webp', 'B/1.jpeg', 'c d/ü.jpg']) {
      await image(join(folder, path));
    }
    for (const path of ['.hidden/x.png', 'a/.y.png']) await image(join(folder, path));
    await mkdir(join(folder, 'empty'));
    await writeFile(join(folder, 'README.txt'), 'no image');
    await writeFile(join(folder, 'a', 'notes.json'), '{}');
    const source = await openImageFolder(folder);
    assert.equal(source.files, ['B/1.jpeg', 'a/deep/er/x.PNG', 'a/z.webp', 'b/10.png', 'b/2.png', 'c d/ü.jpg']);
    assert.equal(source.classes, ['B', 'a', 'b', 'c d']);
    assert.equal([...source.labels!], [0, 1, 1, 2, 2, 3]);
    assert.equal([source.length, source.images, source.skipped], [6, 1, []]);
    const loaded = await source.load(2, 0);
    assert.equal([loaded.width, loaded.height], [6, 4]);
    assert.equal(color(loaded), [200, 100, 50, 255]);
    await refuses(source.load(6, 0), /expected an item from 0 to 5, got 6/);
  }));

test('a folder without sub-folders is unlabeled', () =>
  inFolder(async (folder) => {
    for (const name of ['2.png', '1.png']) await image(join(folder, name));
    const source = await openImageFolder(folder);
    assert.equal(source.files, ['1.png', '2.png']);
    assert.is(source.labels, undefined);
    assert.is(source.classes, undefined);
  }));

test('links are followed, those that lead in circles or nowhere are not', () =>
  inFolder(async (folder) => {
    await image(join(folder, 'a', '1.png'), [1, 2, 3, 255]);
    await image(join(folder, 'a', '2.png'));
    await symlink(join(folder, 'a', '1.png'), join(folder, 'a', '3.png'));
    await symlink(folder, join(folder, 'a', 'round'));
    await symlink(join(folder, 'a'), join(folder, 'twin'));
    await symlink(join(folder, 'nowhere'), join(folder, 'a', 'lost.png'));
    await symlink(join(folder, 'nowhere'), join(folder, 'lost'));
    for (const verify of ['decode', 'header'] as const) {
      const source = await openImageFolder(folder, { verify });
      assert.equal(source.files, ['a/1.png', 'a/2.png', 'a/3.png', 'twin/1.png', 'twin/2.png', 'twin/3.png']);
      assert.equal(source.classes, ['a', 'twin']);
      assert.equal(color(await source.load(2, 0)), [1, 2, 3, 255]);
      assert.equal(source.skipped, []);
      assert.equal(
        source.leftOut.filter(({ kind, images }) => kind === 'link' && images > 0).map(({ path }) => path),
        ['a/lost.png', 'twin/lost.png'],
      );
    }
  }));

test('every kind of pixel becomes RGBA on mid-gray', () =>
  inFolder(async (folder) => {
    const file = (name: string) => join(folder, name);
    await image(file('a-clear.png'), [255, 0, 0, 0]);
    await image(file('b-half.webp'), [255, 0, 0, 128]);
    const gray = { create: { width: 5, height: 3, channels: 3, background: { r: 70, g: 70, b: 70 } } } as const;
    await sharp(gray).toColourspace('b-w').png().toFile(file('c-gray.png'));
    await sharp(gray).toColourspace('grey16').png().toFile(file('d-deep.png'));
    await sharp(gray).png({ palette: true }).toFile(file('e-palette.png'));
    // Profiles differ in every ink, but not in the white of the paper.
    const white = { create: { ...gray.create, background: 'white' } };
    await sharp(white).toColourspace('cmyk').jpeg({ quality: 100 }).toFile(file('f-cmyk.jpg'));
    await sharp(gray).toColourspace('b-w').jpeg().toFile(file('g-gray.jpg'));
    await sharp(gray).toColourspace('b-w').ensureAlpha(0).png().toFile(file('h-gray-clear.png'));
    const source = await openImageFolder(folder);
    assert.equal(source.skipped, []);
    assert.is(source.length, 8);
    assert.equal(color(await source.load(0, 0)), [128, 128, 128, 255]);
    const [r, g, b, a] = color(await source.load(1, 0));
    assert.ok(Math.abs(r - 192) <= 1 && Math.abs(g - 64) <= 1 && g === b && a === 255, `${[r, g, b, a]}`);
    for (let item = 2; item < 7; item++) {
      const loaded = await source.load(item, 0);
      assert.is(loaded.pixels.length, 5 * 3 * 4, source.files[item]);
      const level = item === 5 ? 255 : 70;
      for (const value of color(loaded).slice(0, 3))
        assert.ok(Math.abs(value - level) <= 1, `${source.files[item]}: ${value}`);
      assert.is(loaded.pixels[3], 255);
    }
    assert.equal(color(await source.load(7, 0)), [128, 128, 128, 255]);
  }));

test('large images are reduced, small ones are not enlarged, turned ones are set upright', () =>
  inFolder(async (folder) => {
    await image(join(folder, '1.jpg'), undefined, 400, 100);
    await image(join(folder, '2.png'), undefined, 30, 10);
    const wide = sharp({ create: { width: 40, height: 20, channels: 3, background: 'red' } });
    await wide.withMetadata({ orientation: 6 }).jpeg().toFile(join(folder, '3.jpg'));
    await image(join(folder, '4.png'), undefined, 100, 150);
    const large = sharp({ create: { width: 150, height: 100, channels: 3, background: 'red' } });
    await large.withMetadata({ orientation: 6 }).jpeg().toFile(join(folder, '5.jpg'));
    const source = await openImageFolder(folder, { side: 64 });
    const sizes: number[][] = [];
    for (let item = 0; item < 5; item++) {
      const { width, height, pixels } = await source.load(item, 0);
      assert.is(pixels.length, width * height * 4);
      sizes.push([width, height]);
    }
    assert.equal(sizes, [
      [128, 32],
      [30, 10],
      [20, 40],
      [64, 96],
      [64, 96],
    ]);
    assert.equal([...source.sizes!], sizes.flat());
  }));

test('images that cannot be decoded are named, skipped and counted; labels of the others do not move', () =>
  inFolder(async (folder) => {
    for (let i = 0; i < 8; i++)
      await noise(join(folder, i % 2 ? 'odd' : 'even', `${i}.${['png', 'jpg', 'webp'][i % 3]}`));
    await writeFile(join(folder, 'even', 'a-empty.png'), '');
    await writeFile(join(folder, 'even', 'b-text.jpg'), 'this is no image at all');
    await writeFile(
      join(folder, 'even', 'c-svg.png'),
      '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>',
    );
    await image(join(folder, 'loose.png'));
    const seen: string[] = [];
    const source = await openImageFolder(folder, { onProgress: (done, total) => seen.push(`${done}/${total}`) });
    assert.equal(source.files, [
      'even/0.png',
      'even/2.webp',
      'even/4.jpg',
      'even/6.png',
      'odd/1.jpg',
      'odd/3.png',
      'odd/5.webp',
      'odd/7.jpg',
    ]);
    assert.equal([...source.labels!], [0, 0, 0, 0, 1, 1, 1, 1]);
    assert.equal(
      source.skipped.map(({ file }) => file),
      ['even/a-empty.png', 'even/b-text.jpg'],
    );
    const [drawing] = source.leftOut.filter(({ kind }) => kind === 'format');
    assert.is(drawing.path, 'even/c-svg.png');
    assert.match(drawing.reason, /is SVG, a drawing of lines/);
    assert.match(source.leftOutText, /1 in the folder itself \(next to the sub-folders that are the classes\)/);
    assert.match(source.leftOutText, /2 that cannot be decoded: even\/a-empty.png \(is empty/);
    const reasons = source.skipped.map(({ reason }) => reason);
    assert.match(reasons[0], /is empty \(0 bytes\)/);
    assert.match(reasons[1], /is no image: expected the content of a JPEG/);
    assert.equal(
      seen,
      Array.from({ length: 11 }, (_, i) => `${i + 1}/11`),
    );
  }));

for (const format of ['png', 'jpg', 'webp']) {
  test(`a ${format} cut short anywhere is skipped, never half used`, () =>
    inFolder(async (folder) => {
      const whole = join(folder, 'whole', `0.${format}`);
      await noise(whole, 32, 32);
      const bytes = await readFile(whole);
      const cuts = Array.from({ length: 24 }, (_, i) => Math.floor((bytes.length * i) / 24)).concat(bytes.length - 40);
      await mkdir(join(folder, 'cut'));
      for (let i = 0; i < cuts.length; i++) {
        await writeFile(join(folder, 'cut', `${i}.${format}`), bytes.subarray(0, cuts[i]));
        await writeFile(join(folder, 'whole', `${1 + i}.${format}`), bytes);
      }
      const many = 12 * cuts.length;
      for (let i = 0; i < many; i++) await symlink(whole, join(folder, 'whole', `link-${i}.${format}`));
      const source = await openImageFolder(folder);
      assert.equal(
        source.files.filter((file) => file.startsWith('cut')),
        [],
      );
      assert.equal([source.skipped.length, source.length], [cuts.length, 1 + cuts.length + many]);
    }));
}

test('too many bad images are an error that names some of them', () =>
  inFolder(async (folder) => {
    await mkdir(join(folder, 'a'));
    for (let i = 0; i < 6; i++) await writeFile(join(folder, 'a', `bad${i}.png`), '');
    for (let i = 0; i < 54; i++) await image(join(folder, 'a', `${i}.png`));
    assert.is((await openImageFolder(folder)).skipped.length, 6);
    await writeFile(join(folder, 'a', 'bad6.png'), '');
    await refuses(
      openImageFolder(folder),
      /: 7 of 61 images cannot be used: a\/bad0.png \(is empty \(0 bytes\)\), .*, and 2 more; repair/,
    );
    await mkdir(join(folder, 'few'));
    await image(join(folder, 'few', '1.png'));
    await writeFile(join(folder, 'few', '2.png'), '');
    assert.is((await openImageFolder(join(folder, 'few'))).length, 1);
    await writeFile(join(folder, 'few', '3.png'), '');
    await refuses(openImageFolder(join(folder, 'few')), /2 of 3 images cannot be used/);
  }));

test('folders without images, missing folders and files are refused', () =>
  inFolder(async (folder) => {
    await refuses(
      openImageFolder(folder),
      /expected PNG, JPEG, WebP, GIF, TIFF or AVIF files in it or its sub-folders, found none/,
    );
    await mkdir(join(folder, 'a', 'b'), { recursive: true });
    await refuses(openImageFolder(folder), /found none/);
    await refuses(openImageFolder(join(folder, 'none')), /none: no such file or folder/);
    await writeFile(join(folder, 'file.png'), '');
    await refuses(openImageFolder(join(folder, 'file.png')), /part of its path is a file/);
    await refuses(openImageFolder(folder), /1 of 1 images cannot be used/);
  }));

test('a pipe with the name of an image does not hold it up', () =>
  inFolder(async (folder) => {
    await promisify(execFile)('mkfifo', [join(folder, 'pipe.png')]);
    for (const name of ['1.png', '2.png']) await image(join(folder, name));
    for (const verify of ['decode', 'header'] as const) {
      const source = await openImageFolder(folder, { verify });
      assert.match(source.leftOut[0].reason, /neither a file nor a link to one/);
      assert.is(source.leftOutText, 'pipe.png (neither a file nor a link to one)');
    }
  }));

test('what is kept in memory and what is decoded anew is the same', () =>
  inFolder(async (folder) => {
    for (let i = 0; i < 4; i++) await noise(join(folder, `${i}.jpg`), 40 + i, 30);
    const kept = await openImageFolder(folder, { side: 24 });
    const anew = await openImageFolder(folder, { side: 24, cacheBytes: 0 });
    for (let item = 0; item < 4; item++) assert.equal(await kept.load(item, 0), await anew.load(item, 0));
    await truncate(join(folder, '1.jpg'), 100);
    assert.equal([(await kept.load(1, 0)).width, (await kept.load(1, 0)).height], [33, 24]);
    await refuses(anew.load(1, 0), /1\.jpg: .*; remove it and begin again/);
  }));

test("'header' finds what its beginning shows, and loading finds the rest", () =>
  inFolder(async (folder) => {
    for (let i = 0; i < 6; i++) await noise(join(folder, `${i}.png`));
    await truncate(join(folder, '0.png'), 0);
    await truncate(join(folder, '1.png'), 12);
    const { size } = await stat(join(folder, '2.png'));
    await truncate(join(folder, '2.png'), Math.floor(size / 2));
    const source = await openImageFolder(folder, { verify: 'header' });
    assert.equal(source.files, ['2.png', '3.png', '4.png', '5.png']);
    await refuses(source.load(0, 0), /2\.png: .*; remove it and begin again/);
    assert.is((await source.load(1, 0)).width, 64);
  }));

test('without sharp the error prints the line that installs it', () =>
  inFolder(async (folder) => {
    await image(join(folder, 'some', '1.png'));
    const { code, out } = await runOutside(
      `import { DataError } from '#/errors.js';
       import { openImageFolder } from '#/node/data/image_folder.js';
       await openImageFolder('some').catch((error) => {
         console.log(error instanceof DataError, error.message);
         process.exitCode = 3;
       });`,
      folder,
    );
    assert.is(code, 3, out);
    assert.match(
      out,
      /true image folder some: decoding needs the package sharp, which is not installed, looked for in .*: npm i -D sharp\n/,
    );
  }));

test.run();
