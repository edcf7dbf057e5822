import { encoderMetadata, type ImageEncoder, openEncoder } from '../image_encoder.js';
import { readSafetensors } from '../io/safetensors.js';
import type { Device } from '../runtime/device.js';
import { openDevice } from './device.js';
import { readBytes } from './files.js';

/** An encoder with the device it was opened on, if that is its own. */
export interface LoadedEncoder extends Pick<ImageEncoder, 'features' | 'imageSize' | 'embed'> {
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
  // Before a device is opened for nothing.
  encoderMetadata(readSafetensors(bytes, file).metadata, file);
  const chosen = device ?? (await openDevice());
  try {
    const encoder = openEncoder(chosen, bytes, file);
    return {
      features: encoder.features,
      imageSize: encoder.imageSize,
      embed: (images) => encoder.embed(images),
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
