// Files, read and written with messages that name them.
import { randomBytes } from 'node:crypto';
import { constants, type FileHandle, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DataError } from '../../errors.js';

// Without O_NONBLOCK (which Windows has not), opening a pipe without a writer would wait forever.
export const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
const PARTIAL = /^\..+\.[0-9a-f]{12}\.partial$/;

/**
 * Writes a file atomically: at any moment `path` holds either its old contents or all of `bytes`;
 * a temporary file next to it is written and forced to disk, then takes its name. Where `path` is a link, the file that it
 * leads to is replaced. Throws a DataError with the reason; the old file is intact then and the temporary one removed. Only a
 * killed process leaves one: see `removePartials`.
 *
 * @param bytes the contents, or their pieces in order
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array | string | Iterable<string>): Promise<void> {
  const size = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes instanceof Uint8Array ? bytes.length : null;
  const target = await targetOf(path);
  const folder = dirname(target);
  const partial = join(folder, `.${basename(target)}.${randomBytes(6).toString('hex')}.partial`);
  let handle: FileHandle | undefined;
  try {
    handle = await open(partial, 'wx');
    const pieces = typeof bytes === 'string' || bytes instanceof Uint8Array ? [bytes] : bytes;
    for (const piece of pieces) await handle.appendFile(piece);
    await handle.sync();
    await handle.close();
    handle = undefined;
    await rename(partial, target);
    await syncFolder(folder);
  } catch (cause) {
    await handle?.close().catch(() => {});
    await rm(partial, { force: true }).catch(() => {});
    throw fileError(`cannot write ${path}${size === null ? '' : ` (${size} bytes)`}`, cause);
  }
}

/**
 * Throws a DataError where `writeFileAtomic` could not write, for want of a folder or because something else than a file
 * stands there: before the work, not after it.
 */
export async function checkPlace(path: string): Promise<void> {
  const folder = dirname(await targetOf(path));
  if (!(await isFolder(folder)))
    throw new DataError(`cannot write ${path}: there is no folder ${folder}; make it, or choose another`);
}

/** The file that is replaced when `path` is written: where links lead. Devices, pipes and folders are refused. */
async function targetOf(path: string): Promise<string> {
  const what = `cannot write ${path}`;
  const target = await realpath(path).catch(() => path);
  const entry = await stat(target).catch(() => undefined);
  if (entry?.isDirectory()) throw fileError(what, { code: 'EISDIR' });
  if (entry && !entry.isFile())
    throw new DataError(`${what}: it is neither a file nor a link to one; choose another name`);
  return target;
}

/** Removes what killed writers left of `writeFileAtomic` in `folder`. Not while another process writes there. */
export async function removePartials(folder: string): Promise<void> {
  for (const name of await listFolder(folder)) {
    if (PARTIAL.test(name)) await rm(join(folder, name), { force: true });
  }
}

/** The contents of a regular file (never of a pipe, which might not end). Throws a DataError with the reason. */
export async function readBytes(path: string | Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path as string | Buffer, READ);
    const stat = await handle.stat();
    if (stat.isDirectory()) throw new DataError(`cannot read ${path}: it is a folder; expected a file`);
    if (!stat.isFile()) throw new DataError(`cannot read ${path}: it is neither a file nor a link to one`);
    const buffer = await handle.readFile();
    return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.length);
  } catch (cause) {
    throw cause instanceof DataError ? cause : fileError(`cannot read ${path}`, cause);
  } finally {
    await handle?.close().catch(() => {});
  }
}

/** Names in a folder, sorted by code units. Throws a DataError with the reason. */
export async function listFolder(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (cause) {
    throw fileError(`cannot list the folder ${folder}`, cause);
  }
}

/** Makes a folder and those above it where they are missing. Throws a DataError with the reason. */
export async function makeFolder(folder: string): Promise<void> {
  try {
    await makeMissing(folder);
  } catch (cause) {
    throw fileError(`cannot make the folder ${folder}`, cause);
  }
}

/** Makes a folder after those above it. Node's own `recursive` never ends where one cannot be made, as below /proc. */
async function makeMissing(folder: string): Promise<void> {
  const above = dirname(folder);
  try {
    await mkdir(folder);
  } catch (cause) {
    if (await isFolder(folder)) return;
    if (!isMissing(cause) || (await isFolder(above))) throw cause;
    await makeMissing(above);
    await makeMissing(folder);
  }
}

/** Whether there is a folder at `path`. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}

/** Whether the cause is the system saying that there is no such file. */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException)?.code === 'ENOENT';
}

/** A DataError that says what could not be done, why in plain words, and the remedy. */
export function fileError(what: string, cause: unknown): DataError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return new DataError(`${what}: ${(code && REASONS[code]) ?? message}`, { cause });
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  ENOSPC: 'the disk is full; free some space and try again',
  EDQUOT: 'your disk quota is used up; free some space and try again',
  EFBIG: 'it would be larger than files may be here (ulimit -f, or the file system)',
  EACCES: 'permission denied; choose a place that you may use or change its permissions',
  EPERM: 'the system does not permit it; choose another place',
  EROFS: 'the file system is read-only; choose another place',
  EISDIR: 'a folder stands in its place; choose another name',
  ENOTDIR: 'part of its path is a file, not a folder',
  EEXIST: 'a file stands in its place; choose another name',
  ENAMETOOLONG: 'the name is too long; choose a shorter one',
  ELOOP: 'its links lead in a circle',
  EMFILE: 'too many files are open (ulimit -n)',
  EIO: 'the disk reports an error',
  ERR_FS_FILE_TOO_LARGE: 'it is larger than 2 GiB, the most that is read at once',
};

/** Makes the new name itself survive a power cut, where the system can do that for folders. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await handle.close();
  }
}
