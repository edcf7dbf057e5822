import { DeviceError } from '../errors.js';
import { Device } from './device.js';

/**
 * A device of no adapter, as PyTorch's `meta`: plans are recorded on it to be read, and cannot be compiled. Its buffers have
 * sizes and no data; it refuses no size, has no subgroups, and takes f16.
 */
export function metaDevice(): Device {
  const gpu = {
    features: new Set(['shader-f16']),
    limits: {
      maxBufferSize: Number.POSITIVE_INFINITY,
      maxStorageBufferBindingSize: Number.POSITIVE_INFINITY,
      maxComputeWorkgroupsPerDimension: 65535,
    },
    lost: new Promise(() => undefined),
    queue: { writeBuffer: () => undefined },
    addEventListener: () => undefined,
    createBuffer: (descriptor: GPUBufferDescriptor) => ({ ...descriptor, destroy: () => undefined }),
    createShaderModule() {
      throw new DeviceError(
        'device: there is no adapter behind it, plans can only be recorded on it; use openDevice()',
      );
    },
  };
  const info = { description: 'no adapter', architecture: '', device: '', isFallbackAdapter: false };
  return new Device(gpu as unknown as GPUDevice, info as GPUAdapterInfo, {});
}
