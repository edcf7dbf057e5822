// `slimgrad demo`: a run on emoji with ready-made settings, that shows what was learned without labels.
import { existsSync } from 'node:fs';
import { flagsOf } from '../../config/flags.js';
import { choice } from '../../config/kinds.js';
import { presets } from '../../config/presets.js';
import type { Command } from './command.js';
import { completeFlags } from './flags.js';
import { settingsAndConfig, train } from './pretrain.js';

const changeable = ['seed', 'steps', 'alpha', 'out', 'tune', 'resume'];

const settings = {
  task: choice('what is learned: to find edited copies, or the drawing by another artist', 'copies', [
    'copies',
    'twins',
  ]),
};

export const demoCommand: Command = {
  usage: 'demo [FLAGS]',
  positional: [],
  flags: [
    ...flagsOf(settings),
    ...settingsAndConfig
      .filter(({ key }) => changeable.includes(key))
      .map(({ group: _, ...flag }) => withDemoDefault(flag)),
  ],
  examples: [
    ['slimgrad demo', 'learn to find cropped, rotated, recolored and mirrored copies'],
    ['slimgrad demo --seed 1 --out runs/demo-1', 'another seed'],
    ['slimgrad demo --task twins', 'SACL + XD on pairs of drawings'],
  ],
  async run({ values: { task: given, ...values } }) {
    const { task } = completeFlags('slimgrad demo', settings, { task: given });
    const [name, preset] = task === 'twins' ? ['twins', presets.twins] : ['demo', scaled(values.steps)];
    const folder = `runs/${name}-${values.seed ?? 0}`;
    return train({ ...preset, out: values.resume ? folder : unused(folder), ...values });
  },
};

/** The settings for finding copies, the warm-up the same share of the steps where others are asked for. */
function scaled(steps: unknown): Readonly<Record<string, unknown>> {
  const { demo } = presets;
  const count = Number(steps);
  return Number.isInteger(count) ? { ...demo, warmup: Math.round((demo.warmup / demo.steps) * count) } : demo;
}

/** `folder`, or the first of folder-2, folder-3, ... that is not there: a demo may be started again. */
function unused(folder: string): string {
  for (let count = 1; ; count++) {
    const name = count === 1 ? folder : `${folder}-${count}`;
    if (!existsSync(name)) return name;
  }
}

function withDemoDefault<F extends { key: string; default?: string }>(flag: F): F {
  const preset: Record<string, unknown> = { ...presets.demo, out: 'runs/demo-SEED' };
  return { ...flag, default: String(preset[flag.key] ?? flag.default) };
}
