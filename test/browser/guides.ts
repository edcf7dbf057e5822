// The JavaScript of docs/guides: it parses, bundles, trains in a browser, and imports what there is; files that stand in examples as well are the same there.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { build, transform } from 'esbuild';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blocksOf, docsPages } from '../programs.js';
import { generator } from '../random.js';
import { launchChromium } from './chromium.js';
import { serveFiles } from './serve_files.js';

const guides = docsPages().filter((page) => page.startsWith(join('docs', 'guides')));
const folder = resolve('build', `guides-${process.pid}`); // in the package, which finds itself by name
mkdirSync(folder, { recursive: true });
test.after(() => rmSync(folder, { recursive: true, force: true }));

/** Import statements of names from slimgrad: the entry, the names. */
const importsOf = (code: string) =>
  [...code.matchAll(/(?:import|const) \{([^}]+)\} (?:from |= require\()'(slimgrad[^']*)'/g)].map(
    ([, names, entry]) => ({
      entry,
      names: names.split(',').map((name) => name.trim()),
    }),
  );

test('every block parses, and imports names that exist', async () => {
  let names = 0;
  for (const page of guides)
    for (const code of blocksOf(page, 'js')) {
      await transform(code, { loader: 'js' });
      for (const { entry, names: wanted } of importsOf(code)) {
        const module: Record<string, unknown> = await import(entry);
        for (const name of wanted) assert.ok(name in module, `${page}: ${entry} has ${name}`);
        names += wanted.length;
      }
    }
  assert.ok(names > 10, `found ${names} names`);
});

test('esbuild bundles a page and its worker side by side, which train in a browser', async () => {
  const named = blocksOf('docs/guides/browser.md', 'js').filter((code) => /^\/\/ (page|worker)\.js\n/.test(code));
  assert.is(named.length, 2);
  const entryPoints = named.map((code) => {
    const path = join(folder, code.slice(3, code.indexOf('\n')));
    writeFileSync(path, code);
    return path;
  });
  const outdir = join(folder, 'public');
  const { warnings } = await build({ bundle: true, format: 'esm', outdir, logLevel: 'silent', entryPoints });
  assert.equal(warnings, []);
  const inputs = '<input type="file" multiple><output></output>';
  writeFileSync(join(outdir, 'page.html'), `${inputs}<script type="module" src="page.js"></script>`);
  const random = generator(1);
  const image = async (i: number) => {
    const pixels = Uint8Array.from({ length: 40 * 40 * 3 }, () => 256 * random());
    const buffer = await sharp(pixels, { raw: { width: 40, height: 40, channels: 3 } })
      .png()
      .toBuffer();
    return { name: `${i}.png`, mimeType: 'image/png', buffer };
  };
  const files = await serveFiles();
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(new URL(`/build/${basename(folder)}/public/page.html`, files.url).href);
    await page.setInputFiles('input', await Promise.all(Array.from({ length: 8 }, (_, i) => image(i))));
    const settled = () => !/^(|Step.*)$/.test(document.querySelector('output')?.textContent ?? '');
    await page.waitForFunction(settled, undefined, { timeout: 120_000 });
    assert.is(await page.textContent('output'), 'Done');
  } finally {
    await browser.close();
    files.close();
  }
});

test('the checkpoint file of the guide is that of the example', () => {
  const example = readFileSync('examples/browser/checkpoint_file.js', 'utf8');
  const [code] = blocksOf('docs/guides/resume.md', 'js');
  const functions = code.split(/^(?=export )/m).slice(1);
  assert.is(functions.length, 2);
  for (const text of functions) assert.ok(example.includes(text.trim()), text);
});

test.run();
