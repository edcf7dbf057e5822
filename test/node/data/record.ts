import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type DataRecord,
  differenceOf,
  differenceText,
  digestOf,
  type FileRecord,
  isSame,
  readRecord,
  writeRecord,
} from '../../../src/node/data/record.js';

const test = suite('node/data/record');

const file = (path: string, more: Partial<FileRecord> = {}): FileRecord => ({
  path,
  bytes: 10,
  digest: '0123456789ab',
  use: 'train',
  ...more,
});
const record = (...files: FileRecord[]): DataRecord => ({ name: 'photos', files, leftOut: [] });

test('a record goes through text and back', () => {
  const whole: DataRecord = {
    name: 'pho"tos',
    files: [file('a/ü.png'), file('b\n.png', { use: 'skipped' }), { path: 'c', bytes: 0, use: 'test' }],
    leftOut: [{ file: 'x.heic', reason: 'HEIC' }],
  };
  const text = [...writeRecord(whole)].join('');
  assert.equal(JSON.parse(text).format, 'slimgrad data 1');
  const { format: _, ...again } = readRecord(text) as DataRecord & { format: string };
  assert.equal(again, whole);
  assert.is(digestOf(again), digestOf(whole));
  assert.equal(readRecord([...writeRecord(record())].join(''))?.files, []);
  for (const damaged of [
    '',
    '{}',
    'null',
    text.slice(0, -20),
    text.replace('data 1', 'data 9'),
    text.replace('"path"', '"p"'),
  ])
    assert.is(readRecord(damaged), undefined);
});

test('every change is another digest, and is told', () => {
  const before = record(file('a'), file('b'), file('c'), file('d', { use: 'test' }));
  for (const [files, text] of [
    [[...before.files, file('e')], '1 added (e)'],
    [before.files.slice(1), '1 removed (a)'],
    [before.files.slice(0, 0), '4 removed (a, b, c, and 1 more)'],
    [before.files.with(1, file('b', { bytes: 11 })), '1 changed (b)'],
    [before.files.with(1, file('b', { digest: 'ba9876543210' })), '1 changed (b)'],
    [before.files.with(2, file('C')), '1 added (C), 1 removed (c)'],
    [before.files.with(3, file('d')), '1 used otherwise (held out, trained on or skipped) (d)'],
    [before.files.with(0, file('a', { use: 'skipped' })), '1 used otherwise (held out, trained on or skipped) (a)'],
  ] as const) {
    const after = record(...files);
    const difference = differenceOf(before.files, after.files);
    assert.is(differenceText(difference), text);
    assert.not(isSame(difference));
    assert.is.not(digestOf(after), digestOf(before));
  }
  assert.ok(isSame(differenceOf(before.files, before.files)));
  const twins = [file('é'), file('é', { bytes: 11 })]; // one in Unicode's composed form, the other decomposed
  assert.ok(isSame(differenceOf(twins, twins)));
  assert.is(differenceText(differenceOf(twins, twins.slice(1))), '1 removed (é), 1 changed (é)');
  // as a scan has them, before anything is decoded
  assert.ok(
    isSame(
      differenceOf(
        before.files,
        before.files.map(({ path, bytes }) => ({ path, bytes })),
      ),
    ),
  );
});

test('100,000 files are compared in a moment', () => {
  const files = Array.from({ length: 100_000 }, (_, i) => file(`folder ${i % 300}/image ${i}.jpg`));
  const started = process.cpuUsage(); // whatever else the machine is doing
  const text = [...writeRecord(record(...files))].join('');
  const again = readRecord(text) as DataRecord;
  assert.is(digestOf(again), digestOf(record(...files)));
  assert.ok(isSame(differenceOf(again.files, files)));
  const { user, system } = process.cpuUsage(started);
  assert.ok(user + system < 5e6, `${(user + system) / 1e6} s`);
});

test.run();
