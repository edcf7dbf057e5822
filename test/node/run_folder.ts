import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import { DataError, NonFiniteError } from '../../src/errors.js';
import { type Checkpoint, readCheckpoint, writeCheckpoint } from '../../src/formats/checkpoint.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { fileTuningCache } from '../../src/node/device/tuning_file.js';
import { exitCodes, type Interrupted, type OpenSession, pretrain } from '../../src/node/run/pretrain.js';
import { RunFolder } from '../../src/node/run/run_folder.js';
import { generator, seed } from '../random.js';
import { fakeSession } from './fake_trainer.js';
import { essence, fresh, rejected, settings, silent } from './runs.js';

const random = generator();

const childMark = '--as-a-child';
/** This file again, as a process of its own that trains in `folder`. */
function child(folder: string, delay: number, options: string[] = []) {
  const args = ['--enable-source-maps', fileURLToPath(import.meta.url), childMark, folder, String(delay), ...options];
  const run = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  run.stdout.on('data', (data) => {
    output += data;
  });
  run.stderr.on('data', (data) => {
    output += data;
  });
  const ended = new Promise<{ code: number | null; signal: string | null; output: string }>((resolve) =>
    run.on('close', (code, signal) => resolve({ code, signal, output })),
  );
  return { run, ended };
}

async function beChild(folder: string, delay: number, waitAt?: string): Promise<void> {
  try {
    await pretrain(settings(folder, { resume: true }), fakeSession({ delay, waitAt }), process.stdout);
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = exitCodes[(error as Interrupted).signal] ?? 1;
  }
}

test('a run leaves its files, readable and complete', async () => {
  const folder = fresh();
  const lines: string[] = [];
  const result = await pretrain(settings(folder), fakeSession(), { write: (text: string) => lines.push(text) });
  assert.equal(readdirSync(folder).sort(), [
    'checkpoint.safetensors',
    'config.json',
    'host.safetensors',
    'kernels.json',
    'metrics.jsonl',
    'report.html',
    'slim.safetensors',
  ]);
  const stored = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  assert.equal({ ...parseConfig(stored), out: '' }, { ...settings(folder), out: '' });
  const metrics = readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l));
  assert.equal(
    metrics.map((m) => m.step),
    Array.from({ length: 30 }, (_, i) => i + 1),
  );
  assert.ok(metrics.every((m) => !Number.isNaN(Date.parse(m.time))));
  const checkpoint = readCheckpoint(readFileSync(join(folder, 'checkpoint.safetensors')), 'checkpoint');
  assert.equal(
    [checkpoint.step, checkpoint.adapter, checkpoint.variants],
    [30, 'fake adapter', { pointwise: 'subgroup' }],
  );
  const { tensors, metadata } = readSafetensors(readFileSync(join(folder, 'slim.safetensors')), 'slim');
  assert.ok(tensors.has('features.0.0.weight'));
  assert.equal([metadata.part, metadata.step], ['slim', '30']);
  assert.is(parseConfig(JSON.parse(metadata.config)).lambda, 0.0051);
  assert.is(result.metrics.length, 30);
  assert.match(lines.join(''), 'step 30/30');
  assert.match(lines.join(''), 'slim.safetensors, host.safetensors and report.html are in');
});

test('a folder that holds something is refused without --resume, and nothing in it changes', async () => {
  const folder = fresh();
  await pretrain(settings(folder), fakeSession(), silent);
  const before = essence(folder);
  await rejected(pretrain(settings(folder), fakeSession(), silent), DataError, 'holds a run already', '--resume');
  assert.equal(essence(folder), before);
  const photos = fresh();
  await RunFolder.open(photos, settings(photos)).then(({ folder: f }) => f.close());
  rmSync(join(photos, 'config.json'));
  writeFileSync(join(photos, 'holiday.jpg'), 'x');
  await rejected(pretrain(settings(photos), fakeSession(), silent), DataError, 'is not empty (holiday.jpg');
  await rejected(pretrain(settings(photos, { resume: true }), fakeSession(), silent), DataError, 'no config.json');
});

