import { readEncoder } from '../encoder_file.js';
import { type ImageEncoder, openEncoder, openTorchvision, type TorchvisionOptions } from '../image_encoder.js';
import type { Device } from '../runtime/device.js';
import { openDevice } from './device.js';
import { readBytes } from './files.js';

/** An encoder with the device it was opened on, if that is its own. */
export interface LoadedEncoder
  extends Pick<ImageEncoder, 'features' | 'imageSize' | 'backbone' | 'parameters' | 'embed' | 'recalibrate' | 'state'> {
  dispose(): void;
}

/**
 * Opens the encoder in `slim.safetensors` or `host.safetensors` of a run, on `device` or on one of its own, which
 * `dispose()` frees with it.
 *
 * @throws DataError where the file is missing, damaged or not one of slimgrad's; DeviceError where there is no adapter
 */
export async function loadEncoder(file: string, { device }: { device?: Device } = {}): Promise<LoadedEncoder> {
  const bytes = await readBytes(file);
  readEncoder(bytes, file); // refuses what is none before a device is opened for nothing
  return open(device, (on) => openEncoder(on, bytes, file));
}

/**
 * Opens a safetensors file with a state dict of torchvision, of the network that `options` name, as `loadEncoder` does.
 *
 * @throws DataError where the file is missing, damaged or another network's, all that does not fit listed; ConfigError where
 * an option is out of range; DeviceError where there is no adapter
 */
export async function loadTorchvision(
  file: string,
  { device, ...options }: TorchvisionOptions & { device?: Device },
): Promise<LoadedEncoder> {
  const bytes = await readBytes(file);
  return open(device, (on) => openTorchvision(on, bytes, options, file));
}

async function open(device: Device | undefined, on: (device: Device) => ImageEncoder): Promise<LoadedEncoder> {
  const chosen = device ?? (await openDevice());
  try {
    const encoder = on(chosen);
    return {
      features: encoder.features,
      imageSize: encoder.imageSize,
      backbone: encoder.backbone,
      parameters: encoder.parameters,
      embed: (images) => encoder.embed(images),
      recalibrate: (images) => encoder.recalibrate(images),
      state: () => encoder.state(),
      dispose: () => {
        encoder.dispose();
        if (!device) chosen.dispose();
      },
    };
  } catch (error) {
    if (!device) chosen.dispose();
    throw error;
  }
}
