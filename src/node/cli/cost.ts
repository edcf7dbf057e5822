// `slimgrad cost`: the FLOPs of a training, or of a run's own step.
import { basename, dirname } from 'node:path';
import { type EncoderName, encoderNames } from '../../config/encoders.js';
import { completeSetting, flagOf, flagsOf } from '../../config/flags.js';
import { choice, integer, number, required, text } from '../../config/kinds.js';
import { methodNames } from '../../config/methods.js';
import { changeSettings, parseConfig } from '../../config/settings.js';
import { runCost } from '../../cost/run.js';
import { runText, trainingText } from '../../cost/text.js';
import { imagenetImages, type TrainingSpec, trainingCost } from '../../cost/training_cost.js';
import { metaDevice } from '../../runtime/meta.js';
import { stepSeconds } from '../report/pace.js';
import { readMetrics } from '../run/run_folder.js';
import { readSettings } from '../run/settings_file.js';
import { openTeacher } from '../run/teacher_file.js';
import type { Command } from './command.js';
import { completeFlags, UsageError } from './flags.js';

const training = {
  encoder: choice<EncoderName | null>('architecture of the slim encoder', null, encoderNames, { shown: 'required' }),
  method: choice('what is trained', 'sacl_xd', methodNames),
  teacher: choice<EncoderName | null>(
    "the teacher's architecture; required by seed, disco, rekd and oss",
    null,
    encoderNames,
  ),
  width: number('width of the slim encoder against the published network', 1, { min: 1 / 32, max: 16 }),
  ratio: number('K of Kx-1x: the host is K times as wide', 1.5, {
    min: 1,
    max: 16,
    shown: '1.5 where a host is sliced, else 1',
  }),
  epochs: integer('passes over the images', 100, { min: 1, max: 1e6 }),
  images: integer('images of an epoch', imagenetImages, { min: 1, shown: `ImageNet's ${imagenetImages}` }),
  imageSize: integer('side of the images, in pixels', 224, { min: 8, max: 1024 }),
  teacherEpochs: integer("epochs of the teacher's own training, where that comes first", 800, { min: 0, max: 1e6 }),
  batch: integer('images in a step', 256, { min: 2, max: 65536, shown: "the file's" }),
};

const instead = {
  config: text<string | null>(
    "a run's settings: count its own step, part by part; flags on the command line win",
    null,
    'FILE',
  ),
};

export const costCommand: Command = {
  usage: 'cost --encoder NAME [FLAGS]',
  positional: [],
  flags: [...flagsOf(training, 'Training'), ...flagsOf(instead, 'Instead')],
  examples: [
    ['slimgrad cost --encoder mobilenet_v3_large --method xd', 'as published costs are counted: 3.600e17 FLOPs'],
    ['slimgrad cost --encoder efficientnet_b0 --method seed --teacher resnet50', 'with its teacher'],
    ['slimgrad cost --config runs/a/config.json --images 50000', 'a run of your own'],
  ],
  async run({ values }) {
    const { config } = completeFlags('slimgrad cost', instead, values);
    const all = completeFlags('slimgrad cost', training, values) as Readonly<Record<string, unknown>>;
    const given = Object.fromEntries(Object.entries(all).filter(([key]) => values[key] !== undefined));
    if (config) {
      refuse(given, ['teacher', 'teacherEpochs'], 'is of published costs; a run names its own teacher in its settings');
      console.log(await costOfFile(config, given));
    } else {
      refuse(given, ['batch'], 'only valid with --config');
      completeFlags('slimgrad cost', { encoder: { ...training.encoder, default: required } }, values);
      const spec = { method: 'sacl_xd', epochs: 100, ...given } as TrainingSpec;
      console.log(trainingText(spec, trainingCost(spec)));
    }
    return 0;
  },
};

function refuse(given: Readonly<Record<string, unknown>>, keys: readonly string[], why: string): void {
  for (const key of keys) if (given[key] !== undefined) throw new UsageError(`${flagOf(key)}: ${why}; leave it out`);
}

const countsEpochs = 'The settings count epochs: give the number of training images.';

/**
 * What a run with the settings in `file` computes, in words; of a run folder's config.json as it stands, also how fast its
 * steps were.
 *
 * @param given what stands in place of the file's settings, and the number of training images
 * @throws ConfigError where the settings count epochs, without the number of images
 */
async function costOfFile(file: string, { images, ...given }: Readonly<Record<string, unknown>>): Promise<string> {
  const config = parseConfig(changeSettings(await readSettings(file), given));
  if (images === undefined && config.steps === null)
    completeSetting('images (--images)', { ...training.images, default: required, remedy: countsEpochs }, images);
  const teacher = await openTeacher(config, metaDevice());
  const cost = runCost(config, images === undefined ? Number.MAX_SAFE_INTEGER : Number(images), teacher);
  const isOwn = basename(file) === 'config.json' && Object.keys(given).length === 0;
  return runText(file, config, cost, isOwn ? stepSeconds(await readMetrics(dirname(file))) : undefined);
}
