// Opens a device in Node by Dawn: the system's adapter, lavapipe, or the embedded one.
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { expectOneOf } from '../../checks/one_of.js';
import { expectOptions, type Kinds } from '../../checks/options.js';
import { ConfigError, DeviceError } from '../../errors.js';
import { isSoftware, requestDevice } from '../../runtime/adapter.js';
import { Debug } from '../../runtime/debug.js';
import { type Device, openDevice as openOn } from '../../runtime/device.js';
import { checkDevice, type DeviceOptions, deviceOptions } from '../../runtime/device_options.js';
import { driverLines } from './dawn_lines.js';
import { quietly } from './quiet.js';
import { loadSoftware, NoAdapterError, noAdapterError } from './software.js';
import { throttle } from './throttle.js';

const choices = ['auto', 'system', 'lavapipe', 'swiftshader', 'software'] as const;

/**
 * Which adapter to open. `system`: what the drivers of this machine offer, a real GPU before a software one; `lavapipe`:
 * Mesa's software driver of this machine; `swiftshader` or `software`: the embedded one, from @sparticuz/chromium;
 * `auto`: the system's, else the embedded one.
 */
export type AdapterChoice = (typeof choices)[number];

export interface NodeDeviceOptions extends Omit<DeviceOptions, 'adapter' | 'debug'> {
  /** Which adapter, or the caller's own; the environment's SLIMGRAD_ADAPTER where nothing is given, else `auto`. */
  readonly adapter?: AdapterChoice | GPUAdapter;
  /** Prints and checks what plans do; default `new Debug(level)` of the environment's SLIMGRAD_DEBUG, where that is 1, 2 or 3. */
  readonly debug?: DeviceOptions['debug'];
  /** Told in one line that the embedded adapter stands in for a missing one; `console.error` where nothing is given. */
  readonly onNotice?: (line: string) => void;
}

export const nodeOptions: Kinds<NodeDeviceOptions> = { ...deviceOptions, adapter: 'any', onNotice: 'function' };

type Driver = 'system' | 'lavapipe' | 'swiftshader';

/** An adapter that was found, and the driver that offers it. */
interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly driver: Driver;
}

// Dawn crashes the process when the object that create() returned is collected before its devices: one a driver, for ever.
const instances = new Map<Driver, GPU>();

/** The version of the package webgpu to install, as package.json has it. */
const dawnVersion = '0.6';

// Dawn rounds timestamps to 65 µs to keep web pages from spying on each other; in Node they only blur a profile.
const dawnFlags = ['disable-dawn-features=timestamp_quantization'];

// SwiftShader's threads crash a process that exits under them, so what is still open then is destroyed first.
const open = new Set<GPUDevice>();

function destroyOpen(): void {
  for (const device of open) device.destroy();
}

interface Dawn {
  create(flags: string[]): GPU;
  globals: Record<string, unknown>;
}

/** Dawn's bindings, with the WebGPU constants and classes made global where they are missing. */
async function dawn(): Promise<Dawn> {
  let module: Dawn;
  try {
    module = (await import('webgpu')) as Dawn;
  } catch (error) {
    throw new DeviceError(
      isMissing(error)
        ? `Node computes by the package webgpu (Dawn), which is not installed: npm i webgpu@${dawnVersion}`
        : `The package webgpu (Dawn) cannot be loaded on ${process.platform}-${process.arch}: ${String(error)}. ` +
            `It needs macOS, Windows, or Linux with glibc 2.34 or newer; reinstall it: npm i webgpu@${dawnVersion}`,
    );
  }
  const scope = globalThis as unknown as Record<string, unknown>;
  for (const [name, value] of Object.entries(module.globals)) scope[name] ??= value;
  return module;
}

/** Whether an import failed because there is no package webgpu, and not because of something within it. */
function isMissing(error: unknown): boolean {
  const { code, message } = error as Error & { code?: unknown };
  return code === 'ERR_MODULE_NOT_FOUND' && message.includes("package 'webgpu'");
}

