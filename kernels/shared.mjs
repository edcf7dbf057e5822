// Text that several kernels have in common. It is written once, in kernels/shared/NAME.wgsl, and stands in each of them between
// `// <shared NAME>` and `// </shared>`, so that every kernel is a complete file. `node build.mjs kernels` rewrites the copies.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const folder = 'kernels/shared';
const opening = /^\/\/ <shared (\w+)>$/;
const closing = '// </shared>';

/** The shared blocks by their names. */
export function sharedBlocks() {
  const files = readdirSync(folder).filter((file) => file.endsWith('.wgsl'));
  return new Map(files.map((file) => [file.replace('.wgsl', ''), readFileSync(`${folder}/${file}`, 'utf8').trim()]));
}

/** The names of the shared blocks that a kernel's text has, in order. */
export const sharedIn = (text) => text.split('\n').flatMap((line) => opening.exec(line)?.[1] ?? []);

/**
 * A kernel's text with its copies of shared blocks as they are now.
 *
 * @param {string} file for messages
 * @param {string} text
 * @param {ReadonlyMap<string, string>} blocks
 * @returns {string}
 */
export function withShared(file, text, blocks) {
  const written = [];
  let open; // the name of the block whose old copy is being skipped
  for (const line of text.split('\n')) {
    const name = opening.exec(line)?.[1];
    if (name !== undefined) {
      if (open !== undefined) throw new Error(`${file}: shared block ${open} is not closed before ${name}`);
      if (!blocks.has(name)) throw new Error(`${file}: there is no ${folder}/${name}.wgsl`);
      written.push(line, blocks.get(name), closing);
      open = name;
    } else if (line === closing) {
      if (open === undefined) throw new Error(`${file}: ${closing} closes no shared block`);
      open = undefined;
    } else if (open === undefined) written.push(line);
  }
  if (open !== undefined) throw new Error(`${file}: shared block ${open} is not closed`);
  return written.join('\n');
}

/** Rewrites the copies in all kernels. */
export function writeShared() {
  const blocks = sharedBlocks();
  for (const file of readdirSync('kernels').filter((name) => name.endsWith('.wgsl'))) {
    const old = readFileSync(`kernels/${file}`, 'utf8');
    const text = withShared(`kernels/${file}`, old, blocks);
    if (text !== old) writeFileSync(`kernels/${file}`, text);
  }
}
