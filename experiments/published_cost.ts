// The published training costs (SACL + XD, NeurIPS 2023), compared with what src/cost counts for the same trainings.
import type { EncoderName } from '../src/config/encoders.js';
import type { MethodName } from '../src/config/methods.js';
import { columns, scientific } from '../src/cost/text.js';
import { trainingCost } from '../src/cost/training_cost.js';

/** A row of the published column. */
export interface PublishedRow {
  readonly method: MethodName;
  readonly encoder: EncoderName;
  readonly teacher?: EncoderName;
  readonly epochs: number;
  /** FLOPs as printed: `4.8e17`. */
  readonly printed: string;
}

const rows: readonly (readonly [MethodName, EncoderName, number, string, EncoderName?])[] = [
  ['moco_v2', 'mobilenet_v3_large', 200, '4.8e17'],
  ['moco_v2', 'efficientnet_b0', 200, '8.5e17'],
  ['xd', 'mobilenet_v3_large', 100, '3.6e17'],
  ['xd', 'mobilenet_v3_large', 200, '7.2e17'],
  ['xd', 'mobilenet_v1', 100, '9.0e17'],
  ['rekd', 'mobilenet_v3_large', 200, '6.7e18', 'resnet50'],
  ['rekd', 'mobilenet_v3_large', 200, '1.25e19', 'resnet101'],
  ['rekd', 'efficientnet_b0', 200, '7.0e18', 'resnet50'],
  ['seed', 'mobilenet_v3_large', 200, '5.12e19', 'resnet50'],
  ['seed', 'mobilenet_v3_large', 200, '9.71e19', 'resnet101'],
  ['seed', 'efficientnet_b0', 200, '5.16e19', 'resnet50'],
  ['sacl_xd', 'mobilenet_v3_large', 200, '1.5e18'],
  ['sacl_xd', 'efficientnet_b0', 200, '2.4e18'],
  ['sacl_xd', 'mobilenet_v1', 200, '1.9e18'],
];

export interface Reproduced extends PublishedRow {
  readonly computed: number;
  /** (computed − printed) / printed. */
  readonly off: number;
  /** Within 1 %, equal in the digits that were printed, or neither. */
  readonly met: 'yes' | 'rounded' | 'no';
}

/** The published column, and what the same count gives here. Hosts of sacl_xd are 1.5 times as wide. */
export function publishedColumn(): Reproduced[] {
  return rows.map(([method, encoder, epochs, printed, teacher]) => {
    const row = { method, encoder, epochs, ...(teacher && { teacher }) };
    const computed = trainingCost(row).flops;
    const off = computed / Number(printed) - 1;
    const digits = printed.replace(/e.*/, '').replace('.', '').length;
    const rounded = Number(computed.toPrecision(digits)) === Number(printed);
    return { ...row, printed, computed, off, met: Math.abs(off) <= 0.01 ? 'yes' : rounded ? 'rounded' : 'no' };
  });
}

const marks = { yes: 'yes', rounded: '≈', no: 'no' };

/** Published costs next to those counted here, in 80 columns. */
export function publishedText(rows: readonly Reproduced[]): string {
  const percent = (off: number) => `${off < 0 ? '−' : '+'}${Math.abs(100 * off).toFixed(Math.abs(off) < 1 ? 1 : 0)} %`;
  const row = ({ method, encoder, teacher, epochs, printed, computed, off, met }: Reproduced) => [
    method,
    encoder,
    teacher ?? '',
    `${epochs}`,
    printed,
    scientific(computed),
    percent(off),
    marks[met],
  ];
  const count = (met: Reproduced['met']) => rows.filter((row) => row.met === met).length;
  const heads = ['method', 'encoder', 'teacher', 'epochs', 'printed', 'computed', 'off', 'met'];
  return [
    ...columns([heads, ...rows.map(row)], 3),
    '',
    `Met within 1 %: ${count('yes')} of ${rows.length} rows; ≈ in the digits printed: ${count('rounded')}; not met: ${count('no')}.`,
    'Hosts of sacl_xd are 1.5 times as wide. How it is counted: DESIGN.md, "Ledger".',
  ].join('\n');
}