test('a run that stopped before its first step keeps no other out of its folder', async () => {
  const [folder, plain] = [fresh(), fresh()];
  const noData: OpenSession = () => Promise.reject(new DataError('no such images'));
  for (const resume of [false, true]) {
    await rejected(pretrain(settings(folder, { seed: 1, resume }), noData, silent), DataError, 'no such images');
    assert.not.ok(existsSync(folder), 'a folder that was made for nothing');
  }
  mkdirSync(folder);
  const events = settings(folder, { tensorboard: true });
  await rejected(pretrain(events, noData, silent), DataError, 'no such images');
  assert.equal(readdirSync(folder), [], 'a folder that was there');
  await RunFolder.open(folder, settings(folder, { seed: 1 })).then(({ folder: killed }) => killed.close());
  await pretrain(settings(folder), fakeSession(), silent);
  await pretrain(settings(plain), fakeSession(), silent);
  assert.equal(essence(folder), essence(plain));
});

test('--resume starts afresh in an empty folder, and repeats nothing in a finished one', async () => {
  const [folder, plain] = [fresh(), fresh()];
  await pretrain(settings(folder, { resume: true }), fakeSession(), silent);
  await pretrain(settings(plain), fakeSession(), silent);
  assert.equal(essence(folder), essence(plain));
  const metrics = readFileSync(join(folder, 'metrics.jsonl'), 'utf8');
  const report = readFileSync(join(folder, 'report.html'), 'utf8');
  await pretrain(settings(folder, { resume: true }), fakeSession(), silent);
  assert.is(readFileSync(join(folder, 'report.html'), 'utf8'), report);
  rmSync(join(folder, 'report.html'));
  await pretrain(settings(folder, { resume: true }), fakeSession(), silent);
  assert.match(readFileSync(join(folder, 'report.html'), 'utf8'), '<h2>Configuration</h2>');
  assert.is(readFileSync(join(folder, 'metrics.jsonl'), 'utf8'), metrics);
});

test('a run killed at any moment and resumed equals one never interrupted', async () => {
  const expected = fresh();
  await pretrain(settings(expected), fakeSession(), silent);
  const folder = fresh();
  let kills = 0;
  for (let attempt = 0; attempt < 40; attempt++) {
    const { run, ended } = child(folder, 8);
    // From its first word on: a busy machine takes its time to start one.
    run.stdout.once('data', () => setTimeout(() => run.kill('SIGKILL'), random() * 250));
    const { code, signal, output } = await ended;
    if (signal === 'SIGKILL') kills++;
    else assert.is(code, 0, output);
    if (code === 0) break;
  }
  assert.ok(kills >= 1, 'no process was killed');
  assert.equal(essence(folder), essence(expected), `seed ${seed}`);
  assert.equal(
    readdirSync(folder).filter((name) => name.startsWith('.')),
    [],
  );
});

