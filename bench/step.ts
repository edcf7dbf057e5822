import type { Device } from '../src/runtime/device.js';
import type { Roofline } from './roofline.js';
export async function benchStep(_device: Device, _ceilings: Roofline, _quick: boolean): Promise<unknown[]> {
  return [];
}
