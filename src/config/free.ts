import type { SettingKey } from './settings.js';

/** Settings that leave a run's weights as they are, and so may change between a run and its continuation. */
export const freeKeys: readonly SettingKey[] = [
  'maxBad',
  'checkpointEvery',
  'out',
  'recompute',
  'tune',
  'tensorboard',
  'resume',
  'acceptData',
];
