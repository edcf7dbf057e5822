// Scores while a run trains: when they are taken, where they are shown, and what is said of them in the end.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { quickScores } from '../../src/node/eval/quick_scores.js';
import { verdictOf } from '../../src/node/report/verdict.js';
import type { OpenSession } from '../../src/node/run/pretrain.js';
import { pretrain } from '../../src/node/run/pretrain.js';
import { openTestDevice } from '../device.js';
import { generator } from '../random.js';
import { fakeSession } from './fake_trainer.js';
import { essence, fresh, settings, silent } from './runs.js';

/** A session whose scores follow from the step. */
const scored: OpenSession = async (config, options) => {
  const session = await fakeSession()(config, options);
  const score = async () => ({ 'score.copies': session.trainer.step / 100, 'score.knn': 0.5 });
  return { ...session, score };
};

test('scores are taken every so many steps and at the end, and stand in metrics, progress and report', async () => {
  const folder = fresh();
  const lines: string[] = [];
  const screen = { write: (text: string) => lines.push(text) };
  const { metrics } = await pretrain(settings(folder, { evalEvery: 8 }), scored, screen);
  const at = metrics.filter((line) => line['score.copies'] !== undefined);
  assert.equal(
    at.map((line) => [line.step, line['score.copies'], line['score.knn']]),
    [8, 16, 24, 30].map((step) => [step, step / 100, 0.5]),
  );
  assert.match(lines.join(''), /copies found 0\.30* /);
  assert.match(lines.join(''), 'Learning: copies found 8.0 % at step 8, 30.0 % at step 30.');
  const page = readFileSync(join(folder, 'report.html'), 'utf8');
  assert.match(page, 'On held-out images');
  assert.match(page, '<p>Learning: copies found 8.0 % at step 8');

  const none = fresh();
  const plain = await pretrain(settings(none), scored, silent);
  assert.ok(plain.metrics.every((line) => line['score.copies'] === undefined));
  assert.not.match(readFileSync(join(none, 'report.html'), 'utf8'), 'On held-out images');
});

test('a run that is continued has the scores of one that was not stopped', async () => {
  const [cut, whole] = [fresh(), fresh()];
  await pretrain(settings(cut, { steps: 14, evalEvery: 4 }), scored, silent);
  await pretrain(settings(cut, { steps: 28, evalEvery: 4, resume: true }), scored, silent);
  await pretrain(settings(whole, { steps: 14, evalEvery: 4 }), scored, silent);
  await pretrain(settings(whole, { steps: 28, evalEvery: 4, resume: true }), scored, silent);
  assert.equal(essence(cut), essence(whole));
  const steps = essence(cut)
    .metrics.split('\n')
    .filter((line) => line.includes('score.copies')).length;
  assert.is(steps, 8, '4, 8, 12, the end at 14, 16, 20, 24, 28');
});

test('the verdict: learning, no gain any more, collapsed, or nothing to say', () => {
  const run = (...scores: number[]) => scores.map((score, i) => ({ step: 10 * (i + 1), 'score.copies': score }));
  assert.is(verdictOf([]), undefined);
  assert.is(verdictOf(run(0.2)), undefined);
  assert.is(verdictOf(run(0.2, 0.4, 0.3)), 'Learning: copies found 20.0 % at step 10, 40.0 % at step 20.');
  assert.is(
    verdictOf(run(0.2, 0.4, 0.3, 0.39, 0.4)),
    'No gain since step 20: copies found 40.0 % then, 40.0 % now.',
    'as good as the best is no gain',
  );
  assert.match(verdictOf(run(0.2, 0.4, 0.3, 0.39, 0.41)) as string, /^Learning: .*41\.0 % at step 50/);
  const collapsed = { step: 60, 'effectiveRank.zA': 1.2, 'effectiveRank.zB': 7 };
  assert.match(verdictOf([...run(0.2, 0.4), collapsed]) as string, /^Collapsed: zA has an effective rank of 1\.2/);
  const healthy = { step: 60, 'effectiveRank.zA': 9 };
  assert.match(verdictOf([collapsed, ...run(0.2, 0.4), healthy]) as string, /^Learning/, 'the last ranks count');
});

/** Images of one color each and a little noise; the label is the color. */
function colors(length: number, random: () => number): ImageSource {
  const images = Array.from({ length }, (_, item): RgbaImage => {
    const pixels = Uint8Array.from({ length: 8 * 8 * 4 }, (_, i) =>
      i % 4 === 3 ? 255 : (i % 4 === item % 3 ? 180 : 40) + 50 * random(),
    );
    return { width: 8, height: 8, pixels };
  });
  return {
    name: 'colors',
    length,
    images: 1,
    labels: Int32Array.from(images, (_, i) => i % 3),
    load: async (i) => images[i],
  };
}

test('quick scores: of an encoder that sees colors all classes, of one that sees nothing no copy', async () => {
  const random = generator();
  const device = await openTestDevice();
  const dataset = { name: 'colors', train: colors(60, random), test: colors(30, random), notes: [] };
  const means = async (source: ImageSource) => {
    const rows: number[] = [];
    for (let item = 0; item < source.length; item++) {
      const { pixels } = (await source.load(item, 0)) as RgbaImage;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let at = c; at < pixels.length; at += 4) sum += pixels[at];
        rows.push(sum);
      }
    }
    return Float32Array.from(rows);
  };
  const options = { device, imageSize: 8, seed: 1 };
  const seeing = await quickScores(dataset, { embed: means }, options);
  assert.is(seeing['score.knn'], 1);
  assert.ok(seeing['score.copies'] >= 0 && seeing['score.copies'] <= 1);
  const blind = { embed: async ({ length }: ImageSource) => new Float32Array(length * 2).fill(1) };
  assert.is((await quickScores(dataset, blind, options))['score.copies'], 0);
  const { labels: _, ...bare } = dataset.train;
  const unlabeled = await quickScores({ name: 'colors', train: bare, notes: [] }, { embed: means }, options);
  assert.equal(Object.keys(unlabeled), ['score.copies']);
  device.dispose();
});

test.run();
