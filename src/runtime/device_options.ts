// The options of a device.

import { expectOneOf } from '../checks/one_of.js';
import type { Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import { ConfigError, type DeviceLostError } from '../errors.js';
import type { Debug } from './debug.js';

export interface DeviceOptions {
  /** It never runs anything, so plans may use buffers of any device. */
  meta?: boolean;
  /** An adapter to open a device on. */
  adapter?: GPUAdapter;
  /** The caller's own device; slimgrad uses it and never destroys it. */
  device?: GPUDevice;
  /** The source of adapters; default `navigator.gpu`. */
  gpu?: GPU;
  powerPreference?: GPUPowerPreference;
  /** The limit on total memory in bytes, if known, as for an adapter that uses the host's memory. */
  memory?: number;
  /** The maximum multiply-adds of one dispatch; default what a slow adapter of the same type computes in about 0.1 s. */
  dispatchMacs?: number;
  /** Called once if the device is lost for a reason other than `dispose()`. */
  onLost?: (error: DeviceLostError) => void;
  /**
   * Opens more devices of the same adapter to compile in parallel, for a driver that compiles a shader on its first dispatch
   * and caches the result across devices. They are destroyed afterward.
   */
  compileDevices?: () => Promise<readonly GPUDevice[]>;
  /** Debug output and checks of plans: `new Debug(level)`, for this device only. */
  debug?: Debug;
  /** Awaits pending GPU work; replaced where the host must yield to a software adapter's threads. */
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
