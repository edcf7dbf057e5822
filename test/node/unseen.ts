// What weights were trained on is never tested with in silence: `pretrain`, `eval` and `finetune` from the command line.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readTrained } from '../../src/data/trained.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import type { DataRecord } from '../../src/node/data/record.js';
import { generator } from '../random.js';
import { buildCli } from './build_cli.js';
import { asker } from './command.js';

const root = mkdtempSync(join(tmpdir(), 'slimgrad-unseen-'));
const perClass = 30;
const settings =
  '--image-size 16 --width 0.25 --stem-stride 2 --blocks 64/1 --projector 16 --batch 8 --steps 2 --checkpoint-every 1';
let cli: Awaited<ReturnType<typeof buildCli>>;
let ask: ReturnType<typeof asker>;

test.before(async () => {
  cli = await buildCli();
  ask = asker(cli.file, root);
  const random = generator();
  for (const [c, name] of ['green', 'red'].entries()) {
    mkdirSync(join(root, 'photos', name), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const raw = { width: 16, height: 16, channels: 3 as const };
      const pixels = Uint8Array.from({ length: 768 }, (_, p) => (p % 3 === c ? 190 : 60) + 50 * random());
      await sharp(pixels, { raw }).toFile(join(root, 'photos', name, `${i}.png`));
    }
  }
  for (const more of [['run'], ['all', '--hold-out', '0'], ['bare', '--no-labels']]) await train(...more);
});

test.after(() => {
  cli.remove();
  rmSync(root, { recursive: true, force: true });
});

const slimgrad = (...args: string[]) => ask(args);

async function train(out = 'run', ...more: string[]) {
  const made = await slimgrad('pretrain', '--data', 'photos', ...settings.split(' '), '--out', out, ...more);
  assert.is(made.code, 0, made.output);
  return made;
}

const evaluate = (weights: string, ...more: string[]) =>
  slimgrad('eval', '--weights', weights, '--data', 'photos', '--map', 'none', '--no-report', '--k', '3', ...more);
const record = (run: string): DataRecord => JSON.parse(readFileSync(join(root, run, 'data.json'), 'utf8'));
const numbers = (text: string, pattern: RegExp) => (pattern.exec(text) ?? []).slice(1).map(Number);

test('a run records what it trained on, file by file and in its weights', () => {
  const { files } = record('run');
  const uses = (use: string) => files.filter((file) => file.use === use);
  assert.is(uses('train').length + uses('test').length, 2 * perClass);
  const { metadata } = readSafetensors(readFileSync(join(root, 'run/slim.safetensors')), 'slim');
  const trained = readTrained(metadata.trained, 'slim');
  const digests = uses('train').map(({ digest }) => Number.parseInt(digest!.slice(0, 8), 16));
  assert.equal(
    [...trained],
    digests.sort((a, b) => a - b),
  );
  assert.is(record('all').files.filter(({ use }) => use === 'train').length, 2 * perClass);
  assert.is(record('bare').files.filter(({ use }) => use === 'train').length, 2 * perClass);
});

test("the run's own split tests with none of its images; another leaves out those that were trained on", async () => {
  const own = await evaluate('run/slim.safetensors');
  assert.is(own.code, 0, own.output);
  assert.not.match(own.stderr, 'trained on');
  const held = record('run').files.filter(({ use }) => use === 'test').length;
  assert.match(own.stdout, `On ${held} held-out images`);
  const other = await evaluate('run/slim.safetensors', '--split-seed', '5');
  assert.is(other.code, 0, other.output);
  const [known, all] = numbers(other.stderr, /was trained on (\d+) of the (\d+) test images; they are excluded/);
  assert.ok(known > 0 && known < all, other.output);
  assert.match(other.stdout, `On ${all - known} held-out images`);
});

test('weights that were trained on everything are not evaluated as if they were not', async () => {
  for (const run of ['all', 'bare']) {
    const { code, output } = await evaluate(`${run}/slim.safetensors`);
    assert.is(code, 1, output);
    assert.match(output, /slim.safetensors was trained on all of the \d+ images that there are to test with/);
  }
});

test('what fine-tuning trained on is known, too', async () => {
  const tuned = await slimgrad(
    ...'finetune --weights run/slim.safetensors --data photos --epochs 1 --lr 0.01 --map none --split-seed 5'.split(
      ' ',
    ),
  );
  assert.is(tuned.code, 0, tuned.output);
  const [, file] = /for slimgrad classify: (.*\.safetensors)/.exec(tuned.stdout) ?? [];
  const again = await evaluate(file, '--split-seed', '5');
  assert.is(again.code, 0, again.output); // the encoder's own are left out
  const own = await evaluate(file); // fine-tuning saw most of those
  assert.is(own.code, 0, own.output);
  const [known, all] = numbers(own.stderr, /was trained on (\d+) of the (\d+) test images/);
  assert.ok(known > 0 && known < all, own.output);
});

test('an image that is added moves no other; a run does not go on with it unless that is said', async () => {
  copyFileSync(join(root, 'photos/red/0.png'), join(root, 'photos/green/000.png'));
  try {
    const now = await evaluate('run/slim.safetensors');
    assert.is(now.code, 0, now.output);
    assert.not.match(now.stderr, 'was trained on');
    const resume = ['--config', 'run/config.json', '--out', 'run', '--resume', '--steps', '3'];
    const stopped = await slimgrad('pretrain', ...resume);
    assert.is(stopped.code, 1, stopped.output);
    assert.match(stopped.stderr, /photos: the data are not those .*: 1 added \(green\/000.png\); .*--accept-data/);
    const goesOn = await slimgrad('pretrain', ...resume, '--accept-data');
    assert.is(goesOn.code, 0, goesOn.output);
    assert.match(goesOn.stdout, /Going on with other data than before: 1 added \(green\/000.png\)/);
    assert.match(goesOn.stdout, /step 3\/3/);
  } finally {
    rmSync(join(root, 'photos/green/000.png'));
  }
});

test.run();
