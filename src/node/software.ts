import { createHash, randomUUID } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { DeviceError } from '../errors.js';

/*
 * The embedded software adapter: SwiftShader, a Vulkan driver for the CPU, and the Vulkan loader, out of the npm package
 * @sparticuz/chromium. It needs neither root nor a system package, so a bare Linux machine can train.
 */

const packageName = '@sparticuz/chromium';
export const softwareVersion = '147.0.0';

const loader = 'libvulkan.so.1';
const manifest = 'vk_swiftshader_icd.json';
const members = ['libvk_swiftshader.so', loader, manifest];
const stampName = 'stamp.json';

const remedies = [
  'Either install the embedded software adapter beside slimgrad:',
  `    npm i -D ${packageName}@${softwareVersion}`,
  "or a Vulkan driver for this machine, e.g. Debian's mesa-vulkan-drivers (on Debian 12 from bookworm-backports):",
  '    apt install -t bookworm-backports mesa-vulkan-drivers',
].join('\n');

/** What to tell someone whose machine has no adapter: both ways out, as commands. */
export function noAdapterError(reason: string): DeviceError {
  return new DeviceError(`No usable GPU adapter: ${reason}.\n${remedies}`);
}

/**
 * The package's archive `name` (in its bin/ folder), looked for from the working folder first (an optional peer of the
 * project that uses slimgrad), then from slimgrad itself. Throws DeviceError when the package is missing.
 */
export function findArchive(name: string, from = [join(process.cwd(), 'package.json'), import.meta.url]): string {
  for (const start of from) {
    try {
      // The entry is <package>/build/cjs/index.cjs; the package exports neither its package.json nor its bin folder.
      const entry = createRequire(start).resolve(packageName);
      const archive = join(dirname(entry), '..', '..', 'bin', name);
      if (lstatSync(archive).isFile()) return archive;
    } catch {
      // Not installed there: the next place may have it.
    }
  }
  throw noAdapterError(`the system has no Vulkan driver, and ${packageName} (bin/${name}) is not installed`);
}

