import type { TrainConfig } from '../../config/settings.js';
import { DataError } from '../../errors.js';
import { type ImageEncoder, openEncoder } from '../../inference/image_encoder.js';
import type { Device } from '../../runtime/device.js';
import { readBytes } from '../system/files.js';
import { weightsPath } from '../system/weights_file.js';

/**
 * The trained encoder that a run learns from, a file or a run folder, opened on `device`; nothing where it names none.
 *
 * @throws DataError where there is no such file, or it holds no encoder
 */
export async function openTeacher({ teacher }: TrainConfig, device: Device): Promise<ImageEncoder | undefined> {
  if (teacher === null) return undefined;
  try {
    const file = await weightsPath(teacher, 'slim');
    return openEncoder(device, await readBytes(file), { file });
  } catch (cause) {
    if (!(cause instanceof DataError)) throw cause;
    throw new DataError(`teacher (--teacher): ${cause.message}`, { cause });
  }
}
