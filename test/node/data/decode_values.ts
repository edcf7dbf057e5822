import { deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { resizeSquare } from '../../../src/data/resize.js';
import type { RgbaImage } from '../../../src/data/source.js';
import { ConfigError, DataError } from '../../../src/errors.js';
import { decode, decodeSquare } from '../../../src/node/data/decode.js';
import { rejects } from '../../rejects.js';
import { noise, raw, tiff, withChunk } from './images.js';

const test = suite('node/data/decode_values');

function color({ pixels }: RgbaImage): number[] {
  const first = [...pixels.subarray(0, 4)];
  for (let at = 0; at < pixels.length; at += 4) assert.equal([...pixels.subarray(at, at + 4)], first);
  return first;
}

function near(image: RgbaImage, expected: number[], what: string): void {
  for (const [c, level] of color(image).entries())
    assert.ok(Math.abs(level - expected[c]) <= 1, `${what}: ${[...image.pixels.subarray(0, 4)]}, not ${expected}`);
}

test('16 bits become 8 over their whole range, or that which is told', async () => {
  const levels = Uint16Array.of(0, 128, 129, 257, 1000, 32768, 65406, 65407, 65535, 4095, 2000, 3000);
  const gray = tiff(levels, 4, 3, 1, 1);
  const firsts = async (range?: readonly [number, number], bytes = gray) =>
    [...(await decode(bytes, 64, { range })).pixels].filter((_, i) => i % 4 === 0);
  assert.equal(
    await firsts(),
    [...levels].map((level) => Math.round(level / 257)),
  );
  const ranged = (black: number, white: number) =>
    [...levels].map((v) => Math.min(Math.max(Math.round((255 * (v - black)) / (white - black)), 0), 255));
  assert.equal(await firsts([0, 4095]), ranged(0, 4095));
  assert.equal(await firsts([1000, 3000]), ranged(1000, 3000));
  assert.equal(await firsts([4095, 0]), ranged(4095, 0));
  const png = await sharp(gray).toColourspace('grey16').png().toBuffer();
  assert.is((await sharp(png).metadata()).depth, 'ushort');
  assert.equal(await firsts([0, 4095], png), ranged(0, 4095));
  const square = await decodeSquare(png, 3, { range: [0, 4095] });
  assert.equal(square, resizeSquare(await decode(png, 64, { range: [0, 4095] }), 3));

  const rgb = await decode(tiff(Uint16Array.of(257, 514, 771), 1, 1, 3, 1), 64);
  assert.equal([...rgb.pixels], [1, 2, 3, 255]);
  const clear = await decode(tiff(Uint16Array.of(65535, 0, 257, 128 * 257), 1, 1, 4, 1), 64);
  assert.equal([...clear.pixels], [191, 63, 64, 255]);
  const grayAlpha = await decode(tiff(Uint16Array.of(65535, 0, 65535, 65535), 2, 1, 2, 1), 64);
  assert.equal([...grayAlpha.pixels], [128, 128, 128, 255, 255, 255, 255, 255]);

  const eight = await noise(5, 4).png().toBuffer();
  assert.equal(await decode(eight, 64, { range: [10, 20] }), await decode(eight, 64));
  for (const range of [
    [1, 1],
    [0, Number.NaN],
    [Number.NEGATIVE_INFINITY, 1],
  ] as const) {
    await rejects(() => decode(eight, 64, { range }), ConfigError, /two different finite values/);
    await rejects(() => decodeSquare(eight, 64, { range }), ConfigError, /two different finite values/);
  }
});

test('other kinds of values need a range', async () => {
  const range = [-1, 4] as const;
  const of: Record<string, [Buffer, number[], RegExp]> = {
    float: [tiff(Float32Array.of(-2, 0, 1.5, Number.NaN), 4, 1, 1, 3), [0, 51, 128, 0], /float values: say which/],
    unsigned: [tiff(Uint32Array.of(0, 1, 3, 900000), 4, 1, 1, 1), [51, 102, 204, 255], /32-bit values: say which/],
    'signed rgb': [tiff(Int16Array.of(-1, 0, 3), 1, 1, 3, 2), [0], /signed 16-bit values: say which/],
  };
  for (const [kind, [bytes, expected, message]] of Object.entries(of)) {
    await rejects(() => decode(bytes, 64), DataError, message);
    const { pixels } = await decode(bytes, 64, { range });
    assert.equal(
      [...pixels].filter((_, i) => i % 4 === 0),
      expected,
      kind,
    );
  }
  const signed = tiff(Int16Array.of(-50, 0, 50, 100), 4, 1, 1, 2);
  await rejects(
    () => decode(signed, 64, { range }),
    DataError,
    /signed 16-bit values of 16 bits, which cannot be read/,
  );
  const { pixels } = await decode(signed, 64, { range: [0, 100] });
  assert.equal([pixels[0], pixels[4], pixels[12]], [0, 0, 255]);
  const half = tiff(Uint16Array.of(0x3c00, 0, 0x4000, 0), 4, 1, 1, 3);
  await rejects(() => decode(half, 64, { range }), DataError, /float values of 16 bits, which cannot be read/);
  const clear = tiff(Float32Array.of(1, 1, 1, 1), 1, 1, 4, 3);
  await rejects(() => decode(clear, 64, { range }), DataError, /and an alpha channel/);
  await rejects(() => decode(tiff(Float64Array.of(1), 1, 1, 1, 3), 64, { range }), DataError, /./);
});

test('every kind of pixel becomes RGBA on mid-gray', async () => {
  let sides = { width: 5, height: 3 };
  const of = (r: number, g: number, b: number, alpha = 1) =>
    sharp({ create: { ...sides, channels: 4, background: { r, g, b, alpha } } });
  const opaque = (level: number) => of(level, level, level).removeAlpha();
  const files = (): [string, Sharp, number[]][] => [
    ['clear', of(255, 0, 0, 0).png(), [128, 128, 128, 255]],
    ['half clear', of(255, 0, 0, 128 / 255).webp({ lossless: true }), [191, 63, 63, 255]],
    ['clear gif', of(255, 0, 0, 0).gif(), [128, 128, 128, 255]],
    ['clear avif', of(255, 0, 0, 0).avif(), [128, 128, 128, 255]],
    ['gray', opaque(70).toColourspace('b-w').png(), [70, 70, 70, 255]],
    ['16-bit gray', opaque(70).toColourspace('grey16').png(), [70, 70, 70, 255]],
    ['palette', opaque(70).png({ palette: true }), [70, 70, 70, 255]],
    ['two colors', opaque(255).png({ palette: true, colors: 2 }), [255, 255, 255, 255]],
    [
      'one bit',
      opaque(255).toColourspace('b-w').tiff({ bitdepth: 1, compression: 'lzw', predictor: 'none' }),
      [255, 255, 255, 255],
    ],
    ['cmyk', opaque(255).toColourspace('cmyk').jpeg({ quality: 100 }), [255, 255, 255, 255]],
    ['gray jpeg', opaque(70).toColourspace('b-w').jpeg(), [70, 70, 70, 255]],
    ['clear gray', opaque(70).toColourspace('b-w').ensureAlpha(0).png(), [128, 128, 128, 255]],
  ];
  for (const [what, image, expected] of files()) {
    const bytes = await image.toBuffer();
    const whole = await decode(bytes, 64);
    assert.equal([whole.width, whole.height], [5, 3], what);
    near(whole, expected, what);
    near(await decodeSquare(bytes, 3), expected, what);
  }
  sides = { width: 50, height: 30 };
  for (const [what, image, expected] of files()) {
    const bytes = await image.toBuffer();
    near(await decode(bytes, 8), expected, `reduced ${what}`);
    near(await decodeSquare(bytes, 4), expected, `reduced ${what}`);
  }
});

test('8 bits are brought to sRGB by their profile, deeper values stay as they are', async () => {
  for (const sides of [
    { width: 6, height: 4 },
    { width: 60, height: 40 },
  ]) {
    const image = () => sharp({ create: { ...sides, channels: 3, background: { r: 200, g: 60, b: 90 } } });
    const managed = await image().withIccProfile('p3').png().toBuffer();
    assert.not.equal((await sharp(managed, { ignoreIcc: true }).raw().toBuffer())[0], 200);
    const ink = await image().toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer();
    const [r, g, b] = await sharp(ink).toColourspace('srgb').raw().toBuffer();
    for (const work of [(bytes: Buffer) => decode(bytes, 8), (bytes: Buffer) => decodeSquare(bytes, 2)]) {
      near(await work(managed), [200, 60, 90, 255], 'Display P3');
      near(await work(ink), [r, g, b, 255], 'cmyk');
    }
  }
  const deep = await raw(Uint16Array.of(200 * 257, 60 * 257, 90 * 257), 1, 1, 3)
    .toColourspace('rgb16')
    .png()
    .toBuffer();
  const { icc } = await sharp(await noise(1, 1).withIccProfile('srgb').png().toBuffer()).metadata();
  const tagged = withChunk(deep, 'iCCP', Buffer.concat([Buffer.from('sRGB\0\0'), deflateSync(icc!)]));
  assert.equal([(await sharp(tagged).metadata()).depth, (await sharp(tagged).metadata()).hasProfile], ['ushort', true]);
  assert.equal([...(await decode(tagged, 8)).pixels], [200, 60, 90, 255]);
});

test('alpha is laid on mid-gray and rounded down', async () => {
  const pixels = new Uint8Array(256 * 256 * 4);
  for (let at = 0; at < pixels.length; at += 4) {
    pixels.fill((at >> 2) & 255, at, at + 3);
    pixels[at + 3] = at >> 10;
  }
  const flat = await decode(await raw(pixels, 256, 256, 4).png().toBuffer(), 256);
  for (let at = 0; at < pixels.length; at += 4) {
    const [level, alpha] = [pixels[at], pixels[at + 3]];
    assert.is(flat.pixels[at], Math.floor((level * alpha + 128 * (255 - alpha)) / 255), `${level}, alpha ${alpha}`);
  }
});

test.run();
