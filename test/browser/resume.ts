// The example that resumes, as a user meets it: its page is reloaded in the middle of a training, which ends as one that was not.
import type { Browser, Page } from 'playwright-core';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { launchChromium } from './chromium.js';
import { serveFiles } from './serve_files.js';

const timeout = 120_000;

/** A page on an empty storage of its own, and what goes wrong in it. */
async function open(browser: Browser, url: string): Promise<{ page: Page; errors: string[] }> {
  const page = await (await browser.newContext()).newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.goto(url);
  return { page, errors };
}

/** Waits until the training says so, or gives up; the step that it resumed at, and the digest at its end. */
async function ended(page: Page): Promise<{ resumed: number; digest: string }> {
  const done = /^Done, resumed at step (\d+): SHA-256 of the run ([0-9a-f]{64})$/;
  await page.waitForFunction(() => /^Done/.test(document.querySelector('#status')?.textContent ?? ''), undefined, {
    timeout,
  });
  const [, resumed, digest] = done.exec((await page.textContent('#status')) ?? '') ?? [];
  return { resumed: Number(resumed), digest };
}

/** Waits until a step is done that comes behind a checkpoint of this page. */
async function trainedTo(page: Page, least: number): Promise<void> {
  await page.waitForFunction(
    (step) => Number(/^Step (\d+)/.exec(document.querySelector('#status')?.textContent ?? '')?.[1]) >= step,
    least,
    { timeout },
  );
}

test('a training that is reloaded twice ends as one that runs through, bit for bit', async () => {
  const files = await serveFiles();
  const browser = await launchChromium();
  try {
    const [through, cut] = [
      await open(browser, `${files.url}resume.html`),
      await open(browser, `${files.url}resume.html`),
    ];
    for (const least of [13, 25]) {
      await trainedTo(cut.page, least);
      await cut.page.reload();
    }
    const [whole, resumed] = [await ended(through.page), await ended(cut.page)];
    assert.is(whole.resumed, 0);
    assert.ok(resumed.resumed >= 20 && resumed.resumed % 10 === 0, `resumed at step ${resumed.resumed}`);
    assert.match(resumed.digest, /^[0-9a-f]{64}$/);
    assert.is(resumed.digest, whole.digest);

    await cut.page.reload(); // a run that is done stays so
    assert.equal(await ended(cut.page), { resumed: 60, digest: whole.digest });
    await cut.page.click('#restart');
    await trainedTo(cut.page, 1);
    assert.match((await cut.page.textContent('#status')) ?? '', /resumed at step 0$/);
    assert.equal([...through.errors, ...cut.errors], []);
  } finally {
    await browser.close();
    files.close();
  }
});

test.run();
