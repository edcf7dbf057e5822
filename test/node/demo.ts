import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inFolder } from '../outside.js';
import { askHere } from './command.js';

/** The figures behind a name in the printed table, in percent. */
function rowOf(table: string, name: string): number[] {
  const line = table.split('\n').find((line) => line.startsWith(name));
  return [...(line ?? '').matchAll(/([\d.]+) %/g)].map(([, figure]) => Number(figure));
}

test('in a fraction of its steps the demo learns to find copies, host and slim, and shows them first', () =>
  inFolder(async (folder) => {
    const { code, stdout, stderr } = await askHere(folder, ['demo', '--steps', '40', '--out', 'run']);
    assert.is(code, 0, stdout + stderr);
    const [slim, host, untrained, pixels] = [
      'slim encoder, trained',
      'host encoder, trained',
      'slim encoder, untrained',
      'raw pixels',
    ].map((name) => rowOf(stdout, name));
    assert.is(slim.length, 6, stdout);
    for (const edit of [0, 1])
      for (const trained of [slim, host]) {
        assert.ok(trained[edit] > untrained[edit] + 10 && trained[edit] > pixels[edit] / 2, stdout);
      }
    assert.match(stdout, /Others find better: .*color histogram/);
    assert.ok(stdout.endsWith('Report: run/report.html\n'));
    const page = readFileSync(join(folder, 'run/report.html'), 'utf8');
    assert.ok(page.indexOf('Find the original') < page.indexOf('class="tiles"'), 'the grid comes first');
    for (const file of ['slim.safetensors', 'host.safetensors']) assert.ok(existsSync(join(folder, 'run', file)));
  }));

test('what the demo does not know is refused by name', async () => {
  const { code, stderr } = await askHere('.', ['demo', '--task', 'twin']);
  assert.is(code, 2);
  assert.match(stderr, /--task: expected one of copies, twins, got .*twin/);
  const steps = await askHere('.', ['demo', '--steps', '0.5']);
  assert.is(steps.code, 2);
  assert.match(steps.stderr, /--steps/);
});

test.run();
