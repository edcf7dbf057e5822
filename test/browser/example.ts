// The example for browsers, as a user opens it: images are picked, an encoder is trained on them in a worker, pairs are shown.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { generator } from '../random.js';
import { launchChromium } from './chromium.js';

const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript' };

/** Serves the package's own folder on 127.0.0.1, as any server of files does. */
async function serveFiles() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://page');
    const path = join('.', normalize(pathname.endsWith('/') ? `${pathname}index.html` : pathname));
    await readFile(path).then(
      (body) => response.writeHead(200, { 'content-type': types[extname(path)] ?? 'text/plain' }).end(body),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/examples/browser/`, server };
}

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
  const { url, server } = await serveFiles();
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    await page.goto(url);
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
    server.close();
    server.closeAllConnections();
  }
});

test.run();
