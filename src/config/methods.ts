// The table of methods, by the names that settings use. A method of the library is a file of src/methods, its line here, and its
// function in src/config/run.ts.
import { barlowTwinsSpec } from '../methods/barlow_twins.js';
import { byolSpec } from '../methods/byol.js';
import { discoSpec } from '../methods/disco.js';
import { mocoV2Spec } from '../methods/moco_v2.js';
import { ossSpec } from '../methods/oss.js';
import { rekdSpec } from '../methods/rekd.js';
import { saclSpec } from '../methods/sacl.js';
import { saclXdSpec } from '../methods/sacl_xd.js';
import { seedSpec } from '../methods/seed.js';
import type { Default, MethodSetting, MethodSpec } from '../methods/settings.js';
import { sslSmallSpec } from '../methods/ssl_small.js';
import { xdSpec } from '../methods/xd.js';

const table = {
  sacl_xd: saclXdSpec,
  sacl: saclSpec,
  xd: xdSpec,
  barlow_twins: barlowTwinsSpec,
  moco_v2: mocoV2Spec,
  byol: byolSpec,
  ssl_small: sslSmallSpec,
  seed: seedSpec,
  disco: discoSpec,
  rekd: rekdSpec,
  oss: ossSpec,
};

export type MethodName = keyof typeof table;

/** A row of the table: a method with its settings. */
interface Row extends Omit<MethodSpec, 'defaults'> {
  readonly defaults: { readonly [K in MethodSetting]?: Default };
}

/** The methods, by name: title, networks, teacher, passes per image, and numeric settings with their defaults. */
export const methods: Readonly<Record<MethodName, Row>> = table;

/** Every method, by the name that settings use. */
export const methodNames = /* @__PURE__ */ Object.keys(table) as MethodName[];

/** The names of matching methods. */
export const methodsWhere = (fits: (method: Row) => boolean): MethodName[] =>
  methodNames.filter((name) => fits(methods[name]));
