import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigError, DataError } from '../../../src/errors.js';
import { openImageFolder } from '../../../src/node/data/image_folder.js';
import { inFolder } from '../../outside.js';
import { rejects } from '../../rejects.js';

const test = suite('node/data/image_files');

/** An image in the format that the name's ending says. */
async function image(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await sharp({ create: { width: 16, height: 12, channels: 3, background: { r: 200, g: 100, b: 50 } } }).toFile(path);
}

const refuses = (promise: Promise<unknown>, message: RegExp) => rejects(() => promise, DataError, message);

test('formats are told by content, whatever files are called; what is not read is counted by ending with a remedy', () =>
  inFolder(async (folder) => {
    const file = (name: string) => join(folder, name);
    for (const name of ['1.jpg', '2.png', '3.webp', '4.gif', '5.tif', '6.avif']) await image(file(name));
    for (const [from, to] of [
      '1.jpg a.jfif',
      '1.jpg b.JPE',
      '2.png c.jpg',
      '4.gif d',
      '5.tif e.tiff',
      '6.avif f.heic',
    ].map((names) => names.split(' ')))
      await copyFile(file(from), file(to));
    for (let i = 0; i < 3; i++) await writeFile(file(`IMG_${i}.HEIC`), 'ftypheic'.padStart(12, '\0').padEnd(40, '\0'));
    await writeFile(file('scan.bmp'), 'BM');
    await copyFile(file('IMG_0.HEIC'), file('phone.jpg'));
    await writeFile(file('README.md'), 'no image');
    const source = await openImageFolder(folder);
    assert.equal(source.files, [
      '1.jpg',
      '2.png',
      '3.webp',
      '4.gif',
      '5.tif',
      '6.avif',
      'a.jfif',
      'b.JPE',
      'c.jpg',
      'd',
      'e.tiff',
      'f.heic',
    ]);
    assert.equal(source.skipped, []);
    for (const [n, ending] of [
      [3, 'heic'],
      [1, 'jpg'],
      [1, 'bmp'],
    ])
      assert.match(
        source.leftOutText,
        new RegExp(`${n} \\.${ending} \\([^)]*${ending === 'bmp' ? 'BMP: convert to PNG' : 'HEIC: convert to JPEG'}`),
      );
    assert.match(source.leftOutText, /1 other file/);
    await rm(folder, { recursive: true });
    await mkdir(folder);
    await writeFile(file('1.heic'), 'x');
    await refuses(openImageFolder(folder), /found none; left out: 1 \.heic \(HEIC: convert to JPEG/);
    await writeFile(file('2.jpg'), 'ftypheic'.padStart(12, '\0').padEnd(40, '\0'));
    await refuses(
      openImageFolder(folder),
      /none of its 1 images is of a format that is read here: 2\.jpg \(its content is HEIC/,
    );
  }));

test('folders of systems and thumbnails are left out, counted, and no classes', () =>
  inFolder(async (folder) => {
    for (let i = 0; i < 4; i++) {
      await image(join(folder, `${i}.png`));
      await image(join(folder, '@eaDir', `${i}.png`, 'SYNOPHOTO_THUMB_XL.jpg'));
      await image(join(folder, '$RECYCLE.BIN', `${i}.png`));
      await image(join(folder, '.thumbnails', `${i}.png`));
    }
    await mkdir(join(folder, '__MACOSX'));
    const source = await openImageFolder(folder);
    assert.equal([source.files, source.labels], [['0.png', '1.png', '2.png', '3.png'], undefined]);
    for (const text of [
      '4 images in @eaDir',
      '4 images in $RECYCLE.BIN',
      '4 images in .thumbnails',
      '__MACOSX (no images)',
    ])
      assert.ok(source.leftOutText.includes(text), `${text}: ${source.leftOutText}`);
  }));

test('a tolerance for bad images can be set, and none makes a folder without good ones', () =>
  inFolder(async (folder) => {
    for (let i = 0; i < 4; i++) await image(join(folder, `${i}.png`));
    for (let i = 0; i < 6; i++) await writeFile(join(folder, `bad${i}.png`), 'x');
    await refuses(
      openImageFolder(folder),
      /6 of 10 images cannot be used: .*; repair or remove them, or allow more by --max-bad/,
    );
    await refuses(openImageFolder(folder, { maxBad: 0.59 }), /6 of 10/);
    assert.equal((await openImageFolder(folder, { maxBad: 0.6 })).skipped.length, 6);
    for (let i = 0; i < 4; i++) await rm(join(folder, `${i}.png`));
    await refuses(openImageFolder(folder, { maxBad: 1 }), /6 of 6 images cannot be used/);
    await image(join(folder, '0.png'));
    await rejects(
      () => openImageFolder(folder, { maxBad: 1.5 }),
      ConfigError,
      /expected maxBad to be a share from 0 to 1, got 1.5/,
    );
    await refuses(openImageFolder(folder, { maxBad: 0 }), /6 of 7/);
  }));

test('images of 16 bits are scaled by their range', () =>
  inFolder(async (folder) => {
    const level = (value: number) =>
      sharp(new Uint16Array(36).fill(value), { raw: { width: 6, height: 6, channels: 1 } }).toColourspace('grey16');
    await level(4095).png().toFile(join(folder, 'a.png'));
    await level(1024).png().toFile(join(folder, 'b.png'));
    const levels = async (range?: readonly [number, number]) => {
      const source = await openImageFolder(folder, range ? { range } : {});
      return Promise.all([0, 1].flatMap((item) => [source.load(item, 0), source.square!(item, 0, 6)])).then((all) =>
        all.map((one) => one.pixels[0]),
      );
    };
    assert.equal(await levels(), [16, 16, 4, 4]);
    assert.equal(await levels([0, 4095]), [255, 255, 64, 64]);
    await rejects(() => openImageFolder(folder, { range: [5, 5] }), ConfigError, /two different finite values/);
  }));

test.run();