/** The Vulkan manifest of Mesa's lavapipe, if this machine has it. */
export function lavapipeManifest(
  folders = ['/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/usr/share/vulkan/icd.d'],
): string | undefined {
  for (const folder of folders) {
    if (!existsSync(folder)) continue;
    const name = readdirSync(folder).find((file) => /^lvp_icd.*\.json$/.test(file));
    if (name) return join(folder, name);
  }
  return undefined;
}

/** Runs `ask` while the Vulkan loader sees only the driver that `manifest` names; undefined leaves it the whole system. */
function withDriver<T>(manifest: string | undefined, ask: () => T): T {
  if (manifest === undefined) return ask();
  const before = process.env.VK_DRIVER_FILES;
  process.env.VK_DRIVER_FILES = manifest;
  try {
    return ask();
  } finally {
    if (before === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = before;
  }
}

async function request(
  driver: Driver,
  manifest: string | undefined,
  powerPreference: GPUPowerPreference = 'high-performance',
): Promise<FoundAdapter | undefined> {
  const { create } = await dawn();
  const pending = withDriver(manifest, () => {
    const known = instances.get(driver);
    const instance = known ?? create(dawnFlags);
    instances.set(driver, instance);
    const ask = () => instance.requestAdapter({ powerPreference });
    return known ? ask() : quietly(ask); // it looks for adapters once
  });
  const adapter = await pending;
  return adapter ? { adapter, driver } : undefined;
}

/** The adapters that this machine's own drivers offer, in Dawn's words: backend and name. */
export async function systemAdapters(): Promise<string[]> {
  const { create } = await dawn();
  try {
    // Dawn lists its adapters only when it is asked for one by a name that it does not find.
    await quietly(() => create(['adapter=(none of this name)']).requestAdapter());
    return [];
  } catch (error) {
    return [...String(error).matchAll(/backend: '([^']*)', name: '([^']*)'/g)].map(
      ([, backend, name]) => `${name} (${backend})`,
    );
  }
}

/**
 * The adapter that `choice` names. Throws ConfigError for an unknown choice, and DeviceError naming the remedies, and what
 * Dawn and the drivers print, where there is no such adapter.
 */
export async function findAdapter(
  choice: AdapterChoice = 'auto',
  powerPreference?: GPUPowerPreference,
): Promise<FoundAdapter> {
  if (!choices.includes(choice)) {
    throw new ConfigError(`adapter: expected one of ${choices.join(', ')}, got '${choice}'`);
  }
  try {
    return await find(choice, powerPreference);
  } catch (error) {
    if (!(error instanceof NoAdapterError)) throw error;
    const printed = await printedFor(choice);
    if (printed.length === 0) throw error;
    throw new NoAdapterError(
      [error.message, 'Dawn and the drivers print:', ...printed.map((l) => `    ${l}`)].join('\n'),
    );
  }
}

/** What Dawn and the drivers print where they look for an adapter of this choice. */
export async function printedFor(choice: AdapterChoice): Promise<string[]> {
  if (choice === 'lavapipe') return driverLines({ manifest: lavapipeManifest() });
  return driverLines(choice === 'swiftshader' || choice === 'software' ? loadSoftware() : {});
}

async function find(choice: AdapterChoice, powerPreference?: GPUPowerPreference): Promise<FoundAdapter> {
  if (choice === 'lavapipe') {
    const manifest = lavapipeManifest();
    const found = manifest && (await request('lavapipe', manifest, powerPreference));
    if (!found)
      throw noAdapterError(manifest ? `Dawn refuses lavapipe (${manifest}); it is too old` : 'no lavapipe here');
    return found;
  }
  if (choice === 'system' || choice === 'auto') {
    const found = await request('system', undefined, powerPreference);
    if (found) return found;
    if (choice === 'system') throw noAdapterError('the system has no Vulkan, Metal or D3D12 driver that Dawn accepts');
  }
  const found = await request('swiftshader', loadSoftware().manifest, powerPreference);
  if (!found) throw new DeviceError('The embedded software adapter was loaded, but Dawn finds no adapter in it.');
  return found;
}

/**
 * Opens a device in Node, through Dawn: on the caller's own device or adapter, or on the one that `options.adapter` names.
 * Throws ConfigError for an unknown choice, and DeviceError naming the remedies where there is no usable adapter.
 */
export async function openDevice(options: NodeDeviceOptions = {}): Promise<Device> {
  const { adapter: wanted, onNotice = console.error, ...rest } = expectOptions('openDevice', options, nodeOptions);
  checkDevice(rest);
  if (!('GPUBufferUsage' in globalThis)) await dawn();
  const debug = rest.debug ?? debugOf(process.env.SLIMGRAD_DEBUG);
  const given = { ...rest, ...(debug && { debug }) };
  if (rest.device) return openOn({ ...traitsOf(rest.device.adapterInfo), ...given });
  const { adapter, driver } = await chooseAdapter(wanted, rest, onNotice);
  const device = await openOn({
    ...traitsOf(adapter.info),
    ...sparesOf(adapter.info, driver),
    ...given,
    adapter,
  });
  destroyAtExit(device.gpu);
  return device;
}

/** The level of the environment variable SLIMGRAD_DEBUG; 0 is off. @throws ConfigError if it is not a level */
function debugOf(text = ''): Debug | undefined {
  expectOneOf('SLIMGRAD_DEBUG', text || '0', ['0', '1', '2', '3']);
  return Number(text) ? new Debug(Number(text) as 1 | 2 | 3) : undefined;
}

function destroyAtExit(gpu: GPUDevice): void {
  if (open.size === 0) process.once('exit', destroyOpen);
  open.add(gpu);
  gpu.lost.then(() => {
    open.delete(gpu);
    if (open.size === 0) process.off('exit', destroyOpen);
  });
}

/** lavapipe's devices share compiled pipelines through Mesa's disk cache; without it, further devices would be useless. */
function sparesOf({ description }: GPUAdapterInfo, driver: Driver | undefined): Pick<DeviceOptions, 'compileDevices'> {
  const count = Math.min(availableParallelism(), 4) - 1;
  const isCached = !/^(1|true|yes|y)$/i.test(process.env.MESA_SHADER_CACHE_DISABLE ?? '');
  if (!driver || !/llvmpipe/.test(description) || !isCached || count < 1) return {};
  const spare = async () => {
    const found = await request(driver, driver === 'lavapipe' ? lavapipeManifest() : undefined);
    if (!found) return [];
    const gpu = await requestDevice(found.adapter);
    destroyAtExit(gpu);
    return [gpu];
  };
  return { compileDevices: async () => (await Promise.all(Array.from({ length: count }, spare))).flat() };
}

/** What the environment's SLIMGRAD_ADAPTER says, else `auto`. */
export function choiceOfEnvironment(): AdapterChoice {
  return (process.env.SLIMGRAD_ADAPTER || 'auto') as AdapterChoice;
}

async function chooseAdapter(
  wanted: NodeDeviceOptions['adapter'],
  { gpu, powerPreference }: DeviceOptions,
  onNotice: (line: string) => void,
): Promise<{ adapter: GPUAdapter; driver?: Driver }> {
  if (typeof wanted === 'object') return { adapter: wanted };
  if (gpu) {
    const adapter = await gpu.requestAdapter({ powerPreference: powerPreference ?? 'high-performance' });
    if (!adapter) throw noAdapterError('the GPU object that was given offers none');
    return { adapter };
  }
  const choice = wanted ?? choiceOfEnvironment();
  const found = await findAdapter(choice, powerPreference);
  if (choice === 'auto' && found.driver === 'swiftshader') {
    onNotice('No usable GPU driver: computing on the CPU with the embedded software adapter (SwiftShader).');
  }
  return found;
}

/**
 * What an adapter that computes on the CPU needs: Dawn's polling takes a core away from it, and costs a real GPU nothing;
 * and its memory is this machine's, or what a container leaves of it.
 */
function traitsOf(info: GPUAdapterInfo): Pick<DeviceOptions, 'throttle' | 'memory'> {
  return isSoftware(info) ? { throttle, memory: Math.min(totalmem(), process.constrainedMemory() || totalmem()) } : {};
}
