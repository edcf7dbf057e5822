// A whole run through the command line, killed again and again: it must end as one that was left alone.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readCheckpoint } from '../../src/formats/checkpoint.js';
import { generator, seed } from '../random.js';
import { buildCli } from './build_cli.js';
import { eventsMatchMetrics } from './read_events.js';

const root = mkdtempSync(join(tmpdir(), 'slimgrad-resume-'));
const random = generator();
let cli: Awaited<ReturnType<typeof buildCli>>;

test.before(async () => {
  cli = await buildCli();
  for (const label of ['one', 'two']) {
    mkdirSync(join(root, 'images', label), { recursive: true });
    for (let i = 0; i < 24; i++) {
      const raw = { width: 20 + i, height: 30 - i, channels: 3 as const };
      const pixels = Uint8Array.from({ length: raw.width * raw.height * 3 }, () => random() * 256);
      await sharp(pixels, { raw })
        .png()
        .toFile(join(root, 'images', label, `${i}.png`));
    }
  }
});

test.after(() => {
  cli.remove();
  rmSync(root, { recursive: true, force: true });
});

const settings =
  '--image-size 16 --width 0.25 --projector 16 --batch 8 --steps 24 --checkpoint-every 5 --optimizer sgd --tensorboard'.split(
    ' ',
  );

/** Trains into `out`; killed `after` milliseconds from its first step, if that is given. */
function train(out: string, after?: number): Promise<{ code: number | null; output: string }> {
  const args = ['pretrain', '--data', join(root, 'images'), '--blocks', '64/1 128/2', ...settings];
  const child = spawn(process.execPath, [cli.file, ...args, '--seed', String(seed), '--out', out, '--resume']);
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
    if (after !== undefined && /^step /m.test(output)) setTimeout(() => child.kill('SIGKILL'), after);
  });
  child.stderr.on('data', (data) => {
    output += data;
  });
  return new Promise((done) => child.on('close', (code) => done({ code, output })));
}

const metrics = (out: string) => readFileSync(join(out, 'metrics.jsonl'), 'utf8').replace(/"time":"[^"]*"/g, '');

test('killed by SIGKILL again and again and resumed, a run ends byte for byte as one that never stopped', async () => {
  const [calm, hunted] = [join(root, 'calm'), join(root, 'hunted')];
  const whole = await train(calm);
  assert.is(whole.code, 0, whole.output);

  let kills = 0;
  for (
    let end = await train(hunted, 100 * random());
    end.code !== 0;
    end = await train(hunted, kills < 4 ? 400 * random() : undefined)
  ) {
    assert.is(end.code, null, end.output); // killed, not failed
    kills++;
  }
  assert.ok(kills > 0, 'no kill came in time');
  for (const file of ['checkpoint.safetensors', 'slim.safetensors', 'host.safetensors'])
    assert.ok(
      readFileSync(join(calm, file)).equals(readFileSync(join(hunted, file))),
      `${file} after ${kills} kills (seed ${seed})`,
    );
  assert.is(metrics(hunted), metrics(calm), `metrics after ${kills} kills (seed ${seed})`);
  assert.is(readCheckpoint(readFileSync(join(calm, 'checkpoint.safetensors')), 'checkpoint').step, 24);
  assert.is(metrics(calm).trim().split('\n').length, 24);
  eventsMatchMetrics(calm);
  eventsMatchMetrics(hunted);
});

test.run();
