// Folders and files that slimgrad keeps between runs, in the user's cache.
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

/*
 * Folders and files that slimgrad keeps between runs, code that it loads among them: where they may lie, and that they belong
 * to the user alone. What they hold is not known here.
 */

// Windows has neither these flags nor owners and modes in Node; a user's own folders are closed there by default.
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0);
const hasModes = process.geteuid !== undefined;

/**
 * slimgrad's folders, best first: in the user's cache, then in the system's temporary folder. What a relative path names does
 * not count, for it would lie in the working folder.
 */
export function cacheFolders(env = process.env, home = homedir, temporary = tmpdir): string[] {
  const inHome = join(homeOf(home), '.cache');
  const cache = [env.XDG_CACHE_HOME ?? '', inHome].find((path) => isAbsolute(path));
  const shared = [temporary(), '/tmp'].find((path) => isAbsolute(path)) as string;
  return [
    ...(cache === undefined ? [] : [join(cache, 'slimgrad')]),
    join(shared, `slimgrad-${process.geteuid?.() ?? 'user'}`),
  ];
}

/** Empty if there is none: Node throws if neither HOME nor the user database has one. */
function homeOf(home: () => string): string {
  try {
    return home();
  } catch {
    return '';
  }
}

/**
 * Sees to it that only this user can read or change a folder. Throws an Error that says why it cannot be: the folder is
 * missing, somebody else's, a link, or lies where others could put another one in its place.
 */
export function closeFolder(path: string): void {
  refuseOpenParents(path);
  const { mode } = ownFolder(path);
  if (!hasModes || (mode & 0o077) === 0) return;
  try {
    chmodSync(path, 0o700);
  } catch {
    // On a read-only file system it may be private enough as it is.
  }
  if (othersMayWrite(ownFolder(path))) throw new Error(`${path} can be written by other users`);
}

/** Makes a folder, and those above it, where they are missing; then as `closeFolder`. */
export function makeClosedFolder(path: string): void {
  refuseOpenParents(path);
  makeFolder(path);
  closeFolder(path);
}

/** The contents of a regular file that only this user can change; undefined if there is none. */
export function readOwnFile(path: string): Buffer | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, READ);
    const entry = fstatSync(file);
    return entry.isFile() && isOwn(entry) && !othersMayWrite(entry) ? readFileSync(file) : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Writes under a name of its own, then renames: a process that loads the old file keeps it, and none sees half of one. */
export function replaceFile(path: string, content: Uint8Array): void {
  const fresh = `${path}.${process.pid}.${randomUUID()}`;
  try {
    writeFileSync(fresh, content, { flag: 'wx', flush: true, mode: 0o600 });
    renameSync(fresh, path);
  } finally {
    rmSync(fresh, { force: true });
  }
}

function ownFolder(path: string): Stats {
  const entry = lstatSync(path);
  if (!entry.isDirectory()) throw new Error(`${path} is ${entry.isSymbolicLink() ? 'a link' : 'not a folder'}`);
  if (!isOwn(entry)) throw new Error(`${path} belongs to another user (id ${entry.uid})`);
  return entry;
}

function isOwn({ uid }: Stats): boolean {
  return !hasModes || uid === process.geteuid!();
}

function othersMayWrite({ mode }: Stats): boolean {
  return hasModes && (mode & 0o022) !== 0;
}

/** Who may write a folder without the sticky bit may rename what is in it, whoever owns that. */
function refuseOpenParents(path: string): void {
  if (!hasModes) return;
  const named = upwards(dirname(path));
  const nearest = realpathSync(named.find(exists) as string);
  const open = [...named, ...upwards(nearest)].find(
    (folder) => exists(folder) && (statSync(folder).mode & 0o1002) === 2,
  );
  if (open !== undefined) throw new Error(`${path} is not safe: everybody may rename what lies in ${open}`);
}

function upwards(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...upwards(above)];
}

/** Node's own recursive mkdir never returns below folders like /proc. */
function makeFolder(path: string): void {
  if (exists(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!exists(path)) throw error;
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
