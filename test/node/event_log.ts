// TensorBoard's event files of a run: read back by a reader of the test's own that checks every byte.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig, type TrainConfig } from '../../src/config/settings.js';
import { NonFiniteError } from '../../src/errors.js';
import { crc32c } from '../../src/formats/tensorboard.js';
import { pretrain } from '../../src/node/run/pretrain.js';
import { rejects } from '../rejects.js';
import { fakeSession } from './fake_trainer.js';
import { eventsMatchMetrics, readEvents } from './read_events.js';

const silent = { write: () => true };
const root = mkdtempSync(join(tmpdir(), 'slimgrad-events-'));
test.after(() => rmSync(root, { recursive: true, force: true }));

const settings = (name: string, more: object = {}): TrainConfig =>
  parseConfig({ data: 'emoji', steps: 30, batch: 128, checkpointEvery: 7, out: join(root, name), ...more });
const eventFiles = (folder: string) => readdirSync(folder).filter((name) => name.includes('tfevents'));

test('CRC-32C of the published example', () => {
  assert.is(crc32c(new TextEncoder().encode('123456789')), 0xe3069283);
  assert.is(crc32c(new Uint8Array(32)), 0x8a9136aa); // RFC 3720, B.4
});

test('a run writes the metrics of every step, and none unless asked', async () => {
  const [asked, not] = [settings('asked', { tensorboard: true }), settings('not')];
  await pretrain(asked, fakeSession(), silent);
  eventsMatchMetrics(asked.out);
  assert.ok(readEvents(asked.out)[30].scalars.has('onDiagonal/live'));
  await pretrain(not, fakeSession(), silent);
  assert.equal(eventFiles(not.out), []);
});

test('a run that goes on has each step once, wherever it stopped, and what was torn is gone', async () => {
  const config = settings('torn', { tensorboard: true });
  await rejects(() => pretrain(config, fakeSession({ nanAt: 18 }), silent), NonFiniteError, /step 18/);
  const [before] = eventFiles(config.out);
  const file = join(config.out, before);
  writeFileSync(file, readFileSync(file).subarray(0, -9));
  await pretrain({ ...config, resume: true }, fakeSession(), silent);
  eventsMatchMetrics(config.out);
  assert.is(readEvents(config.out).length, 31);
  assert.is.not(eventFiles(config.out)[0], before);
});

test('a run that goes on can begin to write them, with the steps before, and keeps them where it is not asked again', async () => {
  const config = settings('later');
  await rejects(() => pretrain(config, fakeSession({ nanAt: 18 }), silent), NonFiniteError, /step 18/);
  await pretrain({ ...config, tensorboard: true, resume: true }, fakeSession(), silent);
  eventsMatchMetrics(config.out);
  await pretrain({ ...config, resume: true }, fakeSession(), silent);
  eventsMatchMetrics(config.out);
});

test('a run that stopped before its first step is begun afresh', async () => {
  const config = settings('unbegun', { tensorboard: true });
  const failing = async () => Promise.reject(new NonFiniteError('no session'));
  await rejects(() => pretrain(config, failing, silent), NonFiniteError, /no session/);
  await pretrain(config, fakeSession(), silent);
  eventsMatchMetrics(config.out);
});

test.run();
