import { integer, text } from '../../config/kinds.js';
import { knnDefaults } from '../../metrics/knn.js';
import type { Command } from './command.js';
import { flagsOf, settle } from './settings.js';
import { given, resultSettings, subjectSettings } from './subject.js';

const settings = {
  ...subjectSettings,
  k: integer('neighbours of kNN', knnDefaults.k, { min: 1, max: 2 ** 32 - 1 }),
  ...resultSettings,
  json: text('write the figures there too', '', 'FILE', { shown: '' }),
};

export const evalCommand: Command = {
  name: 'eval',
  summary: 'measure an encoder: kNN, and cross-style retrieval on emoji',
  usage: 'eval --weights FILE --data DIR|emoji|... [FLAGS]',
  positional: [],
  flags: flagsOf(settings),
  examples: [
    ['slimgrad eval --weights runs/demo-0/slim.safetensors --data emoji', 'held-out emoji'],
    ['slimgrad eval --weights slim.safetensors --data photos --k 5', 'a labeled folder'],
  ],
  async run({ values }) {
    const { weights, data, out, report, json, ...options } = settle('eval', settings, values);
    const { checkPlace, writeFileAtomic } = await import('../system/files.js');
    if (json) await checkPlace(json);
    const { placeOf, publish } = await import('../run/results.js');
    const place = await placeOf('eval', weights, data, { out, report });
    const { evaluateFile } = await import('./evaluate_file.js');
    const result = await evaluateFile(place, data, given(options));
    await publish(result, place);
    if (json) await writeFileAtomic(json, `${JSON.stringify(result, null, 2)}\n`);
    return 0;
  },
};
