import { barlowTwins } from './barlow_twins.js';
import { sacl } from './sacl.js';
import { saclXd } from './sacl_xd.js';
import { xd } from './xd.js';

/** Every method, by the name that settings use. */
export const methods = {
  sacl_xd: saclXd,
  sacl,
  xd,
  barlow_twins: barlowTwins,
} as const;
