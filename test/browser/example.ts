// The example for browsers, as a user opens it: images are picked, an encoder is trained on them in a worker, pairs are shown.
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { generator } from '../random.js';
import { launchChromium } from './chromium.js';
import { serveFiles } from './serve_files.js';

test('images are picked, trained on in a worker, and shown beside the most alike', async () => {
  const random = generator();
  const noise = (width: number, height: number) =>
    sharp(
      Uint8Array.from({ length: width * height * 3 }, () => 256 * random()),
      { raw: { width, height, channels: 3 } },
    );
  const image = async (i: number) => ({
    name: `${i}.png`,
    mimeType: 'image/png',
    buffer: await noise(30 + i, 40)
      .png()
      .toBuffer(),
  });
  const files = await serveFiles();
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    await page.goto(files.url);
    await page.setInputFiles('#files', await Promise.all([1, 2, 3].map(image)));
    assert.match((await page.textContent('#status')) ?? '', /8 images or more, not 3/);
    const images = await Promise.all(Array.from({ length: 9 }, (_, i) => image(i)));
    await page.setInputFiles('#files', images);
    await page.waitForFunction(() => document.querySelectorAll('figure').length === 9, undefined, { timeout: 120_000 });
    assert.match((await page.textContent('#status')) ?? '', /^Each image beside the one most like it/);
    const names = await page.$$eval('figure', (figures) =>
      figures.map((figure) => [...figure.querySelectorAll('img')].map(({ alt }) => alt)),
    );
    for (const [own, other] of names) assert.is.not(own, other);
    assert.equal(
      names.map(([own]) => own),
      images.map(({ name }) => name),
    );
    const cosines = await page.$$eval('figcaption', (captions) =>
      captions.map(({ textContent }) => Number(textContent)),
    );
    for (const cosine of cosines) assert.ok(cosine > -1 && cosine <= 1, String(cosine));
    assert.equal(errors, []);
    if (process.env.SLIMGRAD_SCREENSHOT) await page.screenshot({ path: process.env.SLIMGRAD_SCREENSHOT });
  } finally {
    await browser.close();
    files.close();
  }
});

test.run();
