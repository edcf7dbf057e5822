// The weights that a run starts from.
import { methods } from '../../config/methods.js';
import type { TrainConfig } from '../../config/settings.js';
import type { Width } from '../../core/parameters.js';
import type { Tensors } from '../../core/state.js';
import type { Encoder } from '../../encoders/encoder.js';
import { DataError } from '../../errors.js';
import { readSafetensors } from '../../formats/safetensors.js';
import { type RunEncoderFile, readEncoder } from '../../inference/encoder_file.js';
import { encoderOf } from '../../inference/run_file.js';
import { findState, shapesOf } from '../../inference/state_dict.js';
import { namingsOf } from '../../inference/torchvision.js';
import { readBytes } from '../system/files.js';
import { weightsPath } from '../system/weights_file.js';

/**
 * The tensors of the encoder that `config.init` names: of a run folder the host's where the method slices one, else the slim one's;
 * of a file those in it. Undefined where it names none.
 *
 * @throws DataError where there is no such file, or it holds no encoder of these settings
 */
export async function readInit(config: TrainConfig): Promise<Tensors | undefined> {
  const { init, method } = config;
  if (init === null) return undefined;
  const sliced = methods[method].networks === 'sliced';
  try {
    const file = await weightsPath(init, sliced ? 'host' : 'slim');
    const bytes = await readBytes(file);
    const { tensors, metadata } = readSafetensors(bytes, file);
    if (metadata.format?.startsWith('slimgrad')) return stateOf(config, readEncoder(bytes, { file }), file);
    return torchvisionState(config, tensors, file, sliced);
  } catch (cause) {
    if (!(cause instanceof DataError)) throw cause;
    throw new DataError(`init (--init): ${cause.message}`, { cause });
  }
}

/** Width of an encoder against the published network. */
function widthOf({ width, ratio }: TrainConfig, part: Width): number {
  return Number((width * (part === 'host' ? ratio : 1)).toPrecision(6));
}

/** The tensors of another run's encoder, where it is that of these settings. */
function stateOf(config: TrainConfig, { encoder, state, config: other, part }: RunEncoderFile, file: string): Tensors {
  const shapes = (of: Encoder) => [...shapesOf(of)].sort().join();
  if ((['slim', 'host'] as const).some((width) => shapes(encoderOf(config, width)) === shapes(encoder))) return state;
  const wanted = [...new Set([widthOf(config, 'slim'), widthOf(config, 'host')])];
  throw new DataError(
    `${file}: expected ${config.encoder} of width ${wanted.join(' or ')}, as the settings have it, got ${other.encoder} of width ` +
      `${widthOf(other, part)}; give the settings of the encoder (--encoder, --width, --blocks) that it has`,
  );
}

/** A state dict of torchvision or of a program that uses its names: of the slim encoder's shapes, or of the host's. */
function torchvisionState(
  config: TrainConfig,
  tensors: Parameters<typeof findState>[1],
  file: string,
  sliced: boolean,
): Tensors {
  const of = (part: Width) => {
    const what = `${config.encoder} of width ${widthOf(config, part)}`;
    return findState(encoderOf(config, part), tensors, { what, namings: namingsOf(config.encoder) }, file);
  };
  try {
    return of('slim');
  } catch (refused) {
    if (!sliced || config.ratio === 1) throw refused;
    try {
      return of('host');
    } catch {
      throw refused;
    }
  }
}
