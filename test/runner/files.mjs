// The files of tests, and which of them a path names.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { longest, once } from './slow.mjs';

/** Every file of tests, by its path below test/, the longest first. */
export function testFiles() {
  const names = readdirSync('test', { recursive: true })
    .map((path) => path.replaceAll('\\', '/'))
    .filter(
      (path) => path.endsWith('.ts') && /^\s*(else )?test\d*\.run\(\)/m.test(readFileSync(join('test', path), 'utf8')),
    )
    .map((path) => path.slice(0, -'.ts'.length));
  const gone = [...longest, ...Object.keys(once)].find((name) => !names.includes(name));
  if (gone) throw new Error(`test/runner/slow.mjs: '${gone}' is not a file of tests`);
  const rank = (name) => (longest.includes(name) ? longest.indexOf(name) : longest.length);
  return names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Those of `files` that the paths name, each a file or a folder; all where there are no paths. Throws where one names none. */
export function namedFiles(files, paths) {
  const chosen = new Set(paths.length > 0 ? paths.flatMap((path) => named(files, path)) : files);
  return files.filter((name) => chosen.has(name));
}

function named(files, path) {
  const name = path
    .replaceAll('\\', '/')
    .replace(/^\.\//, '')
    .replace(/^test(\/|$)/, '')
    .replace(/(\.ts|\/)$/, '');
  const found = files.filter((file) => name === '' || file === name || file.startsWith(`${name}/`));
  if (found.length === 0) throw new Error(`no test of the name '${path}': did you mean '${nearest(name, files)}'?`);
  return found;
}

/** The name of fewest edits; of equal ones the first. */
function nearest(given, names) {
  const folders = names.map((name) => name.replace(/\/[^/]*$/, ''));
  const distances = [...new Set([...names, ...folders])].map((name) => [edits(given, name), name]);
  return distances.reduce((best, next) => (next[0] < best[0] ? next : best))[1];
}

function edits(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++)
      row.push(Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
  }
  return row[b.length];
}

/** Whether `file` is there and was written after everything in `sources`; a folder changes when a file of it goes. */
export function isNewer(file, sources) {
  if (!existsSync(file)) return false;
  const written = statSync(file).mtimeMs;
  const inside = (path) => (statSync(path).isDirectory() ? readdirSync(path, { recursive: true }) : []);
  return sources.every((path) =>
    [path, ...inside(path).map((name) => join(path, name))].every((each) => statSync(each).mtimeMs < written),
  );
}
