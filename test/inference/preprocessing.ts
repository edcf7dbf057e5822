// The JavaScript of docs/guides/preprocessing.md, run as it stands in Node and in a browser: it gives our own features.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as ort from 'onnxruntime-web';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { imagenetStatistics } from '../../src/ops/augment.js';
import type { Device } from '../../src/runtime/device.js';
import { launchChromium } from '../browser/chromium.js';
import { serveFiles } from '../browser/serve_files.js';
import { openTestDevice } from '../device.js';
import { assertAlike, likeness, ownFeatures, runModel, size, writeCode, writeImages } from '../preprocessing.js';
import { generator } from '../random.js';

const folder = mkdtempSync(resolve('build', 'preprocessing-')); // in the package, so that its code finds onnxruntime-web
const { mean, std } = imagenetStatistics;
const at = (name: string) => join(folder, name);
let device: Device;
let files: string[];
let own: Awaited<ReturnType<typeof ownFeatures>>;
async function setUp(): Promise<void> {
  ort.env.wasm.numThreads = 1;
  const random = generator(3);
  device = await openTestDevice();
  files = await writeImages(at('images'), random);
  own = await ownFeatures(device, random, at('images'));
  writeCode(folder, 'js');
}

let trouble: unknown;
test.before(() =>
  setUp().catch((error) => {
    trouble = error;
  }),
);
test.before.each(() => {
  if (trouble) throw trouble; // in a test, which shows it
});
test.after(() => {
  device?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

interface Decoded {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}
interface Page {
  decode(file: string): Promise<Decoded>;
  preprocess(image: Decoded, size: number): Float32Array;
  embed(model: Uint8Array, files: string[]): Promise<Float32Array[]>;
}
const code = (name: string): Promise<Page> => import(pathToFileURL(at(name)).href);

test('in Node, by sharp and onnxruntime', async () => {
  const { embed } = await code('embed.js');
  const rows = await embed(
    own.model,
    files.map((file) => join(at('images'), file)),
  );
  assertAlike(rows, own.rows, files);
});

test('features of images that are prepared otherwise are others', async () => {
  const { preprocess } = await code('preprocess.js');
  const { decode } = await code('decode.js');
  const name = 'portrait.jpg';
  const { width, height, data } = await decode(at(`images/${name}`));
  const input = preprocess({ width, height, data }, size);
  const plane = (c: number) => [...input.subarray(c * size * size, (c + 1) * size * size)];
  const squeezed = sharp(data, { raw: { width, height, channels: 4 } }).resize(size, size, { fit: 'fill' });
  const square = { width: size, height: size, data: await squeezed.raw().toBuffer() };
  const others = {
    'blue, green, red': Float32Array.from([2, 1, 0].flatMap(plane)),
    'not normalized': input.map((value, i) => value * std[Math.floor(i / size ** 2)] + mean[Math.floor(i / size ** 2)]),
    squeezed: preprocess(square, size),
  };
  const rows = await runModel(own.model, Object.values(others));
  for (const [i, what] of Object.keys(others).entries()) {
    const close = likeness(rows[i], own.rows[files.indexOf(name)], own.rows);
    assert.ok(close < 0.95, `${what}: cosine ${close}`);
  }
});

test('in a browser, by a canvas', async () => {
  const served = await serveFiles();
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(new URL('/LICENSE', served.url).href);
    const base = new URL(`/build/${folder.split(/[\\/]/).at(-1)}/`, served.url).href;
    const inputs: Float32Array[] = [];
    for (const file of files) {
      const bytes = readFileSync(join(at('images'), file)).toString('base64');
      const input = await page.evaluate(
        async ([base, bytes, size]) => {
          const { decode } = await import(`${base}decode_in_browser.js`);
          const { preprocess } = await import(`${base}preprocess.js`);
          const blob = await (await fetch(`data:application/octet-stream;base64,${bytes}`)).blob();
          return [...preprocess(await decode(blob), size)] as number[];
        },
        [base, bytes, size] as const,
      );
      inputs.push(Float32Array.from(input));
    }
    assertAlike(await runModel(own.model, inputs), own.rows, files);
  } finally {
    await browser.close();
    served.close();
  }
});

test.run();
