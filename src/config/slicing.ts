import { sliceModes } from '../core/channel_selection.js';
import { bnModes } from '../core/parameters.js';
import { ranges, trainerDefaults } from '../train/options.js';
import { choice, integer } from './kinds.js';
import { methodsWhere } from './methods.js';

const forSlices = {
  only: { key: 'method', values: methodsWhere(({ networks }) => networks === 'sliced') },
  remedy: 'Its slim encoder is no slice of a host: leave it out, or use --method sacl_xd.',
} as const;
const forLists = { only: { key: 'slice', values: ['l1'] } } as const;

/** How the slim encoder is sliced from its host. */
export const slicingSettings = {
  slice: choice('channels of the slim encoder: leading, or of largest L1 norm', 'prefix', sliceModes, forSlices),
  sliceEvery: integer('steps between selections of channels', trainerDefaults.sliceEvery, {
    ...ranges.sliceEvery,
    ...forLists,
  }),
  sliceWarmup: integer<number | null>('steps before the first selection by trained weights', null, {
    ...ranges.sliceWarmup,
    shown: 'the warm-up',
    ...forLists,
  }),
  bn: choice('what encoders share of batchnorm: affine, statistics too, or nothing', 'split', bnModes, forSlices),
};
