import { methodNames, methods } from '../src/config/methods.js';
import { type TableName, untrained } from './rows.js';
import type { DataName } from './settings.js';

/** A comparison of two rows, by their tables and names. */
export interface Claim {
  /** What the paper finds, at ImageNet's scale; or what is of interest though it says nothing. */
  readonly text: string;
  /** Whether the paper has `ahead` before `behind`. */
  readonly published: boolean;
  readonly ahead: readonly [TableName, string];
  readonly behind: readonly [TableName, string];
  readonly data: readonly DataName[];
}

const both: readonly DataName[] = ['emoji', 'fashion-mnist'];
const one: readonly DataName[] = ['emoji'];

/** A claim that one method is ahead of another, at equal epochs and at equal FLOPs. */
const method = (text: string, ahead: string, behind: string, isPublished = true): Claim[] =>
  (['epochs', 'flops'] as const).map((table) => ({
    text: `${text}, at equal ${table === 'epochs' ? 'epochs' : 'FLOPs'}`,
    published: isPublished,
    ahead: [table, ahead],
    behind: [table, behind],
    data: both,
  }));

/** A comparison of two values of a setting of SACL+XD. */
const setting = (table: TableName, ahead: string, behind: string, isPublished = false): Claim => ({
  text: `${ahead} is ahead of ${behind}`,
  published: isPublished,
  ahead: [table, ahead],
  behind: [table, behind],
  data: one,
});

export const claims: readonly Claim[] = [
  ...method('a slice of a wider host is ahead of XD alone', 'sacl_xd', 'xd'),
  ...method('XD helps where a host is sliced', 'sacl_xd', 'sacl'),
  ...method('XD helps a lone encoder', 'xd', 'barlow_twins'),
  ...['moco_v2', 'ssl_small', 'seed', 'rekd', 'oss'].flatMap((other) =>
    method(`SACL+XD is ahead of ${other}`, 'sacl_xd', other),
  ),
  ...method('SACL+XD is ahead of disco', 'sacl_xd', 'disco', false),
  ...method('SACL+XD is ahead of byol', 'sacl_xd', 'byol', false),
  setting('ratio', 'ratio 1.5', 'ratio 1', true),
  setting('ratio', 'ratio 1.5', 'ratio 1.25'),
  setting('ratio', 'ratio 1.5', 'ratio 2'),
  setting('alpha', 'alpha 0.95', 'alpha 1', true),
  setting('alpha', 'alpha 0.95', 'alpha 0.9'),
  setting('alpha', 'alpha 0.95', 'alpha 0.5', true),
  setting('slice', 'slice l1', 'slice prefix'),
  setting('bn', 'bn split', 'bn shared'),
  setting('bn', 'bn split', 'bn private'),
  setting('distilled', 'xd cross', 'xd inner'),
  ...methodNames.map((name) => ({
    text: `${name} is ahead of its untrained encoder, at equal epochs`,
    published: false,
    ahead: ['epochs', name] as const,
    behind: ['epochs', methods[name].networks === 'sliced' ? untrained.slice : untrained.lone] as const,
    data: both,
  })),
];
