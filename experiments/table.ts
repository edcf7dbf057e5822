import { dirname } from 'node:path';
import { makeFolder, writeFileAtomic } from '../src/node/files.js';
import { keyOf } from './experiment.js';
import type { Options } from './options.js';
import { renderPage } from './page.js';
import { latest, readLines } from './results.js';
import { methodNames, queueOf, type Row, ratesSeed, rowsOf, type Scale, tableNames } from './rows.js';
import { type Progress, type RunnerOptions, runQueue } from './runner.js';
import { dataNames } from './settings.js';

export interface TableOptions
  extends Omit<Options, 'adapter'>,
    Pick<Scale, 'items' | 'cache' | 'change'>,
    Pick<RunnerOptions, 'file' | 'device' | 'open' | 'note'> {
  /** The Markdown file that the tables are written to. */
  readonly page: string;
}

/** Makes the runs that are missing, and writes the page anew after each of them. */
export async function makeTable(options: TableOptions): Promise<Progress> {
  const { images, seeds, only, page, file } = options;
  const rows = rowsOf({ ...options, images, seeds });
  const queue = queueOf(
    rows.filter((row) => isChosen(row, only)),
    keyOf,
  );
  const onLine = async () => {
    await makeFolder(dirname(page));
    await writeFileAtomic(page, await pageOf(options, rows));
  };
  options.note(`${queue.length} runs of ${images.toLocaleString('en')} images; results in ${file}.`);
  const progress = await runQueue(queue, { ...options, scale: images, onLine });
  await onLine();
  return progress;
}

/** Whether `only` asks for a row: by its data, its table and its method, those that are named at all. */
function isChosen({ data, table, method }: Row, only: readonly string[]): boolean {
  const fits = (names: readonly string[], name: string) => {
    const named = only.filter((each) => names.includes(each));
    return named.length === 0 || named.includes(name);
  };
  return fits(dataNames, data) && fits(tableNames, table) && fits(methodNames, method);
}

/** All that the file has: of these rows, and of other numbers of images. */
async function pageOf(options: TableOptions, rows: readonly Row[]): Promise<string> {
  const lines = await readLines(options.file);
  const { byKey, lost } = latest(lines);
  const others = [...new Set(lines.map(({ scale }) => scale))].filter((scale) => scale !== options.images);
  const scales = [{ images: options.images, rows }];
  for (const images of others) {
    const seeds = lines.filter(({ scale }) => scale === images).map(({ config }) => Number(config.seed));
    const most = Math.max(0, ...seeds.filter((seed) => seed < ratesSeed));
    scales.push({ images, rows: rowsOf({ ...options, images, seeds: most + 1 }) });
  }
  return renderPage(
    scales.sort((a, b) => a.images - b.images),
    byKey,
    lost,
  );
}
