import { required, text } from '../../config/kinds.js';
import type { Command } from './command.js';
import { flagsOf, settle } from './settings.js';
import { dataChoice, given, subjectSettings } from './subject.js';

const settings = {
  weights: subjectSettings.weights,
  data: text('the images; where they come with a split, the training ones', required, subjectSettings.data.value),
  ...dataChoice,
  out: text('where to write the encoder', required, 'FILE'),
};

export const recalibrateCommand: Command = {
  name: 'recalibrate',
  summary: "take an encoder's batchnorm statistics from other images",
  usage: 'recalibrate --weights FILE --data DIR|emoji|... --out FILE',
  positional: [],
  flags: flagsOf(settings),
  examples: [['slimgrad recalibrate --weights a.safetensors --data photos --out b.safetensors', 'for your own images']],
  async run({ values }) {
    const { weights, data, out, ...options } = settle('recalibrate', settings, values);
    const { recalibrateFile } = await import('./recalibrate_file.js');
    const images = await recalibrateFile(weights, data, out, given(options));
    console.log(`Wrote the encoder with the statistics of ${images} images to ${out}`);
    return 0;
  },
};
