import { flagOf, flagsOf } from '../../config/flags.js';
import { choice, toggle } from '../../config/kinds.js';
import { linearDefaults } from '../../eval/linear.js';
import type { Command } from './command.js';
import { completeFlags, UsageError } from './flags.js';
import { given, resultSettings, subjectSettings } from './subject.js';
import { supervisedSettings } from './supervised.js';

const { schedule, augment, standardize } = linearDefaults;
const settings = {
  ...subjectSettings,
  ...supervisedSettings(linearDefaults),
  schedule: choice('a tenth of the rate at 60 % and again at 80 %, or half a cosine', schedule, ['step', 'cosine']),
  augment: toggle('train on random crops and flips, as the paper does: a pass of the encoder a step', augment),
  standardize: toggle('first center and scale every feature', standardize),
  controls: toggle('train layers on the untrained encoder and on raw pixels too', true),
  ...resultSettings,
  report: toggle('write the classifier, the JSON file and the section of report.html', true),
};

export const linearCommand: Command = {
  usage: 'linear --weights FILE --data DIR|emoji|... [FLAGS]',
  positional: [],
  flags: flagsOf(settings),
  examples: [
    ['slimgrad linear --weights runs/demo-0/slim.safetensors --data emoji', 'on features computed once'],
    ['slimgrad linear --weights slim.safetensors --data photos --augment --lr 0.1', "the paper's protocol"],
  ],
  async run({ values }) {
    const { weights: path, part, data, out, report, ...options } = completeFlags('slimgrad linear', settings, values);
    const { weightsFile } = await import('../run/weights_file.js');
    const weights = await weightsFile(path, part);
    for (const key of ['cropMin', 'flip'])
      if (values[key] !== undefined && !options.augment)
        throw new UsageError(`${flagOf(key)}: only valid with --augment; features are of center crops`);
    const { classifierPlace, placeOf, publish, writeClassifier } = await import('../run/results.js');
    const place = await placeOf('linear', weights, data, { out, report });
    const file = report ? await classifierPlace(place) : undefined;
    const { linearFile } = await import('./supervised_file.js');
    const { fitProgress } = await import('./fit_progress.js');
    const onProgress = fitProgress(process.stderr);
    const learned = await linearFile(weights, data, { ...given(options), onProgress });
    if (file) await writeClassifier(place.encoder, learned, file);
    await publish(learned.result, place);
    return 0;
  },
};
