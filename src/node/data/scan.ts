/**
 * Walks a folder and finds the files that are images by their names and first bytes, and lists what is left out. Decodes
 * nothing, and knows nothing of parts and classes.
 */
import type { Dirent } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { sep } from 'node:path';
import { fileError, READ } from '../system/files.js';
import { formatByContent, formatByName, headBytes, isRead, unreadFormats } from './formats.js';
import { type LeftOut, reasons } from './left_out.js';

export { type LeftOut, leftOutText } from './left_out.js';

/** A file that is an image by its name and first bytes. */
export interface FoundImage {
  /**
   * Names of its folders below the one that was scanned and its own, in Unicode's composed form (NFC); bytes that are no UTF-8
   * stand as \xNN.
   */
  readonly parts: readonly string[];
  /** What opens it: its path, as bytes where it is no UTF-8. */
  readonly file: string | Uint8Array;
  /** Size in bytes. */
  readonly bytes: number;
}

export interface Scan {
  /** Sorted by `parts`, each by its code units. */
  readonly images: readonly FoundImage[];
  readonly leftOut: readonly LeftOut[];
}

/** A folder on the way. Paths are bytes: on Linux names are, and may be no text at all. */
interface Folder {
  readonly above?: Folder;
  readonly name: string;
  readonly path: Buffer;
  /** Its path without links. */
  readonly real: Buffer;
  /** Why everything below it is left out and only counted. */
  readonly closed?: 'system' | 'hidden';
  /** Images in it, at any depth once the walk is over. */
  images: number;
  /** Whether something in it is left out: explains why it has no images. */
  isExplained: boolean;
  isUnreadable?: boolean;
  parts?: readonly string[];
}

interface Entry extends Omit<LeftOut, 'path'> {
  readonly parts: readonly string[];
}

type Job = () => Promise<void>;

/** Calls of the system that are waited for at once: the system's own threads are the limit, and open files are few. */
const atOnce = 32;

const systemNames = new Set([
  '__macosx',
  '@eadir',
  '@recycle',
  '@recently-snapshot',
  '#recycle',
  '#snapshot',
  '$recycle.bin',
  'recycler',
  'system volume information',
  'lost+found',
  'network trash folder',
  'temporary items',
]);
const isSystem = (name: string) =>
  systemNames.has(name.toLowerCase()) || /^(found\.\d{3,}|[._]?thumb(s|nails?)?|.*\.lrdata)$/is.test(name);

/**
 * Finds the images in a folder and all below it. Links are followed, but not in circles; what is left out is listed with the
 * reason. Throws a DataError for a folder that cannot be listed.
 */
export async function scanFolder(folder: string): Promise<Scan> {
  const path = Buffer.from(folder);
  const top: Folder = { name: '', path, real: await realpath(path, 'buffer').catch(() => path), ...none() };
  const walk = new Walk();
  await walk.folder(top).catch((cause) => {
    throw fileError(`cannot list the folder ${folder}`, cause);
  });
  await walk.run();
  return walk.result(top);
}

const none = () => ({ images: 0, isExplained: false });

class Walk {
  readonly #images: FoundImage[] = [];
  readonly #leftOut: Entry[] = [];
  /** In the order found: a folder comes after the one that it lies in. */
  readonly #folders: Folder[] = [];
  readonly #jobs: Job[] = [];

