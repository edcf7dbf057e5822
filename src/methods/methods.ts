import { barlowTwins } from './barlow_twins.js';
import { byol } from './byol.js';
import { disco } from './disco.js';
import { mocoV2 } from './moco_v2.js';
import { oss } from './oss.js';
import { rekd } from './rekd.js';
import { sacl } from './sacl.js';
import { saclXd } from './sacl_xd.js';
import { seed } from './seed.js';
import { sslSmall } from './ssl_small.js';
import { xd } from './xd.js';

/** Every method, by the name that settings use. */
export const methods = {
  sacl_xd: saclXd,
  sacl,
  xd,
  barlow_twins: barlowTwins,
  moco_v2: mocoV2,
  byol,
  ssl_small: sslSmall,
  seed,
  disco,
  rekd,
  oss,
} as const;
