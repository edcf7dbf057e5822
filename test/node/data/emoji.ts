import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import sharp from 'sharp';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openEmoji } from '../../../src/node/data/emoji.js';
import { inFolder, runOutside } from '../../outside.js';

const test = suite('node/data/emoji');
const require = createRequire(import.meta.url);
const drawings = openEmoji();

test('both packages draw 1,906 emoji in 9 categories and 98 subcategories', async () => {
  const emoji = await drawings;
  assert.equal([emoji.length, emoji.images, emoji.classes!.length], [1906, 2, 9]);
  assert.is(new Set(emoji.codes).size, 1906);
  const sizes = new Array<number>(9).fill(0);
  for (const label of emoji.labels!) sizes[label]++;
  assert.is(Math.max(...sizes), 386);
  assert.is(emoji.classes![sizes.indexOf(386)], 'People & Body');
  assert.not(emoji.classes!.includes('Component'));
  assert.equal(emoji.classes, emoji.classes!.toSorted());
  const fine = await openEmoji({ labels: 'subcategory' });
  assert.is(fine.classes!.length, 98);
  assert.is(new Set(fine.labels).size, 98);
  assert.equal(fine.codes, emoji.codes);
});

test('every drawing is the one of its own file, laid on mid-gray', async () => {
  const emoji = await drawings;
  const first = Math.floor(Math.random() * 13);
  for (const [image, style] of (['google', 'twitter'] as const).entries()) {
    const home = `emoji-datasource-${style}`;
    const entries = require(`${home}/emoji.json`) as { unified: string; image: string }[];
    const images = new Map(entries.map(({ unified, image }) => [unified, image]));
    for (const [item, code] of emoji.codes.entries()) {
      const { width, height, pixels } = await emoji.load(item, image as 0 | 1);
      assert.equal([width, height, pixels.length], [64, 64, 64 * 64 * 4]);
      if (item % 13 !== first) continue;
      const file = require.resolve(`${home}/img/${style}/64/${images.get(code)}`);
      const own = await sharp(file).flatten({ background: '#808080' }).ensureAlpha().raw().toBuffer();
      assert.ok(own.equals(Uint8Array.from(pixels)), `${style} ${code} differs from ${images.get(code)}`);
    }
  }
});

const openIt = `import { DataError } from '#/errors.js';
  import { openEmoji } from '#/node/data/emoji.js';
  await openEmoji().catch((error) => {
    console.log(error instanceof DataError, error.message);
    process.exitCode = 3;
  });`;

test('without the packages the error prints the line that installs them', () =>
  inFolder(async (folder) => {
    const { code, out } = await runOutside(openIt, folder);
    assert.is(code, 3, out);
    assert.match(
      out,
      /true emoji: the package emoji-datasource-google .* is not installed, looked for in node_modules of /,
    );
    assert.match(out, /: npm i -D emoji-datasource-google@16 emoji-datasource-twitter@16\n/);
  }));

test('a package with other contents is refused with what is wrong', () =>
  inFolder(async (folder) => {
    for (const style of ['google', 'twitter']) {
      const home = join(folder, 'node_modules', `emoji-datasource-${style}`);
      await mkdir(home, { recursive: true });
      await writeFile(join(home, 'package.json'), '{}');
    }
    const write = (style: string, text: string) =>
      writeFile(join(folder, 'node_modules', `emoji-datasource-${style}`, 'emoji.json'), text);
    const entry = { unified: '0041', category: 'a', subcategory: 'b', sheet_x: 0, sheet_y: 0 };
    const [google, twitter] = [[{ ...entry, has_img_google: true }], [{ ...entry, has_img_twitter: true }]];
    const cases: [string, unknown, RegExp][] = [
      ['{', twitter, /emoji\.json is not JSON; install it again/],
      ['{}', twitter, /the two packages share no emoji/],
      ['[null, 5]', twitter, /the two packages share no emoji/],
      [JSON.stringify([{ ...google[0], sheet_x: -1 }]), twitter, /an entry without code, category or place/],
      [JSON.stringify([{ ...google[0], unified: null }]), twitter, /an entry without code, category or place/],
      [JSON.stringify(google), [{ ...twitter[0], unified: '0042' }], /the two packages share no emoji/],
    ];
    for (const [first, second, message] of cases) {
      await write('google', first);
      await write('twitter', JSON.stringify(second));
      const { code, out } = await runOutside(openIt, folder);
      assert.is(code, 3, out);
      assert.match(out, message);
      assert.match(out, /^true /);
    }
  }));

test.run();
