import { access, constants } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { type EncoderName, encoderNames } from '../src/config/encoders.js';
import { flagsOf, type Values } from '../src/config/flags.js';
import { choice, integer, text, toggle } from '../src/config/kinds.js';
import { ConfigError, SlimgradError } from '../src/errors.js';
import { completeFlags, describeFlags, parseFlags, UsageError } from '../src/node/cli/flags.js';
import { type AdapterChoice, openDevice } from '../src/node/device/device.js';
import { fileError, makeFolder, writeFileAtomic } from '../src/node/system/files.js';
import { version } from '../src/node/system/version.js';
import type { Device } from '../src/runtime/device.js';
import { seed } from '../test/random.js';
import { benchLayer, type Row } from './layer.js';
import type { Rounds } from './measure.js';
import { layers } from './ops.js';
import { opsTable, printExcess, printRow } from './ops_table.js';
import { renderBench } from './report.js';
import { type Roofline, roofline } from './roofline.js';
import { benchStep, ofEncoder, settings } from './step.js';
import { digits, mebibytes } from './table.js';
import { benchTuned } from './tuned.js';

const flagSettings = {
  step: toggle('time training steps by phase and kernel, not single layers', false),
  tune: toggle('with --step: also tune, and time a tuned step beside the default one', false),
  encoder: choice<EncoderName | null>('with --step: a step of this encoder instead, 1.5x-1x', null, encoderNames),
  imageSize: integer<number | null>('with --encoder: side of its images', null, { min: 1, shown: '224' }),
  filter: text<string | null>('only the layers of one kernel, e.g. pointwise', null, 'STEM'),
  adapter: text<AdapterChoice>('auto, system, lavapipe or swiftshader', 'auto', 'NAME'),
  batch: integer<number | null>('images a layer, or with --encoder in a step', null, { min: 2, shown: '32, or 4' }),
  quick: toggle('fewest rounds, batch 8: to see that all answers are right', false),
  fastest: toggle('the fastest round, not the median: on a machine that others use', false),
  json: text<string | null>('also write everything measured as JSON', null, 'FILE'),
  report: text<string | null>('layers and steps, and a page to share: bench.html and bench.json', null, 'FOLDER'),
  help: toggle('print this', false),
};
const flags = flagsOf(flagSettings);

type Options = Values<typeof flagSettings>;

function parse(args: readonly string[]): Options {
  const { values, positional } = parseFlags(args, flags);
  if (positional.length > 0) throw new UsageError(`bench: expected flags alone, got '${positional[0]}'`);
  const options = completeFlags('npm run bench --', flagSettings, values);
  const { batch, filter, encoder, imageSize, step, tune, report } = options;
  if (tune && !step) throw new UsageError('--tune: only valid with --step');
  if (encoder && (!step || tune || report))
    throw new UsageError('--encoder: only valid with --step, and without --tune and --report');
  if (imageSize !== null && !encoder) throw new UsageError('--image-size: only valid with --encoder');
  if (report && filter !== null) throw new UsageError('--report: cannot be combined with --filter');
  const stems = new Set(layers(batch ?? 2).map(({ stem }) => stem));
  if (filter !== null && !stems.has(filter))
    throw new UsageError(`--filter: expected one of ${[...stems].join(', ')}, got '${filter}'`);
  return options;
}

async function bench(options: Options): Promise<void> {
  const { quick, encoder, json, report } = options;
  const imageSize = options.imageSize ?? 224;
  const batch = options.batch ?? (encoder ? 4 : quick ? 8 : 32);
  const configs = encoder ? ofEncoder(encoder, imageSize, batch) : settings(quick);
  const take = options.fastest ? 'fastest' : 'median';
  if (json) await checkWritable(json);
  if (report) {
    await makeFolder(report);
    await checkWritable(join(report, 'bench.json'));
  }

  using device = await openDevice({ adapter: options.adapter });
  const adapter = describe(device);
  console.log(
    `${adapter.name}${adapter.software ? ' (software)' : ''}, ${adapter.driver}, ` +
      `subgroups ${adapter.subgroupSize || 'none'}, ${adapter.cores} cores, load ${adapter.load.toFixed(1)}`,
  );
  const ceilings = await roofline(device);
  console.log(
    `ceilings: ${digits(ceilings.gflops)} GFLOP/s (${ceilings.fmaShape}), ${digits(ceilings.gbps)} GB/s read and written ` +
      `(${ceilings.copyShape} of ${mebibytes(ceilings.copyBytes)}); ${digits(1000 * ceilings.passMs)} µs a pass, ` +
      'which is in every time below',
  );
  const about = { slimgrad: version, date: new Date().toISOString(), adapter, roofline: ceilings, take, seed };
  const ofLayers =
    options.step && !report
      ? undefined
      : await benchLayers(device, ceilings, { take, quick, batch, filter: options.filter ?? undefined });
  const rounds = { take, least: quick || encoder ? 1 : 5 } as const;
  const ofSteps = options.step || report ? { steps: await benchStep(device, ceilings, rounds, configs) } : undefined;
  const ofTuned = options.tune && { tuned: await benchTuned(device, take, quick) };
  const text = `${JSON.stringify({ ...about, ...ofLayers, ...ofSteps, ...ofTuned }, null, 1)}\n`;
  if (json) await writeFileAtomic(json, text);
  if (!report || !ofLayers || !ofSteps) return;
  await writeFileAtomic(join(report, 'bench.json'), text);
  await writeFileAtomic(join(report, 'bench.html'), renderBench({ ...about, ...ofLayers, ...ofSteps }));
  console.log(`\nA page to share: ${join(report, 'bench.html')}, its figures: ${join(report, 'bench.json')}`);
}

async function benchLayers(
  device: Device,
  ceilings: Roofline,
  { take, quick, batch, filter }: { take: Rounds['take']; quick: boolean; batch: number; filter?: string },
) {
  const rounds: Rounds = { take, ...(quick ? { least: 1, span: 0, limit: 0 } : { least: 5, span: 60, limit: 2500 }) };
  const rows: Row[] = [];
  const table = opsTable();
  for (const layer of layers(batch).filter(({ stem }) => filter === undefined || stem === filter))
    for (const row of await benchLayer(device, layer, rounds, seed)) {
      rows.push(row);
      printRow(table, row, ceilings);
    }
  const excess = printExcess(rows);
  for (const { stem, layer, pass, error, wrong } of rows) {
    if (!wrong) continue;
    console.log(`WRONG: ${stem} ${layer}, ${pass}: error ${error} (seed ${seed})`);
    process.exitCode = 1;
  }
  return { batch, ops: rows, excess };
}

/** Minutes of measuring are not to end in a file that cannot be written. */
async function checkWritable(path: string): Promise<void> {
  try {
    await access(dirname(path), constants.W_OK);
  } catch (cause) {
    throw fileError(`cannot write ${path}`, cause);
  }
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

try {
  const options = parse(process.argv.slice(2));
  if (options.help) console.log(describeFlags(flags));
  else await bench(options);
} catch (error) {
  if (!(error instanceof SlimgradError)) throw error;
  console.error(error.message);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}
