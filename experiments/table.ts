import { dirname } from 'node:path';
import { methodNames } from '../src/index.js';
import { makeFolder, writeFileAtomic } from '../src/node/system/files.js';
import { keyOf } from './experiment.js';
import type { Options } from './options.js';
import { renderPage, type Scaled } from './page.js';
import { latest, readLines } from './results.js';
import { bestRates, queueOf, type Row, ratesSeed, rowsOf, type Scale, type TableName, tableNames } from './rows.js';
import { type Progress, type RunnerOptions, runQueue } from './runner.js';
import { dataNames } from './settings.js';

export interface TableOptions
  extends Omit<Options, 'adapter'>,
    Pick<Scale, 'items' | 'cache' | 'change'>,
    Pick<RunnerOptions, 'file' | 'device' | 'open' | 'note'> {
  /** The Markdown file that the tables are written to. */
  readonly page: string;
}

/**
 * Runs what is missing, and rewrites the page after each run. If requested, learning rates are searched first; the other
 * runs use the best of each method.
 */
export async function makeTable(options: TableOptions): Promise<Progress> {
  const { images, seeds, only, page, file, note, minutes } = options;
  const started = performance.now();
  const write = async () => {
    await makeFolder(dirname(page));
    await writeFileAtomic(page, await pageOf(options));
  };
  const make = async (table: (name: TableName) => boolean) => {
    const rows = await settledRows(options, { images, seeds });
    const queue = queueOf(
      rows.filter((row) => table(row.table) && isChosen(row, only)),
      keyOf,
    );
    const left = minutes === undefined ? {} : { minutes: minutes - (performance.now() - started) / 60_000 };
    note(`${queue.length} runs of ${images.toLocaleString('en')} images; results in ${file}.`);
    return runQueue(queue, { ...options, ...left, scale: images, onLine: write });
  };
  const rates = await make((name) => name === 'rates');
  const rest = await make((name) => name !== 'rates');
  await write();
  return { done: rates.done + rest.done, left: rates.left + rest.left, failed: rates.failed + rest.failed };
}

/** The rows of a scale, with the learning rates that are the best by what there is of it, else of the next scale. */
async function settledRows(options: TableOptions, size: Pick<Scale, 'images' | 'seeds'>): Promise<Row[]> {
  const { items, cache, change, file } = options;
  const scale = { items, cache, ...(change && { change }), ...size };
  const lines = await readLines(file);
  const { byKey } = latest(lines);
  const away = (images: number) => Math.abs(Math.log(images / size.images));
  const known = [size.images, ...lines.map((line) => line.scale)].sort((a, b) => away(b) - away(a));
  const found = [...new Set(known)].map((images) => bestRates(rowsOf({ ...scale, images, seeds: 1 }), byKey));
  return rowsOf({ ...scale, rates: Object.assign({}, ...found) }); // the nearest number of images comes last
}

/** Whether `only` asks for a row: by its data, its table and its method, those that are named at all. */
function isChosen({ data, table, method }: Row, only: readonly string[]): boolean {
  const fits = (names: readonly string[], name: string) => {
    const named = only.filter((each) => names.includes(each));
    return named.length === 0 || named.includes(name);
  };
  return fits(dataNames, data) && fits(tableNames, table) && fits(methodNames, method);
}

/** All that the file has: of this number of images, and of others. */
async function pageOf(options: TableOptions): Promise<string> {
  const lines = await readLines(options.file);
  const { byKey, lost } = latest(lines);
  const sizes = [...new Set([options.images, ...lines.map(({ scale }) => scale)])].sort((a, b) => a - b);
  const scales: Scaled[] = [];
  for (const images of sizes) {
    const seeds = lines.filter(({ scale }) => scale === images).map(({ config }) => 1 + Number(config.seed));
    const most = Math.max(
      1,
      ...seeds.filter((count) => count <= ratesSeed),
      images === options.images ? options.seeds : 1,
    );
    scales.push({ images, rows: await settledRows(options, { images, seeds: most }) });
  }
  return renderPage(scales, byKey, lost);
}