  /** Works off all jobs and those that they give rise to. A stack of jobs instead of recursion bears folders of any depth. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      let running = 0;
      const next = () => {
        for (; running < atOnce && this.#jobs.length > 0; running++) {
          this.#jobs.pop()!().then(() => {
            running--;
            next();
          }, reject);
        }
        if (running === 0) resolve();
      };
      next();
    });
  }

  /** Lists a folder. Rejects where it cannot be listed. */
  async folder(folder: Folder): Promise<void> {
    const entries = await readdir(folder.path, { withFileTypes: true, encoding: 'buffer' });
    for (const entry of entries as unknown as Dirent<Buffer>[]) {
      const bytes = entry.name;
      const name = textOf(bytes);
      const isHidden = name.startsWith('.');
      const path = join(folder.path, bytes);
      if (folder.closed) {
        if (isHidden) continue;
        if (entry.isDirectory()) this.#open({ above: folder, name, path, real: path, closed: folder.closed });
        else if (entry.isFile() && isRead(formatByName(name))) folder.images++;
      } else if (entry.isDirectory()) {
        const closed = isSystem(name) ? 'system' : isHidden ? 'hidden' : undefined;
        this.#open({ above: folder, name, path, real: join(folder.real, bytes), closed });
      } else if (isHidden) {
        // Names that begin with ._ are no images: a Mac keeps what its disks know of a file in them.
        const isImage = entry.isFile() && isRead(formatByName(name)) && !name.startsWith('._');
        if (isImage) this.#leave(folder, name, 'hidden', reasons.hiddenFile, 1);
      } else if (entry.isSymbolicLink()) this.#jobs.push(() => this.#link(folder, name, path));
      else if (entry.isFile()) this.#file(folder, name, path);
      else this.#leave(folder, name, 'other', reasons.special);
    }
  }

  #open(about: Omit<Folder, 'images' | 'isExplained'>): void {
    const folder: Folder = { ...about, ...none() };
    this.#folders.push(folder);
    this.#jobs.push(() =>
      this.folder(folder).catch((cause) => {
        if (!folder.closed) this.#fail(folder, cause);
      }),
    );
  }

  async #link(folder: Folder, name: string, path: Buffer): Promise<void> {
    try {
      const { size, ...target } = await kindOf(path);
      if (target.isFolder) {
        if (isSystem(name)) return this.#leave(folder, name, 'system', reasons.system);
        const real = await realpath(path, 'buffer');
        if (liesIn(folder, real)) this.#leave(folder, name, 'link', reasons.circle);
        else this.#open({ above: folder, name, path, real });
      } else if (target.isFile) this.#file(folder, name, path, size);
      else this.#leave(folder, name, 'other', reasons.special);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const leads = code === 'ELOOP' ? reasons.circle : code === 'ENOENT' || code === 'ENOTDIR' ? reasons.nowhere : '';
      const format = formatByName(name);
      // Without an image's ending it may have led to a folder.
      if (!leads) this.#leave(folder, name, 'unreadable', reasonOf(cause), isRead(format) ? 1 : 0);
      else if (format === 'other') this.#leave(folder, name, 'other', reasons.other);
      else this.#leave(folder, name, 'link', leads, format ? 1 : 0);
    }
  }

  /** A regular file, or what a link to one leads to. */
  #file(folder: Folder, name: string, path: Buffer, size?: number): void {
    const format = formatByName(name);
    if (format === 'other') this.#leave(folder, name, 'other', reasons.other);
    else if (isRead(format)) {
      if (size !== undefined) this.#found(folder, name, path, size);
      else
        this.#try(folder, name, 1, async () => {
          const target = await kindOf(path);
          if (target.isFile) this.#found(folder, name, path, target.size);
          else this.#leave(folder, name, 'other', reasons.special);
        });
    } else
      this.#try(folder, name, format ? 1 : 0, async () => {
        const head = await headOf(path);
        const inside = head && (formatByContent(head.bytes) ?? format);
        if (!head) this.#leave(folder, name, 'other', reasons.special);
        else if (inside === undefined) this.#leave(folder, name, 'other', reasons.other);
        else if (isRead(inside)) this.#found(folder, name, path, head.size);
        else this.#leave(folder, name, 'format', unreadFormats[inside], 1);
      });
  }

  #try(folder: Folder, name: string, images: number, work: Job): void {
    this.#jobs.push(() => work().catch((cause) => this.#leave(folder, name, 'unreadable', reasonOf(cause), images)));
  }

  #found(folder: Folder, name: string, path: Buffer, bytes: number): void {
    folder.images++;
    this.#images.push({ parts: [...partsOf(folder), name], file: decode(path) ?? path, bytes });
  }

  #leave(folder: Folder, name: string, kind: LeftOut['kind'], reason: string, images = 0): void {
    folder.isExplained = true;
    this.#leftOut.push({ parts: [...partsOf(folder), name], reason, kind, images });
  }

  #fail(folder: Folder, cause: unknown): void {
    folder.isUnreadable = true;
    this.#leave(folder.above!, folder.name, 'unreadable', reasonOf(cause));
  }

  result(top: Folder): Scan {
    for (const folder of this.#folders.toReversed()) {
      const above = folder.above!;
      if (above.closed === folder.closed) above.images += folder.images;
      if (above.closed) continue;
      if (folder.closed === 'system') this.#leave(above, folder.name, 'system', reasons.system, folder.images);
      else if (folder.closed && folder.images > 0)
        this.#leave(above, folder.name, 'hidden', reasons.hiddenFolder, folder.images);
      above.isExplained ||= !folder.closed && folder.isExplained;
    }
    for (const folder of this.#folders) {
      const above = folder.above!;
      if (folder.closed || folder.images > 0 || folder.isUnreadable) continue;
      if (above === top || (above.images > 0 && !folder.isExplained))
        this.#leave(above, folder.name, 'empty', reasons.empty);
    }
    // Two names that differ in their bytes alone are in an order, too.
    const images = this.#images.sort((a, b) => compare(a.parts, b.parts) || Buffer.compare(bytesOf(a), bytesOf(b)));
    const leftOut = this.#leftOut
      .sort((a, b) => compare(a.parts, b.parts))
      .map(({ parts, ...about }) => ({ path: parts.join('/'), ...about }));
    return { images, leftOut };
  }
}

