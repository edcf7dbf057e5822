// The library in a page: its own server, the operator fixtures and training steps of test/fixtures. In its own Chromium, and
// in this machine's Firefox, if any.
import { readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openChromium } from './chromium.js';
import { hasFirefox, openFirefox } from './firefox.js';
import { resizedHash } from './resized.js';
import { type OpenPage, type Result, servePage } from './serve.js';

const timeLimit = 130_000; // of a browser: the file as a whole has 300 s
const fixtures = readdirSync('test/fixtures').filter((file) => file.endsWith('.safetensors'));
/**
 * Chromium's compiler and adapter are those of Node's tests, which run every fixture: here it runs them on a device without optional
 * features, as phones have, and where there is no Firefox also as it opens a device. Firefox has a compiler of its own: it runs all of them.
 */
const browsers: Record<
  string,
  { open: (url: string) => Promise<OpenPage>; own: readonly string[]; plain: readonly string[] }
> = {
  Chromium: { open: openChromium, own: hasFirefox ? ['trajectory_sgd.safetensors'] : fixtures, plain: fixtures },
  ...(hasFirefox && { Firefox: { open: openFirefox, own: fixtures, plain: [] } }),
};
const checks = [
  'the adapter computes',
  'a plan replays',
  'tuning is remembered',
  'ImageData is embedded',
  'resizing is as in Node',
];
let script = '';

/** What the page finds in a browser, by name. */
async function runPage({ open, own, plain }: (typeof browsers)[string]): Promise<Map<string, Result>> {
  const server = await servePage();
  script = server.script;
  let watchdog: NodeJS.Timeout | undefined;
  try {
    const query = new URLSearchParams(own.map((name) => ['fixture', name]));
    for (const name of plain) query.append('plain', name);
    query.set('resized', String(resizedHash()));
    const page = await open(`${server.url}?${query}`);
    page.broken.catch(() => undefined); // closing rejects it too; by then nobody waits for it
    const late = new Promise<never>((_, reject) => {
      watchdog = setTimeout(() => reject(new Error(`the page took over ${timeLimit / 1000} s`)), timeLimit);
    });
    try {
      const results = await Promise.race([server.results, page.broken, late]);
      return new Map(results.map((result) => [result.name, result]));
    } finally {
      await page.close();
    }
  } finally {
    clearTimeout(watchdog);
    await server.close();
  }
}

for (const [name, browser] of Object.entries(browsers)) {
  let found: Promise<Map<string, Result>> | undefined;
  const { own, plain } = browser;
  for (const check of [...checks, ...own, ...plain.map((fixture) => `${fixture}, plain device`)])
    test(`in ${name}: ${check}`, async () => {
      found ??= runPage(browser);
      const results = await found;
      const result = results.get(check);
      assert.ok(
        result,
        `no result came from the page; it sent ${[...results.values()].map((r) => r.failure ?? r.name)}`,
      );
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
