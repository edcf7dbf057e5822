// The experiments on made-up twins and a network of two blocks: what is made, what is not made again, and what is printed.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Experiment, identity, isRefused, keyOf, keyOfEarlier, teacherOf } from '../experiments/experiment.js';
import { parseOptions } from '../experiments/options.js';
import { renderPage } from '../experiments/page.js';
import { type Line, latest, readLines } from '../experiments/results.js';
import { bestRates, queueOf, type Row, rowsOf } from '../experiments/rows.js';
import { triedRates } from '../experiments/settings.js';
import { makeTable, type TableOptions } from '../experiments/table.js';
import { ConfigError } from '../src/errors.js';
import { DataError, type Device, type ImageSource } from '../src/index.js';
import { openTestDevice } from './device.js';
import { generator } from './random.js';
import { rejects } from './rejects.js';

const folder = mkdtempSync(join(tmpdir(), 'slimgrad-experiments-'));
let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => {
  device.dispose();
  rmSync(folder, { recursive: true });
});

const side = 16;
const random = generator();

/** Things of two classes, each in two drawings. */
function twins(length: number): ImageSource {
  const pixels = Array.from({ length: 2 * length }, () =>
    Uint8Array.from({ length: 4 * side ** 2 }, (_, i) => (i % 4 === 3 ? 255 : 256 * random())),
  );
  return {
    name: 'twins',
    length,
    images: 2,
    labels: Int32Array.from({ length }, (_, i) => i % 2),
    classes: ['even', 'odd'],
    load: async (item, image) => ({ width: side, height: side, pixels: pixels[2 * item + image] }),
  };
}

const dataset = { name: 'twins', train: twins(24), test: twins(9), notes: [] };
const noFashion = { error: 'fashion-mnist: not found | here' };
const items = { emoji: 24, 'fashion-mnist': noFashion };
const change = { imageSize: side, width: 0.125, blocks: '64/2 96/1', projector: 16, batch: 8 };

function options(name: string, more: Partial<TableOptions> = {}): TableOptions {
  return {
    images: 32,
    seeds: 1,
    only: ['emoji', 'epochs', 'xd', 'seed'],
    items,
    change,
    cache: join(folder, name),
    file: join(folder, `${name}.jsonl`),
    page: join(folder, name, 'results.md'),
    device,
    open: async () => dataset,
    note: () => {},
    ...more,
  };
}

const figures = ({ config, subject, scores, flops, teacherFlops }: Line) => ({
  config,
  subject,
  scores,
  flops,
  teacherFlops,
});

test('runs are made once, teachers before those who learn from them, and lost ones again with equal results', async () => {
  const call = options('resume');
  assert.equal(await makeTable(call), { done: 3, left: 0, failed: 0 });
  const lines = await readLines(call.file);
  assert.equal(
    lines.map(({ config }) => config.method),
    ['xd', 'barlow_twins', 'seed'],
  );
  const [, teacher, seed] = lines;
  assert.is(seed.teacherFlops, teacher.flops);
  assert.is(seed.config.steps, 4);
  for (const { scores, tested, adapter, images, imagesPerSecond = 0 } of lines) {
    assert.equal(tested, { images: 18, pairs: 9 });
    assert.ok(scores && [scores.knn, scores.linear, scores.top1].every((share = -1) => share >= 0 && share <= 1));
    assert.is(adapter, device.name);
    assert.ok(images === 32 && imagesPerSecond > 0);
  }
  const text = readFileSync(call.file, 'utf8');
  assert.equal(await makeTable(call), { done: 0, left: 0, failed: 0 });
  assert.is(readFileSync(call.file, 'utf8'), text);

  writeFileSync(call.file, `${text.split('\n').slice(0, 2).join('\n')}\n`);
  rmSync(join(folder, 'resume'), { recursive: true }); // the teacher too: it has a line, and is trained again
  assert.equal(await makeTable(call), { done: 2, left: 0, failed: 0 });
  const again = await readLines(call.file);
  assert.equal(again.slice(2).map(figures), [figures(teacher), figures(seed)]);
  const page = readFileSync(call.page, 'utf8');
  assert.match(page, /\| `xd` \| 1 of 1 \| \d/);
  assert.match(page, /\| `seed` \| 1 of 1 \|.*e\d+ \+ .*e\d+ \| 32 \|/);
  assert.match(page, /\| `sacl_xd` \| 0 of 1 \| –.*not yet/);
});

