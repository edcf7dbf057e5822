// `slimgrad pretrain`: the flags of a run. Its loop is ../run/pretrain.ts.
import { type Flag, flagsOf } from '../../config/flags.js';
import { choice, text } from '../../config/kinds.js';
import { presets } from '../../config/presets.js';
import { changeSettings, parseConfig, settingFlags, withPreset } from '../../config/settings.js';
import { evaluationText } from '../eval/scores.js';
import { pretrain } from '../run/pretrain.js';
import { readSettings } from '../run/settings_file.js';
import type { Command } from './command.js';
import { UsageError } from './flags.js';

/** The flags of all settings, and --config. */
export const settingsAndConfig: readonly Flag[] = [
  ...settingFlags(),
  ...flagsOf(
    {
      config: text<string | null>(
        'settings as JSON, keys in camelCase (weightDecay for --weight-decay); flags on the command line win',
        null,
        'FILE',
      ),
    },
    'Run',
  ),
];

const preset = flagsOf(
  {
    preset: choice<string | null>(
      'ready-made settings, one name or several, as small,photo: small trains four blocks, in minutes on a CPU; photo, drawing ' +
        'and any-angle are views for finding edited copies; flags on the command line win',
      null,
      Object.keys(presets),
    ),
  },
  'Run',
);

export const pretrainCommand: Command = {
  usage: 'pretrain --data DIR|emoji|... [FLAGS]',
  positional: [],
  flags: [...settingsAndConfig, ...preset],
  examples: [
    ['slimgrad pretrain --data photos --preset small --epochs 60', 'a first try on a folder of images'],
    [
      'slimgrad pretrain --data photos --preset small,photo --method xd',
      'to find cropped, rotated and recolored copies',
    ],
    ['slimgrad pretrain --data photos --ratio 1.5 --epochs 200', 'SACL+XD with the published network'],
    ['slimgrad pretrain --data fashion-mnist --method xd --width 0.5 --steps 500', 'XD only, small'],
    ['slimgrad pretrain --config runs/a/config.json --out runs/a --resume', 'go on with a run that was stopped'],
  ],
  async run({ values }) {
    const { config: file, preset: name, ...flags } = values;
    if (file !== undefined && name !== undefined)
      throw new UsageError('--preset: expected one of --preset and --config, got both');
    if (name !== undefined) return train(withPreset(String(name), flags));
    return train(file === undefined ? flags : changeSettings(await readSettings(String(file)), flags));
  },
};

/** Trains with `settings`, and prints the evaluation. */
export async function train(settings: Record<string, unknown>): Promise<number> {
  const config = parseConfig(settings);
  // Loaded when needed: help and refusals need no GPU.
  const { openSession } = await import('../run/session.js');
  const { folder, evaluation } = await pretrain(config, openSession, process.stdout);
  if (evaluation) console.log(`\n${evaluationText(evaluation)}`);
  console.log(`\nReport: ${folder}/report.html`);
  return 0;
}
