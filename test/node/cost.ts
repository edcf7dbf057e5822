// `slimgrad cost`, asked where asking for an adapter would fail.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { buildCli } from './build_cli.js';
import { asker } from './command.js';

const root = mkdtempSync(join(tmpdir(), 'slimgrad-cost-'));
let cli: Awaited<ReturnType<typeof buildCli>>;
let ask: ReturnType<typeof asker>;

test.before(async () => {
  process.env.SLIMGRAD_ADAPTER = 'none at all';
  cli = await buildCli();
  ask = asker(cli.file, root);
});

test.after(() => {
  cli.remove();
  rmSync(root, { recursive: true, force: true });
});

async function cost(...args: string[]) {
  const answer = await ask(['cost', ...args]);
  for (const line of answer.stdout.split('\n')) assert.ok([...line].length <= 80, `over 80 columns: ${line}`);
  return answer;
}

/** What it prints, where it succeeds. */
async function counted(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cost(...args);
  assert.equal([code, stderr], [0, ''], args.join(' '));
  return stdout;
}

test('published costs are counted without an adapter', async () => {
  assert.match(await counted('--encoder', 'mobilenet_v3_large', '--method', 'xd'), /^3\.600e17 FLOPs/m);
  const sacl = await counted('--encoder', 'mobilenet_v3_large', '--ratio', '1.5', '--epochs', '200');
  assert.match(sacl, /^host mobilenet_v3_large 1\.5x +481\.0 M +507\.7 M +8 +200 +1\.041e18$/m);
  assert.match(sacl, /^slim mobilenet_v3_large 1x +216\.6 M +234\.2 M +8 +200 +4\.801e17$/m);
  assert.match(sacl, /^1\.521e18 FLOPs, .* 1\.430e18 without$/m);
  const seed = await counted(
    '--encoder',
    'efficientnet_b0',
    '--method',
    'seed',
    '--teacher',
    'resnet50',
    '--epochs',
    '200',
  );
  assert.match(seed, /^5\.148e19 FLOPs/m);
  assert.match(
    await counted('--encoder', 'resnet20', '--method', 'xd', '--image-size', '32', '--images', '50000'),
    /32 px/,
  );
});

test('a run is counted by its settings, and timed by its folder', async () => {
  const file = join(root, 'settings.json');
  const settings = { data: 'photos', imageSize: 16, width: 0.25, blocks: '64/1', projector: 32, batch: 8 };
  writeFileSync(file, JSON.stringify({ ...settings, epochs: 2 }));
  const text = await counted('--config', file, '--images', '100');
  assert.match(text, /^sacl_xd, mobilenet_v1 of width 0\.25, host 1\.5 times as wide; batch 8, 16 px$/m);
  for (const part of ['frozen slim', 'frozen host', 'host', 'slim', 'loss', 'a step'])
    assert.match(text, new RegExp(`^${part} .* FLOP .* %$`.replace(' FLOP', 'FLOP'), 'm'));
  assert.match(text, /^the run .* in 24 steps$/m);
  assert.not.match(text, /^pace/m);
  assert.match(await counted('--config', file, '--images', '100', '--batch', '50'), /^the run .* in 4 steps$/m);
  const listed = join(root, 'listed.json');
  writeFileSync(listed, JSON.stringify({ ...settings, epochs: 2, slice: 'l1' }));
  assert.match(await counted('--config', listed, '--images', '100'), /^the run .* in 24 steps$/m);
  assert.match(await counted('--config', file, '--images', '100', '--method', 'xd', '--ratio', '1'), /^encoder A/m);

  const folder = join(root, 'run');
  mkdirSync(folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...settings, steps: 30 }));
  const line = (step: number) => JSON.stringify({ step, loss: 1, time: new Date(500 * step).toISOString() });
  writeFileSync(join(folder, 'metrics.jsonl'), [1, 2, 3, 4].map((step) => `${line(step)}\n`).join(''));
  assert.match(
    await counted('--config', join(folder, 'config.json')),
    /^pace +0\.500 s a step \(median\), .*FLOP\/s$/m,
  );
  assert.not.match(await counted('--config', join(folder, 'config.json'), '--batch', '4'), /^pace/m);
});

test('what cannot be counted is refused by name, on stderr alone', async () => {
  const settings = join(root, 'epochs.json');
  writeFileSync(settings, '{"data": "photos", "epochs": 2}');
  const foreign = join(root, 'foreign.json');
  writeFileSync(foreign, '{"name": "x"}');
  for (const [args, message] of [
    [[], /--encoder is required. See slimgrad cost --help/],
    [['--encoder', 'mobilenet_v3'], /--encoder: expected one of .*Did you mean 'mobilenet_v3/],
    [['--encoder', 'mobilenet_v1', '--method', 'sed'], /--method: expected one of .*Did you mean 'seed'/],
    [['--encoder', 'mobilenet_v1', '--method', 'seed', '--teacher', 'r50'], /--teacher: expected one of .*got "r50"/],
    [['--encoder', 'mobilenet_v1', '--method', 'disco'], /disco learns from a teacher; name its architecture/],
    [['--encoder', 'mobilenet_v1', '--teacher', 'resnet50'], /sacl_xd is counted without a teacher, got resnet50/],
    [['--encoder', 'mobilenet_v1', '--epochs', '0'], /--epochs: expected a whole number from 1 to 1000000, got 0/],
    [['--encoder', 'mobilenet_v1', '--images', 'many'], /--images: expected a whole number of at least 1, got "many"/],
    [['--encoder', 'mobilenet_v1', '--image-size', '1025'], /--image-size: .* from 8 to 1024, got 1025/],
    [
      ['--encoder', 'efficientnet_b0', '--image-size', '8'],
      /at least \d+ pixels a side, the stride of efficientnet_b0, got 8; give a larger --image-size/,
    ],
    [['--encoder', 'mobilenet_v1', '--batch', '8'], /--batch: only valid with --config/],
    [['--config', settings], /images \(--images\) is required/],
    [['--config', settings, '--images', '8'], /batch \(--batch\): expected at most the 8 training images/],
    [['--config', settings, '--teacher', 'resnet50'], /--teacher: is of published costs/],
    [['--config', foreign], /unknown setting 'name'/],
    [['--config', join(root, 'none.json')], /none\.json: no such file/],
  ] as const) {
    const { code, stdout, stderr } = await cost(...args);
    assert.ok(code === 1 || code === 2, `${args.join(' ')}: code ${code}\n${stderr}`);
    assert.is(stdout, '', args.join(' '));
    assert.match(stderr, message);
    assert.not.match(stderr, /\n {4}at |internal/);
  }
});

test.run();
