import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TrainConfig } from '../../src/config/settings.js';
import { readTrained } from '../../src/data/trained.js';
import { DataError } from '../../src/errors.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { type DataRecord, digestOf, readRecord } from '../../src/node/data/record.js';
import { pretrain } from '../../src/node/run/pretrain.js';
import { fakeSession } from './fake_trainer.js';
import { essence, fresh, rejected, settings, silent } from './runs.js';

const test = suite('node/continued');

const madeUp = (...paths: string[]): DataRecord => ({
  name: 'photos',
  files: paths.map((path) => ({ path, bytes: path.length, digest: '00112233aabb', use: 'train' })),
  leftOut: [],
});

test('a run is not continued on other data without --accept-data, and tells what differs', async () => {
  const folder = fresh();
  const [half, whole] = [{ steps: 14 }, { steps: 30 }].map((length) => settings(folder, length));
  const resumed = { ...whole, resume: true };
  await pretrain(half, fakeSession({ data: madeUp('a', 'bb'), digests: Uint32Array.of(7, 9) }), silent);
  const before = essence(folder);
  const other = madeUp('a', 'ccc');
  const goOn = (config: TrainConfig, data: DataRecord | undefined, write: (text: string) => unknown = () => true) =>
    pretrain(config, fakeSession({ ...(data && { data }), digests: Uint32Array.of(8, 9) }), {
      write: (text: string) => write(text),
    });
  await rejected(
    goOn({ ...half, resume: true }, other),
    DataError,
    'emoji: the data are not those',
    '1 added (ccc), 1 removed (bb)',
    '--accept-data',
  );
  assert.equal(essence(folder), before);
  writeFileSync(join(folder, 'data.json'), 'torn');
  await rejected(goOn({ ...half, resume: true }, other), DataError, 'how is not known, for want of its data.json');
  const lines: string[] = [];
  await goOn({ ...resumed, acceptData: true }, other, (text) => lines.push(text));
  assert.match(lines.join(''), /Going on with other data than before: how is not known/);
  assert.equal(readRecord(readFileSync(join(folder, 'data.json'), 'utf8'))?.files, other.files);
  assert.not.match(readFileSync(join(folder, 'config.json'), 'utf8'), 'acceptData');
  await goOn(resumed, other); // these are now its data
  for (const name of ['slim', 'host', 'checkpoint']) {
    const { metadata } = readSafetensors(readFileSync(join(folder, `${name}.safetensors`)), name);
    assert.equal([...readTrained(metadata.trained, name)], [7, 8, 9], name); // of both
    assert.is(metadata.data, digestOf(other), name);
  }
});

test('a run without a record of its data goes on with one line of warning', async () => {
  const folder = fresh();
  await pretrain(settings(folder, { steps: 7 }), fakeSession(), silent);
  const lines: string[] = [];
  const session = fakeSession({ data: madeUp('a') });
  await pretrain(settings(folder, { steps: 14, resume: true }), session, { write: (text: string) => lines.push(text) });
  assert.is(lines.join('').match(/Warning: this run was begun without a record of its data/g)?.length, 1);
});

test('a run may go on longer than it was meant to, and not shorter', async () => {
  const [folder, plain] = [fresh(), fresh()];
  await pretrain(settings(folder, { steps: 14 }), fakeSession(), silent);
  await rejected(
    pretrain(settings(folder, { steps: 13, resume: true }), fakeSession(), silent),
    DataError,
    'steps (there 14, here 13)',
  );
  await rejected(
    pretrain(settings(folder, { steps: 30, lr: 0.7, resume: true }), fakeSession(), silent),
    DataError,
    'lr (there 0.3, here 0.7)',
  );
  const { metrics } = await pretrain(settings(folder, { steps: 30, resume: true }), fakeSession(), silent);
  assert.equal(
    metrics.map(({ step }) => step),
    Array.from({ length: 30 }, (_, i) => i + 1),
  );
  await pretrain(settings(plain), fakeSession(), silent);
  // the made-up trainer's weights follow from the step alone; the metrics of the first steps tell of the shorter schedule
  const { metrics: _, ...files } = essence(folder);
  const { metrics: __, ...expected } = essence(plain);
  assert.equal(files, expected);
});

test.run();
