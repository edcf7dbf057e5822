// The library in a page: its own Chromium, its own server, the operator fixtures and training steps of test/fixtures.
import { readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { launchChromium } from './browser/chromium.js';
import { type Result, servePage } from './browser/serve.js';

const timeLimit = 240_000;
const fixtures = readdirSync('test/fixtures').filter((file) => file.endsWith('.safetensors'));
const results = new Map<string, Result>();
let script = '';
let trouble: unknown;

async function runPage(): Promise<void> {
  const server = await servePage();
  script = server.script;
  let watchdog: NodeJS.Timeout | undefined;
  try {
    const browser = await launchChromium();
    try {
      const page = await browser.newPage();
      const broken = new Promise<never>((_, reject) => {
        watchdog = setTimeout(() => reject(new Error(`the page took over ${timeLimit / 1000} s`)), timeLimit);
        page.on('pageerror', reject);
        page.on('crash', () => reject(new Error('the page crashed')));
        browser.on('disconnected', () => reject(new Error('the browser went away')));
      });
      // Closing the browser in the end rejects this too; by then nobody waits for it.
      broken.catch(() => undefined);
      const query = new URLSearchParams(fixtures.map((name) => ['fixture', name]));
      await page.goto(`${server.url}?${query}`);
      for (const result of await Promise.race([server.results, broken])) results.set(result.name, result);
    } finally {
      clearTimeout(watchdog);
      await browser.close();
    }
  } finally {
    await server.close();
  }
}

test.before(() =>
  runPage().catch((error) => {
    trouble = error;
  }),
);

const both = fixtures.flatMap((name) => [name, `${name}, plain device`]);
for (const name of ['the adapter computes', 'a plan replays', 'tuning is remembered', ...both]) {
  test(`in Chromium: ${name}`, () => {
    if (trouble) throw trouble;
    const result = results.get(name);
    assert.ok(result, `no result came from the page; it sent ${[...results.values()].map((r) => r.failure ?? r.name)}`);
    assert.is(result.failure, undefined);
    assert.ok(result.error <= result.tolerance, `error ${result.error} over ${result.tolerance}`);
  });
}

test('the bundle needs nothing of Node and carries no shader parser', () => {
  assert.ok(script.includes('@compute'), 'the bundle holds the kernels');
  for (const alien of ['node:', 'WgslReflect', 'wgsl_reflect', 'require('])
    assert.not.ok(script.includes(alien), alien);
});

test.run();
