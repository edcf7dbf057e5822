import { type NodeDeviceOptions, openDevice } from '../src/node/device/device.js';
import type { Device } from '../src/runtime/device.js';

/** The device that a test file shares. test/run.mjs names the adapter by SLIMGRAD_ADAPTER and runs the file on each. */
export async function openTestDevice(options: NodeDeviceOptions = {}): Promise<Device> {
  return openDevice({ onNotice: () => undefined, ...options });
}

interface Pretended {
  readonly software?: boolean;
  readonly subgroupSize?: number;
  readonly dispatchMacs?: number;
  readonly limits?: Partial<Record<keyof GPUSupportedLimits, number>>;
}

/** The device with other properties and limits, for code paths that the adapter at hand does not take. */
export function pretend(device: Device, { limits, ...properties }: Pretended): Device {
  return overlay(device, { ...properties, ...(limits && { limits: overlay(device.limits, limits) }) });
}

function overlay<T extends object>(target: T, properties: Readonly<Record<string, unknown>>): T {
  return new Proxy(target, {
    get: (_, key) => {
      if (key in properties) return properties[key as string];
      const value = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
