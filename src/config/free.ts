import type { SettingKey } from './settings.js';

/** Settings that do not affect a run's weights, and so may change when it is resumed. */
export const freeKeys: readonly SettingKey[] = [
  'maxBad',
  'checkpointEvery',
  'evalEvery',
  'out',
  'recompute',
  'tune',
  'tensorboard',
  'resume',
  'acceptData',
];