/** The regular files of a ustar archive, by name. Throws DeviceError when the archive is damaged. */
export function readTar(archive: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (start: number, length: number) =>
    Buffer.from(archive.subarray(start, start + length))
      .toString('latin1')
      .replace(/\0.*$/s, '');
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0; ) {
    const name = text(at, 100);
    const size = /^[0-7]+ *$/.test(text(at + 124, 12)) ? Number.parseInt(text(at + 124, 12), 8) : Number.NaN;
    const start = at + 512;
    if (!(start + size <= archive.length)) throw new DeviceError(`tar: '${name}' is cut short or has no valid size`);
    if (text(at + 156, 1) === '0') files.set(name, archive.subarray(start, start + size));
    at = start + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** The files of a brotli-packed tar archive. Throws DeviceError naming the file when it cannot be read. */
export function unpackArchive(path: string): Map<string, Uint8Array> {
  try {
    return readTar(brotliDecompressSync(readFileSync(path)));
  } catch (error) {
    throw new DeviceError(
      `${path} cannot be unpacked (${message(error)}). Reinstall it: npm i -D ${packageName}@${softwareVersion}`,
    );
  }
}

/** Folders that may hold the unpacked driver, best first: the user's cache, then the system's temporary folder. */
export function cacheFolders(env = process.env): string[] {
  const user = process.getuid?.() ?? 'user';
  const folders = [join(tmpdir(), `slimgrad-${user}`)];
  const home = env.XDG_CACHE_HOME || (homedir() && join(homedir(), '.cache'));
  if (home) folders.unshift(join(home, 'slimgrad'));
  return folders;
}

/**
 * The folder that holds the archive's files `wanted`, unpacked once into the first of `folders` that can be written. What
 * is there is trusted only if it is this user's and its stamp, written last, agrees with every byte; anything else is
 * replaced. Safe among processes: one version has one content, and each file arrives by a rename.
 */
export function unpack(archive: string, wanted: readonly string[], folders = cacheFolders()): string {
  const name = `swiftshader-${softwareVersion}`;
  for (const folder of folders) {
    const target = join(folder, name);
    if (isComplete(target, wanted)) return target;
  }
  const files = unpackArchive(archive);
  for (const file of wanted) {
    if (!files.has(file)) {
      throw new DeviceError(
        `${archive} holds no ${file}. Install the version that does: npm i -D ${packageName}@${softwareVersion}`,
      );
    }
  }
  const failures: string[] = [];
  for (const folder of folders) {
    const target = join(folder, name);
    try {
      install(target, files, wanted);
      return target;
    } catch (error) {
      failures.push(`  ${target}: ${message(error)}`);
    }
  }
  throw new DeviceError(
    [
      'The embedded software adapter cannot be unpacked:',
      ...failures,
      'Point XDG_CACHE_HOME at a writable folder.',
    ].join('\n'),
  );
}

function install(target: string, files: ReadonlyMap<string, Uint8Array>, wanted: readonly string[]): void {
  makeFolder(target);
  ownedByUser(dirname(target));
  ownedByUser(target);
  const stamp: Record<string, string> = {};
  for (const file of wanted) {
    const bytes = files.get(file) as Uint8Array;
    stamp[file] = digest(bytes);
    replaceFile(join(target, file), bytes);
  }
  replaceFile(join(target, stampName), JSON.stringify(stamp));
}

/** Makes a folder and its parents. Node's own recursive mkdir never returns below folders like /proc. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!existsSync(path)) throw error;
  }
}

/** Writes under a name of its own, then renames: a process that loads the old file keeps it, and none sees half of one. */
function replaceFile(path: string, content: Uint8Array | string): void {
  const fresh = `${path}.${process.pid}.${randomUUID()}`;
  try {
    writeFileSync(fresh, content, { flush: true, mode: 0o700 });
    renameSync(fresh, path);
  } finally {
    rmSync(fresh, { force: true });
  }
}

function isComplete(folder: string, wanted: readonly string[]): boolean {
  try {
    ownedByUser(dirname(folder));
    ownedByUser(folder);
    const stamp: unknown = JSON.parse(readFileSync(join(folder, stampName), 'utf8'));
    const digests = new Map(Object.entries(Object(stamp)));
    return wanted.every((file) => digests.get(file) === digest(readFileSync(join(folder, file))));
  } catch {
    return false;
  }
}

/** A library out of a folder that somebody else may write is never loaded (the temporary folder is everybody's). */
function ownedByUser(folder: string): void {
  const stat = lstatSync(folder);
  const user = process.getuid?.() ?? stat.uid;
  if (!stat.isDirectory()) throw new Error(`${folder} is not a folder`);
  if (stat.uid !== user || (stat.mode & 0o022) !== 0) throw new Error(`${folder} is open to other users`);
}

function digest(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex');
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Where the embedded driver lies once its libraries are in the process. */
export interface SoftwareDriver {
  /** The Vulkan manifest: what VK_DRIVER_FILES must name while Dawn looks for adapters. */
  readonly manifest: string;
  readonly folder: string;
}

/**
 * Unpacks the embedded adapter where needed and loads its Vulkan loader into the process. Throws DeviceError when the
 * package is missing or damaged, nothing can be written, or the platform is not linux-x64.
 */
export function loadSoftware(): SoftwareDriver {
  const platform = `${process.platform}-${process.arch}`;
  if (platform !== 'linux-x64') {
    throw new DeviceError(
      `No usable GPU adapter, and the embedded software adapter is for linux-x64, not ${platform}.`,
    );
  }
  const folder = unpack(findArchive('swiftshader.tar.br'), members);
  const library = join(folder, loader);
  try {
    // RTLD_NODELETE (0x1000): Node closes what is no addon, yet Dawn must find the loader by its soname afterwards.
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | 0x1000);
  } catch (error) {
    // "Module did not self-register" is the expected end: the library is loaded and is no addon.
    if (!/self-register/.test(message(error))) {
      throw new DeviceError(
        `${library} cannot be loaded: ${message(error)}. Point XDG_CACHE_HOME at a folder that allows it.`,
      );
    }
  }
  return { manifest: join(folder, manifest), folder };
}
