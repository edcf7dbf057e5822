// The runner of the tests itself: what it takes, what it refuses, and which tests a pattern leaves.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inFolder } from '../outside.js';

function runner(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['test/run.mjs', ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('--help has the usage', () => {
  const { status, stdout } = runner('--help');
  assert.is(status, 0);
  for (const part of ['-t NAME', '--watch', 'SLIMGRAD_SEED', 'N passed, N failed'])
    assert.ok(stdout.includes(part), part);
});

test('an unknown name or flag is refused, with the nearest name, before anything is built', () => {
  for (const [args, message] of [
    [['ops/ad'], /^no test of the name 'ops\/ad': did you mean 'ops\/add'\?/],
    [['test/op'], /did you mean 'ops'\?/],
    [['ops/add', 'ops/check.ts'], /^no test of the name 'ops\/check.ts'/],
    [['check'], /^no test of the name 'check'/],
    [['--wach'], /Unknown option '--wach'/],
    [['ops/add', '-t', ''], /^-t: expected part of a name/],
  ] as const) {
    const { status, stdout, stderr } = runner(...args);
    assert.equal([status, stdout], [2, '']);
    assert.match(stderr, message);
  }
});

/** What a file of two tests prints that every one of these patterns leaves. */
async function left(patterns: readonly string[], share = '1/0'): Promise<string> {
  let out = '';
  await inFolder(async (folder) => {
    const file = join(folder, 'two.mjs');
    const uvu = JSON.stringify(resolve('test/runner/uvu.mjs'));
    writeFileSync(
      file,
      `import { test } from ${uvu};
test.before(() => console.log('opened'));
test('half (of it)', () => console.log('first ran'));
test('all 3', () => console.log('second ran'));
test.run();`,
    );
    const env = { ...process.env, SLIMGRAD_TEST_NAMES: JSON.stringify(patterns), SLIMGRAD_TEST_SHARE: share };
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', env });
    assert.is(status, 0, stderr);
    out = stdout;
  });
  return out;
}

test('a pattern is part of a name, or a regular expression, and of several all must match', async () => {
  for (const [patterns, count, opened] of [
    [[], 2, true],
    [['half (of'], 1, true],
    [['ALL \\d$'], 1, true],
    [['l', 'half'], 1, true],
    [['half', 'all 3'], 0, false],
    [['(nowhere'], 0, false],
  ] as const) {
    const out = await left(patterns);
    assert.match(out, new RegExp(`Total: +${count}\\n`), patterns.join());
    assert.is(out.split(' ran').length - 1, count, patterns.join());
    assert.is(out.includes('opened'), opened, patterns.join());
  }
});

test('a share is every so many tests, and never none', async () => {
  const parts = await Promise.all([0, 1, 2].map((from) => left([], `3/${from}`)));
  for (const out of parts) assert.match(out, /Total: +1\n/);
  assert.equal(
    parts.map((out) => /(\w+) ran/.exec(out)?.[1]),
    ['first', 'second', 'first'],
  );
  assert.match(await left(['all 3'], '3/1'), 'second ran');
});

test.run();
