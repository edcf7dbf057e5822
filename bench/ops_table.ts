// How rows of the bench are printed.
import type { Row } from './layer.js';
import { geomean } from './measure.js';
import type { Roofline } from './roofline.js';
import { digits, percent, Table } from './table.js';

/** Prints the head of the table of layers. */
export function opsTable(): Table {
  console.log('\nslim: time over dense time, and in brackets that over the ratio of the work (1 is ideal);');
  console.log('by list: as many channels as in slim 1/2, anywhere in the host\n');
  return new Table([
    ['layer', 28, 'left'],
    ['pass', 15, 'left'],
    ['dense ms', 9],
    ['GFLOP/s', 8],
    ['of peak', 8],
    ['GB/s', 7],
    ['of copy', 8],
    ['slim 2/3', 13],
    ['slim 1/2', 13],
    ['by list', 13],
    ['variant', 10, 'left'],
  ]);
}

/** Prints a pass of a layer: dense in full, slim as ratios to it. */
export function printRow(
  table: Table,
  { stem, layer, pass, variant, widths, wrong }: Row,
  { gflops, gbps }: Roofline,
): void {
  if (wrong) {
    table.row([`${stem} ${layer}`, pass, 'WRONG']);
    return;
  }
  const [dense, ...slims] = widths;
  const [flops, bytes] = [(2 * dense.macs) / dense.ms / 1e6, dense.bytes / dense.ms / 1e6];
  const computes = dense.macs > 0;
  table.row([
    `${stem} ${layer}`,
    pass,
    digits(dense.ms),
    computes ? digits(flops) : '',
    computes ? percent(flops / gflops) : '',
    digits(bytes),
    percent(bytes / gbps),
    ...[0, 1, 2].map((i) =>
      slims[i] ? `${(slims[i].ms / dense.ms).toFixed(2)} (${excess(slims[i], dense).toFixed(2)})` : '',
    ),
    variant,
  ]);
}

type Width = Row['widths'][number];

/** The ratio of the times over the ratio of the work: multiply-adds, or bytes where a pass only moves them. */
export function excess(slim: Width, dense: Width): number {
  const work = dense.macs > 0 ? slim.macs / dense.macs : slim.bytes / dense.bytes;
  return slim.ms / dense.ms / work;
}

const passes = ['forward', 'backward_input', 'backward_weight', 'backward'] as const;
const network = 'MobileNet-V1';

/** Prints and returns the geometric mean of the excess by kernel and pass, and over all convolutions of MobileNet-V1. */
export function printExcess(rows: readonly Row[]): Record<string, Partial<Record<string, number>>> {
  const groups = new Map<string, Row[]>();
  const put = (name: string, row: Row) => groups.set(name, [...(groups.get(name) ?? []), row]);
  for (const row of rows.filter(({ wrong, widths }) => !wrong && widths.length > 1)) {
    put(row.stem, row);
    if (row.network) put(network, row);
  }
  console.log('\nslim over dense time, over the ratio of the work: geometric mean over layers, 2/3 and 1/2\n');
  const table = new Table([['kernel', 20, 'left'], ...passes.map((pass) => [pass, 15] as const)]);
  const result: ReturnType<typeof printExcess> = {};
  for (const [name, members] of groups) {
    result[name] = {};
    for (const pass of passes) {
      const found = members.filter((row) => row.pass === pass);
      const all = found.flatMap(({ widths: [dense, ...slims] }) =>
        slims.filter(({ listed }) => !listed).map((slim) => excess(slim, dense)),
      );
      if (all.length > 0) result[name][pass] = geomean(all);
    }
    table.row([name, ...passes.map((pass) => result[name][pass]?.toFixed(2) ?? '')]);
  }
  return result;
}
