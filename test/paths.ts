// What the documents name exists: links, and paths in backticks that begin with a folder of the repository or of src.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const guides = readdirSync('docs/guides').map((name) => `docs/guides/${name}`);
const pages = ['README.md', 'DESIGN.md', 'CONTRIBUTING.md', 'SECURITY.md', 'bench/NOTES.md', ...guides];
const foldersIn = (folder: string) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
/** What git does not have is none of the repository's. */
const ignored = /^(\.git|node_modules|dist|build|coverage|runs)$/;
const tops = foldersIn('.').filter((name) => !ignored.test(name));
const rooms = foldersIn('src');

/** Where a path may lie: tests are named without their ending, files of src also without src. */
function places(path: string): string[] {
  const [first] = path.split('/');
  if (tops.includes(first)) return [path, `${path}.ts`];
  return rooms.includes(first) && path.endsWith('.ts') ? [`src/${path}`] : [];
}

/** The folder of `kernels/STEM.wgsl`, which stands for every file of such a name. */
const known = (path: string) => existsSync(/\b(STEM|NAME|VARIANT|COMMAND)\b/.test(path) ? dirname(path) : path);

for (const page of pages)
  test(page, () => {
    const text = readFileSync(page, 'utf8');
    const spans = [...text.matchAll(/(?<!`)`([^`\s]+)`(?!`)/g)].map(([, span]) => span);
    const named = spans.map((span) => ({ span, found: places(span) })).filter(({ found }) => found.length > 0);
    assert.ok(named.length > 0, `found ${named.length} paths`);
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g))
      assert.ok(existsSync(join(dirname(page), target)), `${page}: ${target}`);
    const missing = named.filter(({ found }) => !found.some(known)).map(({ span }) => span);
    assert.equal(missing, [], `${page} names what is not there`);
  });

test.run();
