// Optional packages, loaded from the project that installed slimgrad.
import { realpathSync, type Stats, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, isAbsolute, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/*
 * Where optional packages come from: the project that installed slimgrad. The working folder has no say, for it may be a
 * folder of somebody else's images and hold any code; nor have NODE_PATH and Node's folders for all programs.
 */

/**
 * The node_modules folders that may hold an optional package, best first: those that Node itself searches from slimgrad's own
 * file, then the one that the started program lies in or is linked from. The latter is the project's where slimgrad lies
 * elsewhere: after `npm link`, and in pnpm's store.
 *
 * @param own a file of slimgrad's
 * @param started the program as it was named, links unresolved
 */
export function packageFolders(own = fileURLToPath(import.meta.url), started = process.argv[1] ?? ''): string[] {
  const folders: string[] = [];
  for (let folder = dirname(realOf(own)); ; folder = dirname(folder)) {
    if (basename(folder) !== 'node_modules') folders.push(join(folder, 'node_modules'));
    if (dirname(folder) === folder) break;
  }
  const project = projectOf(started);
  if (project !== undefined && !folders.includes(project)) folders.push(project);
  return folders;
}

/** The innermost node_modules on the way to a program: '/p/node_modules' for '/p/node_modules/.bin/slimgrad'. */
function projectOf(started: string): string | undefined {
  const inside = `${sep}node_modules${sep}`;
  const at = started.lastIndexOf(inside);
  return at >= 0 && isAbsolute(started) ? started.slice(0, at + inside.length - 1) : undefined;
}

/** A file inside a package, such as 'emoji.json', from the first of `folders` that has it. */
export function findPackageFile(name: string, file: string, folders = packageFolders()): string | undefined {
  return folders.map((folder) => join(folder, name, file)).find((path) => entryAt(path)?.isFile());
}

/** The files that `require` loads for a package: one for each of `folders` that has it. */
export function findEntries(name: string, folders = packageFolders()): string[] {
  return folders.flatMap((folder) => {
    const home = join(folder, name);
    if (!entryAt(home)?.isDirectory()) return [];
    try {
      const entry = createRequire(join(folder, 'package.json')).resolve(name);
      // Where this package has no entry, Node goes on to the folders above, and to those of NODE_PATH.
      return realOf(entry).startsWith(realOf(home) + sep) ? [entry] : [];
    } catch {
      return [];
    }
  });
}

/** What `packageFolders` gave, in words, for errors. */
export function wordsFor(folders = packageFolders()): string {
  const last = dirname(folders[folders.length - 1]);
  const project = dirname(last) === last ? '' : ` and in ${last}`;
  return `looked for in node_modules of ${dirname(folders[0])} and of the folders above it${project}`;
}

function entryAt(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
