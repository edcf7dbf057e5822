// The embedded software adapter: SwiftShader out of an npm package, checked by hash and unpacked to the user's cache.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { DeviceError } from '../../errors.js';
import { cacheFolders, closeFolder, makeClosedFolder, readOwnFile, replaceFile } from '../system/cache.js';
import { findPackageFile, packageFolders, wordsFor } from '../system/packages.js';

/*
 * The embedded software adapter: SwiftShader, a Vulkan driver for the CPU, and the Vulkan loader, out of the npm package
 * @sparticuz/chromium. It needs neither root nor a system package, so a bare Linux machine can train. It is native code from
 * files that lie about between runs, so no byte is loaded that is not known here.
 */

const packageName = '@sparticuz/chromium';
export const softwareVersion = '147.0.0';

const loader = 'libvulkan.so.1';
const manifest = 'vk_swiftshader_icd.json';

/** Names of files, and the SHA-256 of what each must hold, in hexadecimal. */
export type Pins = Readonly<Record<string, string>>;

/** The driver of `softwareVersion`. A new version is pinned by `sha256sum` of what its archive holds. */
export const driverPins: Pins = {
  'libvk_swiftshader.so': '5b9e8591c7c2d1c9618c3ad485d0cdffb81f5f1ffd6a982fdb6578c2d8d3213e',
  [loader]: 'fe17a77c1f2df38d3b6a935140f746fd80aac564bb44eb3e4f6b75a504295a41',
  [manifest]: 'c9eef28b6b984fec220ef0abfecc40b502d46946706e47bfe97707027cb818bd',
};

const remedies = [
  'Either install the embedded software adapter beside slimgrad:',
  `    npm i -D ${packageName}@${softwareVersion}`,
  "or a Vulkan driver for this machine, e.g. Debian's mesa-vulkan-drivers (on Debian 12 from bookworm-backports):",
  '    apt install -t bookworm-backports mesa-vulkan-drivers',
].join('\n');

/** A machine has no adapter: a DeviceError. */
export class NoAdapterError extends DeviceError {}

/** What to tell someone whose machine has no adapter: both ways out, as commands. */
export function noAdapterError(reason: string): NoAdapterError {
  return new NoAdapterError(`No usable GPU adapter: ${reason}.\n${remedies}`);
}

/**
 * The package's archive `name` (in its bin/ folder), from the project that installed slimgrad. Throws DeviceError when the
 * package is missing.
 */
export function findArchive(name: string, folders = packageFolders()): string {
  const archive = findPackageFile(packageName, `bin/${name}`, folders);
  if (archive !== undefined) return archive;
  throw noAdapterError(
    `the system has no Vulkan driver, and ${packageName} (bin/${name}) is not installed, ${wordsFor(folders)}`,
  );
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

/**
 * The folder that holds the archive's files that `pins` names, unpacked once into the first of `folders` that can be this
 * user's alone. Every byte is checked against the pins at every call, and what differs is replaced. Safe among processes: one
 * version has one content, and each file arrives by a rename.
 */
export function unpack(archive: string, pins = driverPins, folders = cacheFolders()): string {
  const places = folders.map((folder) => join(folder, `swiftshader-${softwareVersion}`));
  const complete = places.find((place) => isComplete(place, pins));
  if (complete !== undefined) return complete;
  const files = knownFiles(archive, pins);
  const failures: string[] = [];
  for (const place of places) {
    try {
      install(place, files, pins);
      return place;
    } catch (error) {
      failures.push(`  ${place}: ${message(error)}`);
    }
  }
  throw new DeviceError(
    [
      'The embedded software adapter cannot be unpacked:',
      ...failures,
      'Point XDG_CACHE_HOME at a folder that you alone can write (an absolute path).',
    ].join('\n'),
  );
}

/** The archive's files that `pins` names. Throws DeviceError where one is missing or is not what it must be. */
function knownFiles(archive: string, pins: Pins): Map<string, Uint8Array> {
  const files = unpackArchive(archive);
  const remedy = `Install the version that does: npm i -D ${packageName}@${softwareVersion}`;
  for (const [file, expected] of Object.entries(pins)) {
    const bytes = files.get(file);
    if (!bytes) throw new DeviceError(`${archive} holds no ${file}. ${remedy}`);
    const found = digest(bytes);
    if (found !== expected) {
      throw new DeviceError(
        `${archive} does not hold the ${file} of ${packageName} ${softwareVersion}: expected SHA-256 ${expected}, ` +
          `found ${found}. ${remedy}`,
      );
    }
  }
  return files;
}

function install(place: string, files: ReadonlyMap<string, Uint8Array>, pins: Pins): void {
  makeClosedFolder(dirname(place));
  makeClosedFolder(place);
  for (const [file, pin] of Object.entries(pins)) {
    const path = join(place, file);
    if (!isIntact(path, pin)) replaceFile(path, files.get(file) as Uint8Array);
  }
}

function isComplete(place: string, pins: Pins): boolean {
  try {
    closeFolder(dirname(place));
    closeFolder(place);
  } catch {
    return false;
  }
  return Object.entries(pins).every(([file, pin]) => isIntact(join(place, file), pin));
}

function isIntact(path: string, pin: string): boolean {
  const bytes = readOwnFile(path);
  return bytes !== undefined && digest(bytes) === pin;
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Where the embedded driver lies once its libraries are in the process. */
interface SoftwareDriver {
  /** The Vulkan manifest: what VK_DRIVER_FILES must name while Dawn looks for adapters. */
  readonly manifest: string;
  /** The Vulkan loader's file. */
  readonly loader: string;
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
  const folder = unpack(findArchive('swiftshader.tar.br'));
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
  return { manifest: join(folder, manifest), loader: library };
}
