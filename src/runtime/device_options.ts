// What a device is opened with.

import { expectOneOf } from '../checks/one_of.js';
import type { Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import { ConfigError, type DeviceLostError } from '../errors.js';
import type { Debug } from './debug.js';

export interface DeviceOptions {
  /** Nothing is ever run on it, so that plans may name buffers of any device. */
  meta?: boolean;
  /** An adapter to open a device on. */
  adapter?: GPUAdapter;
  /** The caller's own device; slimgrad uses it and never destroys it. */
  device?: GPUDevice;
  /** Where adapters come from; `navigator.gpu` where nothing is given. */
  gpu?: GPU;
  powerPreference?: GPUPowerPreference;
  /** The most bytes to hold in all, where that is known, as for an adapter that computes in the host's memory. */
  memory?: number;
  /** The most multiply-adds of one dispatch; by default what a slow adapter of its kind does in about a tenth of a second. */
  dispatchMacs?: number;
  /** Called once if the device is lost for a reason other than `dispose()`. */
  onLost?: (error: DeviceLostError) => void;
  /**
   * Opens further devices of the same adapter, for a driver that compiles a shader when it is first dispatched and shares
   * what it compiled: they share that work, and are destroyed after it.
   */
  compileDevices?: () => Promise<readonly GPUDevice[]>;
  /** Prints and checks what plans do: `new Debug(level)`, of this device alone. */
  debug?: Debug;
  /** Awaits pending GPU work; a host that must give way to a software adapter's threads replaces it. */
  throttle?: <T>(pending: Promise<T>) => Promise<T>;
}

export const deviceOptions: Kinds<DeviceOptions> = {
  meta: 'boolean',
  adapter: 'object',
  device: 'object',
  gpu: 'object',
  powerPreference: 'string',
  memory: 'number',
  dispatchMacs: 'number',
  onLost: 'function',
  compileDevices: 'function',
  debug: 'object',
  throttle: 'function',
};

/** @throws ConfigError where an option is out of range */
export function checkDevice({ memory = 0, dispatchMacs = 1, powerPreference, debug }: DeviceOptions): void {
  const expect = (holds: boolean, name: string, least: number, got: number) => {
    if (!holds) throw new ConfigError(`openDevice: expected ${name} of at least ${least}, got ${got}`);
  };
  expect(memory >= 0, 'memory', 0, memory);
  expect(dispatchMacs >= 1, 'dispatchMacs', 1, dispatchMacs);
  if (debug && !('settled' in debug))
    throw new ConfigError(`openDevice: expected debug to be a Debug, got ${textOf(debug)}; new Debug(2) makes one`);
  if (powerPreference !== undefined)
    expectOneOf('openDevice: powerPreference', powerPreference, ['low-power', 'high-performance']);
}
