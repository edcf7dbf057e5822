import { DeviceError } from '../errors.js';
import { bindingAlignment } from '../tensor/binding.js';
import { Device } from './device.js';

/**
 * A device of no adapter, as PyTorch's `meta`: plans are recorded on it to be read, and cannot be compiled. Its buffers have
 * sizes and no data.
 *
 * @param like whose features and limits it pretends to have, so that plans are recorded as they would be there; without one
 * it refuses no size, has no subgroups, and takes f16
 */
export function metaDevice(like?: Device): Device {
  const refuse = () => {
    throw new DeviceError('device: there is no adapter behind it, plans can only be recorded on it; use openDevice()');
  };
  const gpu = {
    features: like?.features ?? new Set(['shader-f16']),
    limits: like?.limits ?? {
      maxBufferSize: Number.POSITIVE_INFINITY,
      maxStorageBufferBindingSize: Number.POSITIVE_INFINITY,
      maxComputeWorkgroupsPerDimension: 65535,
      minStorageBufferOffsetAlignment: bindingAlignment,
    },
    lost: new Promise(() => undefined),
    queue: { writeBuffer: () => undefined },
    addEventListener: () => undefined,
    createBuffer: (descriptor: GPUBufferDescriptor) => ({ ...descriptor, destroy: () => undefined }),
    pushErrorScope: refuse,
    createCommandEncoder: refuse,
  };
  const info = like?.info ?? { description: 'no adapter', architecture: '', device: '', isFallbackAdapter: false };
  return new Device(gpu as unknown as GPUDevice, info as GPUAdapterInfo, {
    meta: true,
    ...(like && { dispatchMacs: like.dispatchMacs }),
  });
}
