import { basename, dirname } from 'node:path';
import { changeSettings, parseConfig } from '../../config/settings.js';
import { runCost } from '../../cost/run.js';
import { runText } from '../../cost/text.js';
import { ConfigError } from '../../errors.js';
import { metaDevice } from '../../runtime/meta.js';
import { stepSeconds } from '../run/pace.js';
import { readMetrics } from '../run/run_folder.js';
import { readSettings } from '../run/settings_file.js';
import { openTeacher } from '../run/teacher_file.js';

/**
 * What a run with the settings in `file` computes, in words; of a run folder's config.json as it stands, also how fast its
 * steps were.
 *
 * @param given what stands in place of the file's settings, and the number of training images
 * @throws ConfigError where the settings count epochs, and nothing tells of how many images
 */
export async function costOfFile(
  file: string,
  { images, ...given }: Readonly<Record<string, unknown>>,
): Promise<string> {
  const config = parseConfig(changeSettings(await readSettings(file), given));
  if (images === undefined && (config.steps === null || config.distilEpochs > 0))
    throw new ConfigError(
      'images (--images): needed, for the settings count epochs; give the number of training images',
    );
  const teacher = await openTeacher(config, metaDevice());
  const cost = runCost(config, images === undefined ? Number.MAX_SAFE_INTEGER : Number(images), teacher);
  const isOwn = basename(file) === 'config.json' && Object.keys(given).length === 0;
  return runText(file, config, cost, isOwn ? stepSeconds(await readMetrics(dirname(file))) : undefined);
}
