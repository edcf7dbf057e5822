import type { Width } from '../core/parameters.js';
import { draws, stream } from '../core/random.js';
import type { Tensors } from '../core/state.js';
import type { Method } from '../methods/method.js';
import { Network } from '../methods/network.js';
import type { Device } from '../runtime/device.js';

/** One encoder as initialized by the seed, before any step: the baseline of a trained one. */
export async function initialState(device: Device, method: Method, width: Width, seed: number): Promise<Tensors> {
  const network = new Network(device, method);
  try {
    network.initialize(draws(seed, stream.init));
    return await network.encoderState(width);
  } finally {
    network.dispose();
  }
}
