import { flagsOf } from '../../config/flags.js';
import { toggle } from '../../config/kinds.js';
import { finetuneDefaults } from '../../eval/finetune.js';
import type { Command } from './command.js';
import { completeFlags } from './flags.js';
import { given, resultSettings, subjectSettings } from './subject.js';
import { supervisedSettings } from './supervised.js';

const settings = {
  ...subjectSettings,
  ...supervisedSettings(finetuneDefaults),
  scratch: toggle('train the same network from its first weights too, to compare', false),
  ...resultSettings,
};

export const finetuneCommand: Command = {
  usage: 'finetune --weights FILE --data DIR|emoji|... [FLAGS]',
  positional: [],
  flags: flagsOf(settings),
  examples: [
    ['slimgrad finetune --weights runs/demo-0/slim.safetensors --data photos', 'three learning rates, then the best'],
    ['slimgrad finetune --weights slim.safetensors --data photos --lr 0.01 --scratch', 'beside training from scratch'],
  ],
  async run({ values }) {
    const { weights: path, part, data, out, report, ...options } = completeFlags('slimgrad finetune', settings, values);
    const { weightsFile } = await import('../run/weights_file.js');
    const weights = await weightsFile(path, part);
    const { classifierPlace, placeOf, publish, writeClassifier } = await import('../run/results.js');
    const place = await placeOf('finetune', weights, data, { out, report });
    const file = await classifierPlace(place);
    const { finetuneFile } = await import('./supervised_file.js');
    const { fitProgress } = await import('./fit_progress.js');
    const onProgress = fitProgress(process.stderr);
    const learned = await finetuneFile(weights, data, { ...given(options), onProgress });
    await writeClassifier(place.encoder, learned, file); // first: it cannot be had again in a moment, as the rest can
    await publish(learned.result, place);
    return 0;
  },
};
