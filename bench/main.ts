import { availableParallelism, loadavg } from 'node:os';
import { SlimgradError } from '../src/errors.js';
import { type AdapterChoice, openDevice } from '../src/node/device.js';
import { writeFileAtomic } from '../src/node/files.js';
import { describeFlags, type Flag, parseFlags } from '../src/node/flags.js';
import type { Device } from '../src/runtime/device.js';
import { seed } from '../test/random.js';
import { benchLayer, type Row } from './layer.js';
import { geomean, type Rounds } from './measure.js';
import { layers } from './ops.js';
import { type Roofline, roofline } from './roofline.js';
import { benchStep } from './step.js';
import { digits, mebibytes, percent, Table } from './table.js';

const flags: readonly Flag[] = [
  { flag: '--step', key: 'step', value: '', doc: 'time training steps by phase and kernel, not single layers' },
  { flag: '--filter', key: 'filter', value: 'STEM', doc: 'only the layers of one kernel, e.g. pointwise' },
  { flag: '--adapter', key: 'adapter', value: 'NAME', doc: 'auto, system, lavapipe or swiftshader', default: 'auto' },
  { flag: '--batch', key: 'batch', value: 'N', doc: 'images a layer', default: '32', fromText: Number },
  { flag: '--quick', key: 'quick', value: '', doc: 'fewest rounds, batch 8: to see that all answers are right' },
  {
    flag: '--fastest',
    key: 'fastest',
    value: '',
    doc: 'the fastest round, not the median: on a machine that others use',
  },
  { flag: '--json', key: 'json', value: 'FILE', doc: 'also write everything measured as JSON' },
  { flag: '--help', key: 'help', value: '', doc: 'print this' },
];

interface Options {
  step?: boolean;
  filter?: string;
  adapter?: AdapterChoice;
  batch?: number;
  quick?: boolean;
  fastest?: boolean;
  json?: string;
  help?: boolean;
}

async function main(args: readonly string[]): Promise<void> {
  const { values, positional } = parseFlags(args, flags);
  const options: Options = values;
  if (positional.length > 0) throw new SlimgradError(`bench: expected flags alone, got '${positional[0]}'`);
  if (options.help) return console.log(describeFlags(flags));
  const { quick = false, batch = quick ? 8 : 32 } = options;
  const take = options.fastest ? 'fastest' : 'median';
  if (!Number.isInteger(batch) || batch < 2)
    throw new SlimgradError(`--batch: expected a whole number of at least 2, got ${batch}`);
  const chosen = layers(batch).filter(({ stem }) => !options.filter || stem === options.filter);
  if (chosen.length === 0) {
    const stems = new Set(layers(batch).map(({ stem }) => stem));
    throw new SlimgradError(`--filter: expected one of ${[...stems].join(', ')}, got '${options.filter}'`);
  }

  using device = await openDevice({ adapter: options.adapter });
  const adapter = describe(device);
  console.log(
    `${adapter.name}${adapter.software ? ' (software)' : ''}, ${adapter.driver}, subgroups ${adapter.subgroupSize || 'none'}, ${adapter.cores} cores, load ${adapter.load.toFixed(1)}`,
  );
  const ceilings = await roofline(device);
  console.log(
    `ceilings: ${digits(ceilings.gflops)} GFLOP/s (${ceilings.fmaShape}), ${digits(ceilings.gbps)} GB/s read and written ` +
      `(${ceilings.copyShape} of ${mebibytes(ceilings.copyBytes)}), ${digits(1000 * ceilings.passMs)} µs a pass of its own`,
  );
  const report: Record<string, unknown> = { adapter, roofline: ceilings, take, batch, seed };
  if (options.step) {
    report.steps = await benchStep(device, ceilings, take, quick);
  } else {
    const rounds: Rounds = { take, ...(quick ? { least: 3, span: 0, limit: 0 } : { least: 5, span: 60, limit: 2500 }) };
    const rows: Row[] = [];
    const table = opsTable();
    for (const layer of chosen)
      for (const row of await benchLayer(device, layer, rounds, seed)) {
        rows.push(row);
        printRow(table, row, ceilings);
      }
    report.ops = rows;
    report.excess = printExcess(rows);
    const wrong = rows.filter((row) => row.wrong);
    for (const { layer, pass, error } of wrong) console.log(`WRONG: ${layer}, ${pass}: error ${error} (seed ${seed})`);
    if (wrong.length > 0) process.exitCode = 1;
  }
  if (options.json) await writeFileAtomic(options.json, `${JSON.stringify(report, null, 1)}\n`);
}

function describe(device: Device) {
  const { vendor, architecture, device: model, description } = device.info;
  return {
    name: device.name,
    driver: [vendor, architecture, model, description].filter((part) => part && part !== device.name).join(' '),
    software: device.software,
    subgroupSize: device.subgroupSize,
    cores: availableParallelism(),
    /** Processes that wanted a core over the last minute: much above 0 at the start, and every time below is too long. */
    load: loadavg()[0],
  };
}

function opsTable(): Table {
  console.log('\nslim: time over dense time, and in brackets that over the ratio of the work (1 is ideal)\n');
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
    ['variant', 10, 'left'],
  ]);
}

function printRow(table: Table, { stem, layer, pass, variant, widths, wrong }: Row, { gflops, gbps }: Roofline): void {
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
    ...[0, 1].map((i) =>
      slims[i] ? `${(slims[i].ms / dense.ms).toFixed(2)} (${excess(slims[i], dense).toFixed(2)})` : '',
    ),
    variant,
  ]);
}

type Width = Row['widths'][number];

/** The ratio of the times over the ratio of the work: multiply-adds, or bytes where a pass only moves them. */
function excess(slim: Width, dense: Width): number {
  const work = dense.macs > 0 ? slim.macs / dense.macs : slim.bytes / dense.bytes;
  return slim.ms / dense.ms / work;
}

/** The geometric mean of the excess over all layers of MobileNet-V1, by pass. */
function printExcess(rows: readonly Row[]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const pass of new Set(rows.map((row) => row.pass))) {
    const found = rows
      .filter((row) => row.pass === pass && !row.wrong)
      .flatMap(({ widths: [dense, ...slims] }) => slims.map((slim) => excess(slim, dense)));
    if (found.length > 0) result[pass] = geomean(found);
  }
  const parts = Object.entries(result).map(([pass, value]) => `${pass} ${value.toFixed(3)}`);
  console.log(`\nslim/dense time over the ratio of the work, geomean: ${parts.join(', ')}`);
  return result;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SlimgradError)) throw error;
  console.error(error.message);
  process.exitCode = error.name === 'UsageError' ? 2 : 1;
}
