import { DeviceError } from '../errors.js';
import { bindingAlignment } from '../tensor/binding.js';
import { Device } from './device.js';

/**
 * A device without an adapter, like PyTorch's `meta`: plans can be recorded on it and inspected, but not compiled. Its buffers
 * have sizes but no data.
 *
 * @param like a device whose features and limits it copies, so that plans are recorded as they would be there; without one it
 * has no size limits, no subgroups, and f16
 */
export function metaDevice(like?: Device): Device {
  const refuse = () => {
    throw new DeviceError(
      'device: a meta device has no adapter, so plans can only be recorded on it; use openDevice()',
    );
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
