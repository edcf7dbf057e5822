import { mkdir, open, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { resizeSquare } from '../../../src/data/resize.js';
import type { RgbaImage } from '../../../src/data/source.js';
import { DataError } from '../../../src/errors.js';
import { decode, decodeSquare, probe, UnreadFormat } from '../../../src/node/data/decode.js';
import { inFolder } from '../../outside.js';
import { generator, seed } from '../../random.js';
import { rejects } from '../../rejects.js';
import { integer, noise, raw, tiff, withChunk } from './images.js';

const test = suite('node/data/decode');
const random = generator();

/** The RGBA pixels of an image by the decoder alone. */
async function plain(image: Sharp | Buffer): Promise<RgbaImage> {
  const bytes = Buffer.isBuffer(image) ? image : await image.png().toBuffer();
  const { data, info } = await sharp(bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: new Uint8Array(data) };
}

function differences(a: RgbaImage, b: RgbaImage): { mean: number; most: number } {
  assert.equal([a.width, a.height, a.pixels.length], [b.width, b.height, b.pixels.length]);
  const all = [...a.pixels].map((level, i) => Math.abs(level - b.pixels[i]));
  return { mean: all.reduce((x, y) => x + y, 0) / all.length, most: all.reduce((x, y) => Math.max(x, y), 0) };
}

/** An image of every format, and of the ways that bytes are laid out in it. */
const kinds: Record<string, (image: Sharp) => Sharp> = {
  jpeg: (image) => image.jpeg(),
  'progressive jpeg': (image) => image.jpeg({ progressive: true }),
  'gray jpeg': (image) => image.grayscale().jpeg(),
  png: (image) => image.png(),
  'interlaced png': (image) => image.png({ progressive: true }),
  'palette png': (image) => image.png({ palette: true }),
  '16-bit png': (image) => image.toColourspace('rgb16').png(),
  webp: (image) => image.webp(),
  'lossless webp': (image) => image.webp({ lossless: true }),
  'webp with alpha': (image) => image.ensureAlpha(0.5).webp(),
  gif: (image) => image.gif(),
  tiff: (image) => image.tiff({ compression: 'none' }),
  'lzw tiff': (image) => image.tiff({ compression: 'lzw' }),
  'deflate tiff': (image) => image.tiff({ compression: 'deflate' }),
  'jpeg tiff': (image) => image.tiff({ compression: 'jpeg' }),
  'packbits tiff': (image) => image.tiff({ compression: 'packbits' }),
  'tiled tiff': (image) => image.tiff({ compression: 'deflate', tile: true, tileWidth: 16, tileHeight: 16 }),
  avif: (image) => image.avif(),
  'lossless avif': (image) => image.avif({ lossless: true }),
};

/** Bytes at the end that no pixel needs: Pillow reads files without them, too. */
const padding: Record<string, number> = { png: 12, 'interlaced png': 12, 'palette png': 12, '16-bit png': 12, gif: 1 };

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: read whole, refused cut short anywhere`, async () => {
    const bytes = await make(noise(40, 36)).toBuffer();
    const whole = await decode(bytes, 64);
    assert.equal([whole.width, whole.height, whole.pixels.length], [40, 36, 40 * 36 * 4]);
    const square = await decodeSquare(bytes, 16);
    assert.equal([square.width, square.height, square.pixels.length], [16, 16, 1024]);
    const needed = bytes.length - (padding[kind] ?? 0);
    const cuts = Array.from({ length: 24 }, (_, i) => Math.floor((needed * i) / 24)).concat(
      [1, 2, 3, 5, 8, 13, 40].map((n) => needed - n),
    );
    for (const cut of cuts) {
      const part = bytes.subarray(0, cut);
      const what = `${kind} cut at ${cut} of ${bytes.length} (seed ${seed})`;
      for (const work of [() => decode(part, 64), () => decode(part, 12), () => decodeSquare(part, 16)]) {
        const error = await work().catch((thrown: Error) => thrown);
        assert.instance(error, DataError, what);
        assert.not.match((error as Error).message, /\n/);
      }
    }
    assert.equal(await decode(bytes.subarray(0, needed), 64), whole);
    assert.equal(await decode(Buffer.concat([bytes, Buffer.alloc(501)]), 64), whole, 'with bytes after the end');
  });
}

test('a square is not made of a file that ends below it', async () => {
  for (const [kind, make] of Object.entries(kinds)) {
    for (const [width, height, orientation] of [
      [20, 60, 1],
      [20, 300, 1],
      [20, 300, 2],
      [300, 20, 6],
      [300, 20, 1],
    ]) {
      const image = noise(width, height);
      const bytes = await make(orientation > 1 ? image.withMetadata({ orientation }) : image).toBuffer();
      // Metadata may be what comes last.
      const rest = orientation > 1 ? bytes.length >> 2 : (padding[kind] ?? 0);
      const what = `${kind} of ${width}x${height}, ${orientation} (seed ${seed})`;
      for (const size of [2, 16]) {
        assert.is((await decodeSquare(bytes, size)).width, size, what);
        const cut = bytes.subarray(0, bytes.length - rest - integer(1, bytes.length >> 4));
        assert.instance(await decodeSquare(cut, size).catch((error) => error), DataError, what);
      }
    }
  }
});

test('a tiff that begins with its directory is refused cut short', async () => {
  const levels = Uint16Array.from({ length: 30 * 20 }, () => integer(0, 65535));
  const bytes = tiff(levels, 30, 20, 1, 1);
  assert.is((await decode(bytes, 64)).width, 30);
  for (let cut = 8; cut < bytes.length; cut += 37)
    await rejects(() => decode(bytes.subarray(0, cut), 64), DataError, /./);
});

/** A JPEG with a segment after its first marker. */
const withSegment = (jpeg: Buffer, marker: number, text: string) => {
  const data = Buffer.from(text, 'latin1');
  const head = Buffer.from([0xff, marker, (data.length + 2) >> 8, (data.length + 2) & 255]);
  return Buffer.concat([jpeg.subarray(0, 2), head, data, jpeg.subarray(2)]);
};

const patched = (bytes: Buffer, at: number, ...values: number[]) => {
  const copy = Buffer.from(bytes);
  copy.set(values, at);
  return copy;
};

const inserted = (bytes: Buffer, at: number, ...values: number[]) =>
  Buffer.concat([bytes.subarray(0, at), Buffer.from(values), bytes.subarray(at)]);

test('what decoders only warn of is read as if nothing were', async () => {
  const jpeg = await noise(40, 36).jpeg().toBuffer();
  const scan = jpeg.indexOf(Buffer.from([0xff, 0xda]));
  const spectral = scan + 5 + 2 * jpeg[scan + 4];
  const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0, 0, 17]));
  const jfif = withSegment(jpeg, 0xe0, 'JFIF\0\x01\x01\0\0\x01\0\x01\0\0');
  const files = {
    'spectral selection of zeros': patched(jpeg, spectral, 0, 0, 0),
    'successive approximation in a sequential scan': patched(jpeg, spectral, 0, 63, 1),
    'JFIF 3.01': patched(jfif, jfif.indexOf('JFIF') + 5, 3),
    'junk before a marker': inserted(jpeg, frame, 0x11, 0x22, 0x33),
    'filling before a marker': inserted(jpeg, frame, 0xff, 0xff),
    'junk before the end': inserted(jpeg, jpeg.length - 2, 0x11, 0x22, 0x33),
    'a corrupt profile': withSegment(jpeg, 0xe2, `ICC_PROFILE\0\x01\x01${'garbage'.repeat(20)}`),
    'a part of a profile': withSegment(jpeg, 0xe2, `ICC_PROFILE\0\x02\x05${'garbage'.repeat(20)}`),
    'corrupt EXIF': withSegment(jpeg, 0xe1, `Exif\0\0MM\0*\0\0\xff\xff${'garbage'.repeat(20)}`),
    'EXIF cut short': withSegment(jpeg, 0xe1, 'Exif\0\0II'),
    'corrupt XMP': withSegment(jpeg, 0xe1, 'http://ns.adobe.com/xap/1.0/\0<<<bad'),
    'a second image behind': Buffer.concat([jpeg, jpeg]),
  };
  const whole = await decode(jpeg, 64);
  for (const [what, bytes] of Object.entries(files)) assert.equal(await decode(bytes, 64), whole, what);

  const png = await noise(40, 36).png().toBuffer();
  const chunks = {
    'a corrupt profile': withChunk(png, 'iCCP', Buffer.concat([Buffer.from('bad\0\0'), deflateSync('garbage')])),
    'a profile that is not compressed': withChunk(png, 'iCCP', 'bad\0\0garbagegarbage'),
    'an unknown intent': withChunk(png, 'sRGB', '\x09'),
    'a wrong sum of a text': withChunk(png, 'tEXt', 'Title\0x', 1),
    'a wrong sum of a gamma': withChunk(png, 'gAMA', '\0\0\xb1\x8f', 1),
    'no gamma': withChunk(png, 'gAMA', '\0\0\0\0'),
    'corrupt EXIF': withChunk(png, 'eXIf', 'garbage'),
    'a text that does not end': withChunk(png, 'tEXt', 'garbage'.repeat(20)),
  };
  const all = await decode(png, 64);
  for (const [what, bytes] of Object.entries(chunks)) assert.equal(await decode(bytes, 64), all, what);
});

test('large images are reduced, small ones are not enlarged, turned ones are set upright', async () => {
  const cases: [number, number, number, number, number][] = [
    [400, 100, 1, 128, 32],
    [30, 10, 1, 30, 10],
    [40, 20, 6, 20, 40],
    [100, 150, 1, 64, 96],
    [150, 100, 6, 64, 96],
    [100, 100, 8, 64, 64],
  ];
  for (const [width, height, orientation, across, down] of cases) {
    const image = noise(width, height).withMetadata({ orientation });
    const { width: w, height: h } = await decode(await image.jpeg().toBuffer(), 64);
    assert.equal([w, h], [across, down], `${width}x${height}`);
  }
});

test('a square of a small image is that of its pixels, bit for bit, whichever way it lies', async () => {
  for (let i = 0; i < 12; i++) {
    const size = integer(5, 20);
    const shorter = integer(1, 4 * size);
    const longer = integer(shorter, 10 * shorter);
    const [width, height] = i % 2 ? [shorter, longer] : [longer, shorter];
    const orientation = integer(1, 8);
    const image = noise(width, height).withMetadata({ orientation });
    const bytes = await (i % 3 ? image.png() : image.jpeg()).toBuffer();
    const upright = await plain(await sharp(bytes).autoOrient().png().toBuffer());
    const square = await decodeSquare(bytes, size);
    const expected = resizeSquare(upright, size);
    assert.equal([...square.pixels], [...expected.pixels], `${width}x${height}, ${orientation} (seed ${seed})`);
  }
});

/** Slopes, noise and hard edges. */
function scene(width: number, height: number): Sharp {
  const pixels = new Uint8ClampedArray(width * height * 3);
  const waves = Array.from({ length: 12 }, () => [0.001 * 600 ** random(), random() * 7, random() * 7, integer(0, 2)]);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const levels = [128, 128, 128];
      for (const [pace, turn, phase, c] of waves) {
        const at = pace * (x * Math.cos(turn) + y * Math.sin(turn)) + phase;
        levels[c] += c === 1 ? 20 * Math.sign(Math.sin(at)) : 25 * Math.sin(at);
      }
      for (let c = 0; c < 3; c++) pixels[(y * width + x) * 3 + c] = levels[c] + 20 * random();
    }
  }
  return raw(new Uint8Array(pixels.buffer), width, height, 3);
}

test('squares of large images, panoramas and towers are those of all their pixels', async () => {
  for (const [width, height] of [
    [803, 601],
    [599, 1001],
    [3001, 151],
    [149, 2999],
  ]) {
    const bytes = await (height === 601 ? scene(width, height).webp() : scene(width, height).jpeg()).toBuffer();
    const { data } = await sharp(bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    const expected = resizeSquare({ width, height, pixels: data }, 32);
    const { mean, most } = differences(await decodeSquare(bytes, 32), expected);
    const what = `${width}x${height} (seed ${seed}): ${mean} levels off, ${most} at most`;
    assert.ok(mean < 0.3 && most <= 4, what);
  }
});

test('images that are not decoded are told by name, whatever theirs is', async () => {
  const heic = Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from('ftypheic\0\0\0\0mif1heic'), Buffer.alloc(99)]);
  const bmp = Buffer.concat([Buffer.from('BM'), Buffer.alloc(60)]);
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>');
  for (const [bytes, format, message] of [
    [heic, 'heic', /its content is HEIC: convert to JPEG/],
    [bmp, 'bmp', /its content is BMP: convert to PNG/],
    [svg, 'svg', /its content is SVG, .*: export as PNG/],
    [Buffer.from('P6\n1 1\n255\n   '), 'pnm', /PNM/],
  ] as const) {
    for (const work of [() => decode(bytes, 8), () => decodeSquare(bytes, 8)]) {
      await rejects(work, UnreadFormat as unknown as typeof DataError, message);
      assert.is(await work().catch((error) => error.format), format);
    }
  }
  for (const text of ['this is no image at all', '%PDF-1.4', 'GIF', '\xff\xd8'])
    await rejects(
      () => decode(Buffer.from(text, 'latin1'), 8),
      DataError,
      /is no image: expected the content of a JPEG/,
    );
  await rejects(() => decode(new Uint8Array(0), 8), DataError, /is empty \(0 bytes\)/);
});

test('more pixels than the decoder takes are a DataError', async () => {
  const png = await noise(1, 1).png().toBuffer();
  const head = Buffer.from(png.subarray(12, 29));
  head.writeUInt32BE(40000, 4);
  head.writeUInt32BE(40000, 8);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(head));
  const bytes = Buffer.concat([png.subarray(0, 12), head, sum, png.subarray(33)]);
  for (const work of [() => decode(bytes, 8), () => decodeSquare(bytes, 8)])
    await rejects(work, DataError, /^[^\n]*pixel limit[^\n]*$/);
});

test('damaged files never do more than throw', async () => {
  for (const [kind, make] of Object.entries(kinds)) {
    const bytes = await make(noise(40, 36)).toBuffer();
    for (let i = 0; i < 10; i++) {
      const at = integer(0, bytes.length - 4);
      const damaged = patched(bytes, at, integer(0, 255), integer(0, 255), integer(0, 255), integer(0, 255));
      const result = await decodeSquare(damaged, 8).catch((error) => error);
      if (result instanceof Error)
        assert.instance(result, DataError, `${kind} at ${at} (seed ${seed}): ${result.stack}`);
      else assert.is(result.pixels.length, 256, `${kind} at ${at} (seed ${seed})`);
    }
  }
});

test('probing looks at the beginning only, and waits for no pipe', () =>
  inFolder(async (folder) => {
    const at = (name: string) => join(folder, name);
    const png = await noise(64, 64).png().toBuffer();
    await writeFile(at('good.jpg'), png.subarray(0, png.length / 2));
    await writeFile(at('empty.png'), '');
    await writeFile(at('short.png'), png.subarray(0, 12));
    await writeFile(at('text.png'), 'this is no image at all, however long it may be');
    await writeFile(at('drawing.png'), '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>');
    await symlink(at('nowhere'), at('lost.png'));
    await mkdir(at('folder.png'));
    await probe(at('good.jpg'));
    await probe(Buffer.from(at('good.jpg')));
    await rejects(() => probe(at('empty.png')), DataError, /is empty \(0 bytes\)/);
    await rejects(() => probe(at('short.png')), DataError, /./);
    await rejects(() => probe(at('text.png')), DataError, /is no image/);
    await rejects(() => probe(at('drawing.png')), UnreadFormat as unknown as typeof DataError, /SVG/);
    await rejects(() => probe(at('lost.png')), DataError, /the link leads nowhere/);
    await rejects(() => probe(at('folder.png')), DataError, /neither a file nor a link to one/);
    const foreign = Buffer.concat([Buffer.from(at('b')), Buffer.from([0xff]), Buffer.from('.png')]);
    const handle = await open(foreign, 'w').catch(() => undefined); // systems may take only UTF-8
    if (handle) {
      await handle.writeFile(png);
      await handle.close();
      await probe(foreign);
    }
  }));

test.run();
