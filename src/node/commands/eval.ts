import { ConfigError } from '../../errors.js';
import type { Command } from './command.js';
import { UsageError } from './flags.js';

const whole = (text: string): unknown => (/^\d{1,10}$/.test(text) ? Number(text) : text);
const ranges = { seed: [0, 2 ** 32 - 1], k: [1, 2 ** 32 - 1] } as const;

export const evalCommand: Command = {
  name: 'eval',
  summary: 'measure an encoder: kNN, and cross-style retrieval on emoji',
  usage: 'eval --weights FILE --data DIR|emoji|... [FLAGS]',
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
      doc: 'labelled images; what was held out of them in training is tested',
      default: 'needed',
    },
    {
      flag: '--seed',
      key: 'seed',
      value: 'N',
      doc: 'of the split',
      default: "the run's",
      fromText: whole,
    },
    { flag: '--k', key: 'k', value: 'N', doc: 'neighbours of kNN', default: '20', fromText: whole },
    {
      flag: '--recalibrate',
      key: 'recalibrate',
      value: '',
      doc: 'first estimate batchnorm statistics anew from the training images',
    },
    { flag: '--json', key: 'json', value: 'FILE', doc: 'write the figures there too' },
  ],
  examples: [
    ['slimgrad eval --weights runs/demo-0/slim.safetensors --data emoji', 'held-out emoji'],
    ['slimgrad eval --weights slim.safetensors --data photos --k 5', 'a labelled folder'],
  ],
  async run({ values }) {
    const { weights, data, seed, k, recalibrate, json } = values;
    for (const [flag, value] of Object.entries({ weights, data })) {
      if (value === undefined) throw new UsageError(`--${flag}: needed, but not given; see slimgrad eval --help`);
    }
    for (const [flag, [least, most]] of Object.entries(ranges)) {
      const value = values[flag];
      if (value !== undefined && !(typeof value === 'number' && value >= least && value <= most)) {
        throw new ConfigError(`--${flag}: expected a whole number from ${least} to ${most}, got '${value}'`);
      }
    }
    const { checkPlace, writeFileAtomic } = await import('../files.js');
    if (json !== undefined) await checkPlace(String(json));
    const { evaluateFile } = await import('../evaluate_file.js');
    const { evaluationText } = await import('../scores.js');
    const evaluation = await evaluateFile(String(weights), String(data), {
      ...(seed !== undefined && { seed: seed as number }),
      ...(k !== undefined && { k: k as number }),
      recalibrate: recalibrate === true,
    });
    console.log(evaluationText(evaluation));
    if (json !== undefined) await writeFileAtomic(String(json), `${JSON.stringify(evaluation, null, 2)}\n`);
    return 0;
  },
};
