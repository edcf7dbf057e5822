import { openDevice } from '../src/node/device.js';
import type { Device } from '../src/runtime/device.js';

/** The device that a test file shares. test/run.mjs names the adapter by SLIMGRAD_ADAPTER and runs the file on each. */
export async function openTestDevice(): Promise<Device> {
  return openDevice({ onNotice: () => undefined });
}
