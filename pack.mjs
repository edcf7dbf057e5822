// What npm runs around `npm pack` and `npm publish`: the packed package.json has no scripts. They call files that are not
// packed, and `prepare`, which builds a checkout and a git dependency, would fail for whoever unpacks the package.
//
//   node pack.mjs before   keeps package.json in build, and takes its scripts out
//   node pack.mjs after    puts it back

import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

const manifest = 'package.json';
const kept = 'build/package.json';

/** A package.json's text without its scripts. */
const bare = (text) => `${JSON.stringify({ ...JSON.parse(text), scripts: undefined }, null, 2)}\n`;

const [when] = process.argv.slice(2);
const text = readFileSync(manifest, 'utf8');
if (when === 'before') {
  // where an earlier pack was interrupted, the scripts are already out, and only `kept` has them
  if (JSON.parse(text).scripts) {
    mkdirSync('build', { recursive: true });
    writeFileSync(kept, text);
  }
  writeFileSync(manifest, bare(text));
} else if (when === 'after') {
  // package.json may have been edited since an interrupted pack
  if (!existsSync(kept) || bare(readFileSync(kept, 'utf8')) !== text)
    throw new Error(`pack: ${manifest} is not what was packed; expected ${kept} without its scripts`);
  renameSync(kept, manifest);
} else throw new Error(`pack: expected before or after, got ${when}`);
