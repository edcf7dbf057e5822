import { existsSync } from 'node:fs';
import { presets } from '../../config/presets.js';
import type { Command } from './command.js';
import { settingsAndConfig, train } from './pretrain.js';

const changeable = ['seed', 'steps', 'alpha', 'out', 'tune', 'resume'];

export const demoCommand: Command = {
  usage: 'demo [FLAGS]',
  positional: [],
  flags: settingsAndConfig
    .filter(({ key }) => changeable.includes(key))
    .map(({ group: _, ...flag }) => withDemoDefault(flag)),
  examples: [
    ['slimgrad demo', 'about 15,000 pairs of emoji'],
    ['slimgrad demo --seed 1 --out runs/demo-1', 'another seed'],
  ],
  async run({ values }) {
    const folder = `runs/demo-${values.seed ?? 0}`;
    return train({ ...presets.demo, out: values.resume ? folder : unused(folder), ...values });
  },
};

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
