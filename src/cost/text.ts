// Costs as text for a terminal: units, tables.
import type { TrainConfig } from '../config/settings.js';
import type { Ledger } from '../runtime/ledger.js';
import type { RunCost } from '../train/cost.js';
import type { NetworkCost, TrainingCost, TrainingSpec } from './training_cost.js';

const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E'];

/** Three digits or more, and a prefix that stands for `unit`. */
function withPrefix(value: number): { text: string; prefix: string; unit: number } {
  const step = value >= 1 ? Math.min(Math.floor(Math.log10(value) / 3), prefixes.length - 1) : 0;
  const unit = 1000 ** step;
  const scaled = value / unit;
  return { text: scaled >= 99.95 ? scaled.toFixed(0) : scaled.toPrecision(3), prefix: prefixes[step], unit };
}

/** `1.36 GFLOP`. */
export function flopText(flops: number): string {
  const { text, prefix } = withPrefix(flops);
  return `${text} ${prefix}FLOP`;
}

/** `3.600e17`, as published costs are written. */
export function scientific(flops: number, digits = 3): string {
  return flops.toExponential(digits).replace('+', '');
}

/** Rows in columns: the first `left` ones flush left, the others right. */
export function columns(rows: readonly (readonly string[])[], left = 1): string[] {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  const cell = (text: string, i: number) => (i < left ? text.padEnd(widths[i]) : text.padStart(widths[i]));
  return rows.map((row) => row.map(cell).join('  ').trimEnd());
}

/** A training's cost as `slimgrad cost` prints it, for 80 columns. */
export function trainingText(
  { method, epochs }: TrainingSpec,
  { images, imageSize, shares, ...sum }: TrainingCost,
): string {
  const millions = (value: number) => `${(value / 1e6).toFixed(1)} M`;
  const row = ({ role, encoder, width, work, times, epochs, flops }: NetworkCost) => [
    `${role} ${encoder} ${Number(width.toPrecision(6))}x`,
    millions(work.macs),
    millions(work.thop),
    `${times}`,
    `${epochs}`,
    scientific(flops),
  ];
  return [
    `${method}, ${epochs} epochs of ${images.toLocaleString('en')} images of ${imageSize} px`,
    '',
    ...columns([['network', 'MACs', 'as thop', 'times', 'epochs', 'FLOPs'], ...shares.map(row)]),
    '',
    `${scientific(sum.flops)} FLOPs, batchnorm counted as thop does; ${scientific(sum.macFlops)} without`,
    'times: 6 for each pass of an image that goes back, 2 for each that does not',
  ].join('\n');
}

/** A step's parts, for 80 columns. */
export function ledgerLines({ parts, flops }: Ledger): string[] {
  const row = (name: string, forward: number, backward: number) => [
    name,
    flopText(forward),
    backward > 0 ? flopText(backward) : '',
    flopText(forward + backward),
    `${((100 * (forward + backward)) / flops).toFixed(1)} %`,
  ];
  const sum = (of: 'forward' | 'backward') => parts.reduce((total, part) => total + part[of], 0);
  return columns([
    ['', 'forward', 'backward', 'sum', 'share'],
    ...parts.map(({ name, forward, backward }) => row(name, forward, backward)),
    row('a step', sum('forward'), sum('backward')),
  ]);
}

/** A run's cost as `slimgrad cost --config` prints it, for 80 columns; `seconds` of a step where they were measured. */
export function runText(name: string, config: TrainConfig, cost: RunCost, seconds?: number): string {
  const { method, encoder, width, ratio, imageSize } = config;
  const { step, steps, batch, flops, memory } = cost;
  const host = ratio > 1 ? `, host ${ratio} times as wide` : '';
  const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const facts = [
    ['an image', `${flopText(step.flops / batch)}; ${flopText(step.byRule / batch)} by the rule of published costs`],
    ['the run', `${flopText(flops)} in ${steps.toLocaleString('en')} steps`],
    [
      'memory',
      `${mebibytes(memory.lasting)} for weights and what goes with them, ${mebibytes(memory.transient)} for a step`,
    ],
    ...(seconds ? [['pace', `${seconds.toPrecision(3)} s a step (median), ${flopText(step.flops / seconds)}/s`]] : []),
  ];
  return [
    name,
    `${method}, ${encoder} of width ${width}${host}; batch ${batch}, ${imageSize} px`,
    '',
    ...ledgerLines(step),
    '',
    ...columns(facts, 2),
  ].join('\n');
}

/** What a step takes, by networks: `1.38 GFLOP (frozen 0.34, host 0.62, slim 0.36, loss 0.05)`. */
export function stepText({ parts, flops }: Ledger): string {
  const sums = new Map<string, number>();
  for (const { name, forward, backward } of parts) {
    const network = name.startsWith('frozen ') ? 'frozen' : name.split('/')[0].replace(/ [AB]$/, '');
    sums.set(network, (sums.get(network) ?? 0) + forward + backward);
  }
  const { text, prefix, unit } = withPrefix(flops);
  const figure = (value: number) => value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
  const shown = [...sums].map(([name, sum]) => `${name} ${figure(sum / unit)}`);
  return `${text} ${prefix}FLOP (${shown.join(', ')})`;
}

/** What a step and all of a run's take, in two lines of at most 80 columns. */
export function costNote({ step, steps, flops }: Pick<RunCost, 'step' | 'steps' | 'flops'>): string {
  return `A step takes ${stepText(step)}.\n${steps.toLocaleString('en')} steps take ${flopText(flops)}.`;
}