test('metrics after the checkpoint, and a torn last line, are cut back', async () => {
  const [folder, expected] = [fresh(), fresh()];
  await pretrain(settings(expected), fakeSession(), silent);
  await rejected(pretrain(settings(folder), fakeSession({ nanAt: 18 }), silent), NonFiniteError, 'step 18');
  const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8');
  assert.is(lines.trim().split('\n').length, 17);
  truncateSync(join(folder, 'metrics.jsonl'), lines.length - 20);
  appendFileSync(join(folder, 'metrics.jsonl'), '\0\0{"step": 3');
  await pretrain(settings(folder, { resume: true }), fakeSession(), silent);
  assert.equal(essence(folder), essence(expected));
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const)
  test(`${signal} finishes the step, writes a checkpoint and exits with ${exitCodes[signal]}; the run goes on from there`, async () => {
    const [folder, expected] = [fresh(), fresh()];
    await pretrain(settings(expected), fakeSession(), silent);
    const { run, ended } = child(folder, 30);
    const running = join(folder, 'metrics.jsonl');
    for (let i = 0; i < 200; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (readText(running).split('\n').length > 2) break;
    }
    run.kill(signal);
    // as npm passes on a signal that the terminal has sent to both
    setTimeout(() => run.kill(signal), 5);
    const { code, output } = await ended;
    assert.is(code, exitCodes[signal], output);
    assert.match(output, new RegExp(`Stopped by ${signal} after step \\d+ of 30; its checkpoint is written`));
    const steps = readText(running).trim().split('\n').length;
    assert.is(readCheckpoint(readFileSync(join(folder, 'checkpoint.safetensors')), 'checkpoint').step, steps);
    assert.ok(steps < 30);
    await pretrain(settings(folder, { resume: true }), fakeSession(), silent);
    assert.equal(essence(folder), essence(expected));
  });

test('SIGINT before the first step, and during the evaluation, ends the process at once and leaves no lock', async () => {
  for (const phase of ['open', 'evaluate']) {
    const folder = fresh();
    const { run, ended } = child(folder, 0, [phase]);
    run.stdout.on('data', (data) => {
      if (String(data).includes(`at ${phase}`)) run.kill('SIGINT');
    });
    const { code, output } = await ended;
    assert.is(code, 130, output);
    assert.match(output, 'Stopped by SIGINT');
    assert.not.ok(readdirSync(folder).includes('.lock'));
    await pretrain(settings(folder, { resume: true }), fakeSession(), silent);
  }
});

test('a NaN stops the run with step and tensor, and leaves the last good checkpoint', async () => {
  const folder = fresh();
  const run = pretrain(settings(folder), fakeSession({ nanAt: 14 }), silent);
  await rejected(run, NonFiniteError, 'step 14: the loss is NaN', 'features.0.0.weight', 'step 7 is intact', '--lr');
  assert.is(readCheckpoint(readFileSync(join(folder, 'checkpoint.safetensors')), 'checkpoint').step, 7);
  const early = pretrain(settings(fresh()), fakeSession({ nanAt: 2 }), silent);
  await rejected(early, NonFiniteError, 'There is no checkpoint yet');
});

test('a run of another configuration, or a damaged one, is not resumed', async () => {
  const folder = fresh();
  await rejected(pretrain(settings(folder), fakeSession({ nanAt: 18 }), silent), NonFiniteError);
  const other = settings(folder, { resume: true, lr: 0.7 });
  await rejected(pretrain(other, fakeSession(), silent), DataError, 'lr (there 0.3, here 0.7)');
  const file = join(folder, 'checkpoint.safetensors');
  truncateSync(file, 300);
  const again = settings(folder, { resume: true, checkpointEvery: 5 });
  await rejected(pretrain(again, fakeSession(), silent), DataError, file);
  writeFileSync(join(folder, 'config.json'), '{"data": ');
  await rejected(pretrain(again, fakeSession(), silent), DataError, 'config.json: not a usable configuration');
});

test('a run goes on by a later version, whose new settings it does not have', async () => {
  const folder = fresh();
  await rejected(pretrain(settings(folder), fakeSession({ nanAt: 18 }), silent), NonFiniteError);
  const older = ({ precision: _, ...config }: Record<string, unknown>) => config;
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(older(JSON.parse(readFileSync(file, 'utf8')))));
  const saved = join(folder, 'checkpoint.safetensors');
  const checkpoint = readCheckpoint(readFileSync(saved), saved);
  writeFileSync(saved, writeCheckpoint({ ...checkpoint, config: older(checkpoint.config) as Checkpoint['config'] }));
  const other = settings(folder, { resume: true, precision: 'f16' });
  await rejected(pretrain(other, fakeSession(), silent), DataError, 'precision (there "f32", here "f16")');
  const { metrics } = await pretrain(settings(folder, { resume: true }), fakeSession(), silent);
  assert.is(metrics.length, 30);
});

test('another adapter or other kernels are told of, and the run goes on', async () => {
  const folder = fresh();
  await rejected(pretrain(settings(folder), fakeSession({ nanAt: 18 }), silent), NonFiniteError);
  const lines: string[] = [];
  const elsewhere = fakeSession({ adapter: 'other adapter', choices: { pointwise: 'plain' } });
  const screen = { write: (text: string) => lines.push(text) };
  await pretrain(settings(folder, { resume: true }), elsewhere, screen);
  assert.match(lines.join(''), "Warning: the checkpoint was made on 'fake adapter', this is 'other adapter'");
  assert.match(lines.join(''), 'other kernels than the checkpoint');
});