test('no run is begun that would end after the budget, and one under way is given up without a line', async () => {
  const call = options('budget', { only: ['emoji', 'epochs', 'xd'] });
  const slow = options('slow', {
    ...call,
    minutes: 0.002,
    open: () => new Promise((done) => setTimeout(() => done(dataset), 300)),
  });
  assert.equal(await makeTable(slow), { done: 0, left: 1, failed: 0 });
  assert.not(existsSync(call.file));

  await makeTable(call);
  const [line] = await readLines(call.file);
  writeFileSync(call.file, `${JSON.stringify({ ...line, config: { ...line.config, seed: 7 }, seconds: 600 })}\n`);
  const notes: string[] = [];
  const progress = await makeTable({ ...call, minutes: 5, note: (text) => notes.push(text) });
  assert.equal(progress, { done: 0, left: 1, failed: 0 });
  assert.match(notes.join('\n'), /The time is up/);
  assert.equal(await makeTable({ ...call, minutes: 11 }), { done: 1, left: 0, failed: 0 });
});

test('a run that fails has a line that says why, and is tried again', async () => {
  const call = options('fails', {
    only: ['emoji', 'epochs', 'xd'],
    open: async () => ({ ...dataset, train: twins(5) }),
  });
  assert.equal(await makeTable(call), { done: 1, left: 1, failed: 1 });
  assert.match(
    readFileSync(call.page, 'utf8'),
    /\| `xd` \| 0 of 1 \|.*failed: batch \(--batch\): expected at most the 5/,
  );
  assert.equal(await makeTable({ ...call, open: async () => dataset }), { done: 1, left: 0, failed: 0 });
  assert.match(readFileSync(call.page, 'utf8'), /\| `xd` \| 1 of 1 \| \d/);
});

test('a first seed of everything comes first, emoji first; equal runs are made once', () => {
  const rows = rowsOf({ images: 20_000, seeds: 2, items: { emoji: 1525, 'fashion-mnist': 10_240 }, cache: 'cache' });
  const queue = queueOf(
    rows.filter(({ table }) => table !== 'rates'),
    keyOf,
  );
  assert.is(new Set(queue.map(keyOf)).size, queue.length);
  const place = ({ config: { data, seed } }: Experiment) => (seed > 1 ? 9 : 2 * seed + (data === 'emoji' ? 0 : 1));
  const places = queue.map(place);
  assert.equal(
    places,
    places.toSorted((a, b) => a - b),
  );
  const planned = (table: string, name: string) => {
    const [experiment] = rows.find((row) => row.table === table && row.name === name)?.planned ?? [];
    assert.ok(experiment && !isRefused(experiment), `${table}: ${name}`);
    return experiment;
  };
  assert.is(keyOf(planned('epochs', 'sacl_xd')), keyOf(planned('ratio', 'ratio 1.5')));
  const whole = planned('epochs', 'sacl_xd').flops;
  for (const {
    table,
    name,
    method,
    planned: [experiment],
  } of rows) {
    if (table !== 'flops' || isRefused(experiment) || experiment.subject !== 'trained' || method === 'teacher')
      continue;
    const spent = experiment.flops + (teacherOf(experiment)?.flops ?? 0);
    assert.ok(Math.abs(spent / whole - 1) < 0.01, `${name} spends ${spent} FLOPs, sacl_xd ${whole}`);
  }
});

test('each method has the best of its tried rates, once all are in', () => {
  const rows = rowsOf({ images: 64, seeds: 1, items, change, cache: 'cache' });
  const lineOf = (row: Row, knn: number): [string, Line] => {
    const [experiment] = row.planned as Experiment[];
    const about = { adapter: 'a', software: true, version: '1', date: '2001-02-03', scale: 64, seconds: 1, images: 64 };
    const { subject, config, flops } = experiment;
    return [keyOf(experiment), { subject, config: identity(config), flops, ...about, scores: { knn, linear: 0.5 } }];
  };
  const tried = (method: string) => rows.filter((row) => row.table === 'rates' && row.method === method);
  const xd = tried('xd').map((row, i) => lineOf(row, [0.3, 0.5, 0.4, 0.2][i]));
  const sacl = tried('sacl').map((row) => lineOf(row, 0.5));
  const best = bestRates(rows, new Map([...xd, ...sacl.slice(1)]));
  assert.equal(best, { xd: triedRates[1] });
  const settled = rowsOf({ images: 64, seeds: 1, items, change, cache: 'cache', rates: best });
  for (const {
    table,
    method,
    planned: [experiment],
  } of settled)
    if (table === 'epochs' && method === 'xd' && !isRefused(experiment)) assert.is(experiment.config.lr, triedRates[1]);
});

