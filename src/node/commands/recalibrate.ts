import type { Command } from './command.js';
import { UsageError } from './flags.js';

export const recalibrateCommand: Command = {
  name: 'recalibrate',
  summary: "take an encoder's batchnorm statistics from other pictures",
  usage: 'recalibrate --weights FILE --data DIR|emoji|... --out FILE',
  positional: [],
  flags: [
    {
      flag: '--weights',
      key: 'weights',
      value: 'FILE',
      doc: 'an encoder, as slim.safetensors of a run',
      default: 'needed',
    },
    {
      flag: '--data',
      key: 'data',
      value: 'DIR|emoji|fashion-mnist|cifar10:DIR',
      doc: 'the pictures; where they come with a split, the training ones',
      default: 'needed',
    },
    { flag: '--out', key: 'out', value: 'FILE', doc: 'where to write the encoder', default: 'needed' },
  ],
  examples: [
    ['slimgrad recalibrate --weights a.safetensors --data photos --out b.safetensors', 'for your own pictures'],
  ],
  async run({ values }) {
    const { weights, data, out } = values;
    for (const [flag, value] of Object.entries({ weights, data, out })) {
      if (value === undefined)
        throw new UsageError(`--${flag}: needed, but not given; see slimgrad recalibrate --help`);
    }
    const { recalibrateFile } = await import('../recalibrate_file.js');
    const pictures = await recalibrateFile(String(weights), String(data), String(out));
    console.log(`Wrote the encoder with the statistics of ${pictures} pictures to ${out}`);
    return 0;
  },
};