/** Whether a folder, or one that the way to it led through, lies in the folder at `real` or is it. */
function liesIn(folder: Folder, real: Buffer): boolean {
  const start = join(real, Buffer.alloc(0));
  for (let at: Folder | undefined = folder; at; at = at.above)
    if (at.real.equals(real) || at.real.subarray(0, start.length).equals(start)) return true;
  return false;
}

async function kindOf(path: Buffer): Promise<{ isFile: boolean; isFolder: boolean; size: number }> {
  const target = await stat(path);
  return { isFile: target.isFile(), isFolder: target.isDirectory(), size: target.size };
}

/** The first bytes of a regular file and its size; undefined if it is not a regular file. */
async function headOf(path: Buffer): Promise<{ bytes: Uint8Array; size: number } | undefined> {
  const handle = await open(path, READ);
  try {
    const target = await handle.stat();
    if (!target.isFile()) return undefined;
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    return { bytes: buffer.subarray(0, bytesRead), size: target.size };
  } finally {
    await handle.close();
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return (code && systemReasons[code]) ?? message;
}

const systemReasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'the system does not permit it',
  ENAMETOOLONG: 'its path is too long',
  ENOENT: 'it was removed meanwhile',
  EMFILE: 'too many files are open (ulimit -n)',
  EIO: 'the disk reports an error',
};

function partsOf(folder: Folder): readonly string[] {
  if (!folder.parts) {
    const parts: string[] = [];
    for (let at = folder; at.above; at = at.above) parts.push(at.name);
    folder.parts = parts.reverse();
  }
  return folder.parts;
}

function join(folder: Buffer, name: Buffer): Buffer {
  const isEnded = folder.at(-1) === sep.charCodeAt(0);
  return Buffer.concat(isEnded ? [folder, name] : [folder, Buffer.from(sep), name]);
}

/** Part by part, by code units: the same order on every file system and in every locale. */
function compare(a: readonly string[], b: readonly string[]): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  return a.length - b.length;
}

const bytesOf = ({ file }: FoundImage) => Buffer.from(file as string);

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Decodes UTF-8; undefined if the bytes are invalid. */
function decode(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A name as text in NFC: what is no UTF-8 stands as \xNN, and so does a backslash that could be taken for that. */
function textOf(name: Buffer): string {
  const whole = decode(name);
  if (whole !== undefined) return escaped(whole).normalize('NFC');
  let text = '';
  for (let at = 0; at < name.length; ) {
    const length = [1, 2, 3, 4].find((n) => at + n <= name.length && decode(name.subarray(at, at + n)) !== undefined);
    text += length ? decode(name.subarray(at, at + length)) : `\0${name[at].toString(16).padStart(2, '0')}`;
    at += length ?? 1;
  }
  return escaped(text).replaceAll('\0', '\\x').normalize('NFC');
}

const escaped = (text: string) => text.replace(/\\(?=x[0-9a-f]{2})/g, '\\x5c');
