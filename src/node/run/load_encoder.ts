// Opens an encoder or a classifier from a file, on the given device or on one of its own.
import { expectArguments } from '../../checks/arguments.js';
import { expectOptions, type Kinds } from '../../checks/options.js';
import { textOf } from '../../checks/text_of.js';
import type { TrainConfig } from '../../config/settings.js';
import { checkEncoder } from '../../encoders/encoder.js';
import { ConfigError } from '../../errors.js';
import { type EncoderFile, type ReadEncoderOptions, readEncoder } from '../../inference/encoder_file.js';
import { ImageClassifier, readClassifier } from '../../inference/image_classifier.js';
import {
  ImageEncoder,
  openTorchvision,
  type TorchvisionOptions,
  torchvisionKinds,
} from '../../inference/image_encoder.js';
import type { Device } from '../../runtime/device.js';
import { openDevice } from '../device/device.js';
import { readBytes } from '../system/files.js';

/** An encoder with the device it was opened on, if that is its own. */
export interface LoadedEncoder
  extends Pick<
    ImageEncoder,
    'features' | 'imageSize' | 'square' | 'backbone' | 'parameters' | 'embed' | 'recalibrate' | 'state'
  > {
  /** The settings of the run that trained it, if any; their `range` applies to the images to embed. */
  readonly config?: TrainConfig;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** A classifier with the device it was opened on, if that is its own. */
export interface LoadedClassifier extends Pick<ImageClassifier, 'classes' | 'encoder' | 'classify'> {
  /** The settings of the run that trained its encoder, if any. */
  readonly config?: TrainConfig;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** How an encoder's file is opened. */
export interface LoadOptions extends Pick<ReadEncoderOptions, 'encoder'> {
  /** The device to use; default one of its own, which `dispose()` frees with it. */
  readonly device?: Device | undefined;
}

const loadOptions: Kinds<LoadOptions> = { device: 'any', encoder: 'any' };

/** Checks the path, and the device and the encoder where they are given. */
function expectFile(where: string, path: string, { device, encoder }: LoadOptions): void {
  if (typeof path !== 'string') throw new ConfigError(`${where}: expected the path of a file, got ${textOf(path)}`);
  if (device !== undefined) expectArguments(where, { device });
  if (encoder !== undefined) checkEncoder(where, encoder);
}

/**
 * Opens the encoder in `slim.safetensors` or `host.safetensors` of a run, or in a file that a program wrote by
 * `writeEncoder`, which requires `{ encoder }`.
 *
 * @throws DataError where the file is missing, or as `readEncoder`; DeviceError where there is no adapter
 */
export async function loadEncoder(path: string, options: LoadOptions = {}): Promise<LoadedEncoder> {
  const { device, encoder } = expectOptions('loadEncoder', options, loadOptions);
  expectFile('loadEncoder', path, options);
  const file = readEncoder(await readBytes(path), { encoder, file: path }); // before a device is opened, as it may fail
  return openFile(file, device);
}

/** Opens an encoder whose file was read already. */
export async function openFile(file: EncoderFile, device?: Device): Promise<LoadedEncoder> {
  const { config } = file;
  return { ...(config && { config }), ...(await encoderOn(device, (chosen) => new ImageEncoder(chosen, file))) };
}

/**
 * Opens a safetensors file with a state dict of torchvision, of the network that `options` name, as `loadEncoder` does.
 *
 * @throws DataError where the file is missing, damaged, or of another network (the message lists all differences); ConfigError where
 * an option is out of range; DeviceError where there is no adapter
 */
export async function loadTorchvision(
  file: string,
  given: TorchvisionOptions & { device?: Device },
): Promise<LoadedEncoder> {
  const { device, ...options } = expectOptions('loadTorchvision', given, { ...torchvisionKinds, device: 'any' });
  expectFile('loadTorchvision', file, { device });
  const bytes = await readBytes(file);
  return encoderOn(device, (chosen) => openTorchvision(chosen, bytes, options, file));
}

/**
 * Opens the encoder and the classifier in a file that `slimgrad finetune` or `slimgrad linear` wrote, as `loadEncoder` does.
 *
 * @throws DataError where the file is missing or has no classifier, or as `readEncoder`; DeviceError where there is no adapter
 */
export async function loadClassifier(path: string, options: LoadOptions = {}): Promise<LoadedClassifier> {
  const { device, encoder } = expectOptions('loadClassifier', options, loadOptions);
  expectFile('loadClassifier', path, options);
  const file = readClassifier(await readBytes(path), { encoder, file: path }); // before a device is opened, as it may fail
  const { config, classifier } = file;
  const { opened, dispose } = await on(
    device,
    (chosen) => new ImageClassifier(chosen, new ImageEncoder(chosen, file), classifier),
  );
  return {
    ...(config && { config }),
    classes: opened.classes,
    encoder: opened.encoder,
    classify: (images) => opened.classify(images),
    dispose,
    [Symbol.dispose]: dispose,
  };
}

async function encoderOn(device: Device | undefined, open: (device: Device) => ImageEncoder): Promise<LoadedEncoder> {
  const { opened, dispose } = await on(device, open);
  return {
    features: opened.features,
    imageSize: opened.imageSize,
    square: opened.square,
    backbone: opened.backbone,
    parameters: opened.parameters,
    embed: (images) => opened.embed(images),
    recalibrate: (images) => opened.recalibrate(images),
    state: () => opened.state(),
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Opens something on `device`, or on a device of its own, which is then disposed of with it. */
async function on<T extends { dispose(): void }>(
  device: Device | undefined,
  open: (device: Device) => T,
): Promise<{ opened: T; dispose(): void }> {
  const chosen = device ?? (await openDevice());
  try {
    const opened = open(chosen);
    const dispose = () => {
      opened.dispose();
      if (!device) chosen.dispose();
    };
    return { opened, dispose };
  } catch (error) {
    if (!device) chosen.dispose();
    throw error;
  }
}