test('a table is printed from known lines', () => {
  const rows = rowsOf({ images: 64, seeds: 2, items, change, cache: 'cache' });
  const lines: Line[] = [];
  const know = (name: string, scores: readonly (readonly [knn: number, linear: number, top1: number])[]) => {
    const row = rows.find((each) => each.table === 'epochs' && each.name === name && each.data === 'emoji') as Row;
    for (const [i, [knn, linear, top1]] of scores.entries()) {
      const experiment = row.planned[i] as Experiment;
      const { subject, config, flops } = experiment;
      const about = {
        adapter: 'slow one',
        software: true,
        version: '9.9.9',
        date: '2001-02-03',
        scale: 64,
        seconds: 1,
      };
      const tested = { images: 10_000, pairs: 10_000 };
      lines.push({
        subject,
        config: identity(config),
        flops,
        images: 64,
        scores: { knn, linear, top1 },
        tested,
        ...about,
      });
    }
  };
  know('sacl_xd', [
    [0.5, 0.6, 0.2],
    [0.54, 0.6, 0.3],
  ]);
  know('xd', [
    [0.6, 0.6, 0.1],
    [0.64, 0.6, 0.1],
  ]);
  know('sacl', [[0.1, 0.1, 0.1]]);
  const page = renderPage([{ images: 64, rows }], latest(lines).byKey, 1);
  assert.match(page, /Measured on slow one \(software, on a CPU\), by version 9\.9\.9, 2001-02-03/);
  assert.match(page, /1 lines of the file have settings that no longer exist/);
  assert.match(page, /\| `sacl_xd` \| 2 of 2 \| 52\.0 ± 2\.8 \| 60\.0 ± 0\.0 \| 25\.0 ± 7\.1 \|/);
  assert.match(page, /\| `sacl` \| 1 of 2 \| 10\.0 \| 10\.0 \| 10\.0 \|/);
  // kNN −10, no scatter: √(2 (.25 + .24) / 10000) / √2 = 0.5; retrieval +10 and +20: scatter 7.07 / √2 = 5
  assert.match(
    page,
    /ahead of XD alone, at equal epochs \| emoji \| 2 \| −10\.0 ± 0\.5 \| \+0\.0 ± 0\.5 \| \+15\.0 ± 5\.0 \| mixed \|/,
  );
  assert.match(page, /XD helps where a host is sliced, at equal epochs \| emoji \| 1 \|.* \| seen \|/);
  assert.match(page, /\| `sacl_xd` \| 0 of 2 \|.*failed: fashion-mnist: not found \\\| here/);
  assert.match(page, /\| `sacl_xd`, 200 epochs \| 59\.34 \| 61\.69 \| 65\.32 \| 60\.0 ± 0\.0 \| – \|/);
});

test('what an experiment was survives its file', () => {
  const rows = rowsOf({ images: 64, seeds: 1, items: { emoji: 24, 'fashion-mnist': 24 }, change, cache: 'cache' });
  const queue = queueOf(rows, keyOf);
  assert.ok(queue.length > 40, `${queue.length} experiments`);
  for (const experiment of queue) {
    const stored = JSON.parse(JSON.stringify(identity(experiment.config)));
    assert.is(keyOfEarlier(experiment.subject, stored), keyOf(experiment));
  }
  assert.is(keyOfEarlier('trained', { data: 'emoji', color: 'blue' }), undefined);
});

test('damaged lines and unknown flags are refused by name', async () => {
  const file = join(folder, 'damaged.jsonl');
  writeFileSync(file, '{"subject":"trained","config":{},"scale":1,"adapter":"a"}\n{"subject":"tr');
  await rejects(() => readLines(file), DataError, /damaged\.jsonl:2: expected a line of JSON/);
  writeFileSync(file, '7\n');
  await rejects(() => readLines(file), DataError, /damaged\.jsonl:1: expected a result with subject/);
  for (const [args, message] of [
    [[], /expected 'table'/],
    [['table', '--only', 'emojis'], /--only: expected names among emoji.*got 'emojis'/],
    [['table', '--seeds', '0'], /--seeds: expected a whole number from 1/],
    [['table', '--time-budget', 'long'], /--time-budget: expected a number above 0/],
  ] as const)
    await rejects(async () => parseOptions(args), ConfigError, message);
  assert.equal(parseOptions(['table', '--only', 'emoji,xd', '--seeds', '2']), {
    only: ['emoji', 'xd'],
    seeds: 2,
    images: 20_000,
  });
});

test.run();