test('a run computes with the kernels that it began with, before its first checkpoint too', async () => {
  const folder = fresh();
  const file = join(folder, 'kernels.json');
  const begun = fakeSession({ nanAt: 3, choices: { pointwise: 'tuned' } });
  await rejected(pretrain(settings(folder), begun, silent), NonFiniteError, 'There is no checkpoint yet');
  const kernels = { adapter: 'fake adapter', variants: { pointwise: 'tuned' } };
  assert.equal(JSON.parse(readFileSync(file, 'utf8')), kernels);

  const given: unknown[] = [];
  const open: OpenSession = (config, options) => {
    given.push(options.kernels);
    return fakeSession({ choices: { pointwise: 'tuned' } })(config, options);
  };
  const resumed = settings(folder, { resume: true });
  writeFileSync(file, '{"adapter": 3}');
  await rejected(pretrain(resumed, open, silent), DataError, 'kernels.json: expected {"adapter"');
  writeFileSync(file, JSON.stringify(kernels));
  await pretrain(resumed, open, silent);
  assert.equal(given, [kernels]);
});

test('tuned kernels are remembered in a file, by adapter; a damaged file is replaced, a place that cannot be written noted', async () => {
  const folder = fresh();
  const file = join(folder, 'cache', 'tuning.json');
  const notes: string[] = [];
  const cache = fileTuningCache(file, (line) => notes.push(line));
  assert.equal(await cache.load('a'), {});
  await cache.save('a', { problem: 'wide' });
  await cache.save('b', { problem: 'narrow' });
  assert.equal(await cache.load('a'), { problem: 'wide' });
  for (const damaged of ['{"a": {"problem"', '[]', '{"a": 3, "b": {"problem": 4}}']) {
    writeFileSync(file, damaged);
    assert.equal([await cache.load('a'), await cache.load('b')], [{}, {}]);
    await cache.save('a', { problem: 'wide' });
    assert.equal(await cache.load('a'), { problem: 'wide' });
  }
  assert.equal(notes, []);
  const nowhere = fileTuningCache(join(file, 'tuning.json'), (line) => notes.push(line));
  await nowhere.save('a', {});
  assert.match(notes.join(), /^Tuned kernels are not remembered: .*tuning\.json is not a folder$/);
});

test('tuned kernels are neither read from nor written to a folder that a link leads to', async () => {
  const folder = fresh();
  const notes: string[] = [];
  const file = join(folder, 'cache', 'tuning.json');
  await fileTuningCache(file, (line) => notes.push(line)).save('a', { problem: 'wide' });
  const before = readFileSync(file, 'utf8');
  symlinkSync(join(folder, 'cache'), join(folder, 'link'));
  const linked = fileTuningCache(join(folder, 'link', 'tuning.json'), (line) => notes.push(line));
  assert.equal(await linked.load('a'), {});
  await linked.save('a', { problem: 'narrow' });
  assert.is(readFileSync(file, 'utf8'), before);
  assert.equal(notes, [`Tuned kernels are not remembered: ${join(folder, 'link')} is a link`]);
});

test('one process at a time: a living holder is respected, a dead one is not', async () => {
  const folder = fresh();
  const { folder: held } = await RunFolder.open(folder, settings(folder));
  await rejected(
    RunFolder.open(folder, settings(folder, { resume: true })),
    DataError,
    `process ${process.pid}`,
    '.lock',
  );
  await held.close();
  const claims = [{ pid: 2 ** 22 + 1, host: hostname() }, { pid: process.pid, host: hostname(), started: 'never' }, {}];
  for (const claim of claims) {
    writeFileSync(join(folder, '.lock'), JSON.stringify(claim));
    const { folder: taken } = await RunFolder.open(folder, settings(folder, { resume: true }));
    await taken.close();
  }
  writeFileSync(join(folder, '.lock'), JSON.stringify({ pid: 1, host: 'elsewhere' }));
  const there = RunFolder.open(folder, settings(folder, { resume: true }));
  await rejected(there, DataError, 'process 1 on elsewhere');
  rmSync(join(folder, '.lock'));
});

test('two processes that start at once do not both train', async () => {
  const folder = fresh();
  const ends = await Promise.all([child(folder, 20).ended, child(folder, 20).ended]);
  const codes = ends.map(({ code }) => code).sort();
  assert.equal(codes, [0, 1], ends.map((e) => e.output).join('\n---\n'));
  assert.match(ends.find(({ code }) => code === 1)!.output, /in use by process \d+/);
});

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

if (process.argv[2] === childMark) await beChild(process.argv[3], Number(process.argv[4]), process.argv[5]);
else test.run();
