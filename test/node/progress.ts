import { stripVTControlCharacters } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openPrelude, openProgress } from '../../src/node/run/progress.js';
import { duration, figure } from '../../src/node/system/figures.js';

const metrics = (step: number) => ({
  step,
  epoch: Math.floor((step - 1) / 11),
  lr: 0.0025,
  loss: 106.2,
  sacl: 124.4,
  xd: 89.31,
  'onDiagonal.live': 0.28,
  'offDiagonal.live': 1318.2,
});

/** Steps of half a second on a screen that remembers. */
function show(screen: { isTTY?: boolean; columns?: number }, env: Record<string, string>, steps = 60) {
  let text = '';
  let clock = 0;
  const write = (part: string) => {
    text += part;
  };
  const progress = openProgress({ ...screen, write }, { steps, done: 0, batch: 128, now: () => clock, env });
  for (let step = 1; step <= steps; step++) {
    clock += 500;
    progress.step(metrics(step));
    if (step === 30) progress.note('A note.');
  }
  progress.close();
  return text;
}

/** What a terminal shows after `text`: rows, moved in and cleared by the two sequences that are used. */
function terminal(text: string): string[] {
  const rows = [''];
  let at = 0;
  const [plain, ...sequences] = text.split('\x1b[');
  for (const part of [`m${plain}`, ...sequences]) {
    const [, count, kind, characters] = /^([\d;]*)([AJm])([\s\S]*)$/.exec(part) ?? [];
    if (kind === 'A') at -= Number(count);
    if (kind === 'J') rows.splice(at, rows.length, '');
    for (const c of characters) {
      if (c === '\n') at++;
      else if (c !== '\r') rows[at] = (rows[at] ?? '') + c;
      rows[at] ??= '';
    }
  }
  return rows;
}

test('a terminal shows one bar, redrawn, with everything on it in 80 columns', () => {
  const text = show({ isTTY: true, columns: 80 }, {});
  assert.match(text, '\x1b[36m');
  const rows = terminal(text);
  assert.is(rows[0], 'A note.');
  assert.match(rows[1], /^step 60\/60 ━+ 100 % {2}256 images\/s {2}0:00 left$/);
  assert.is(rows[2], 'loss 106   sacl 124   xd 89.3   mean C_ii 0.280   off-diagonal 1318   lr 0.003');
  assert.equal(rows.slice(3), ['']);
  for (const row of rows) assert.ok(row.length < 80, row);
  assert.match(stripVTControlCharacters(text).split('\n')[0], /^step {2}1\/60 ━─+ {3}1 %$/);
  assert.match(stripVTControlCharacters(text), /step 15\/60 ━+─+ {2}25 % {2}256 images\/s {2}0:23 left/);
});

test('a narrow terminal is never overrun', () => {
  for (const columns of [20, 33, 50, 64]) {
    for (const row of terminal(show({ isTTY: true, columns }, {}))) {
      assert.ok(row.length < Math.max(columns, 21), `${columns}: ${row}`);
    }
  }
});

test('NO_COLOR and TERM=dumb are honored', () => {
  assert.not.match(show({ isTTY: true, columns: 80 }, { NO_COLOR: '1' }), '\x1b[36m');
  assert.not.match(show({ isTTY: true, columns: 80 }, { TERM: 'dumb' }), '\x1b');
});

test('elsewhere: plain lines now and then, the first and the last among them', () => {
  const text = show({}, {}, 400);
  assert.not.match(text, '\x1b');
  const lines = text.trim().split('\n');
  assert.match(lines[0], /^step 1\/400 {2}epoch 1 {2}loss 106 {2}sacl 124 {2}xd 89\.3 {2}mean C_ii 0\.280/);
  assert.not.match(lines[0], /images\/s|left|–/); // the first step has nothing to judge the others by
  assert.match(lines[1], /images\/s {2}\d+:\d\d left$/);
  assert.match(lines[lines.length - 1], /^step 400\/400 .*256 images\/s {2}0:00 left$/);
  assert.ok(lines.length >= 8 && lines.length <= 16, `${lines.length} lines in 200 seconds`);
});

test('figures and durations read well', () => {
  const figures = [0, 1.5e-5, 0.0123, 0.95, 1.234, 12.34, 123.4, 12345.6, 1.2e7, -3.21, Number.NaN].map(figure);
  assert.equal(figures, ['0', '1.5e-5', '0.012', '0.950', '1.23', '12.3', '123', '12346', '1.2e+7', '-3.21', '–']);
  const durations = [0, 7.4, 61, 754, 3723, Number.NaN, Number.POSITIVE_INFINITY].map(duration);
  assert.equal(durations, ['0:00', '0:07', '1:01', '12:34', '1:02:03', '–:––', '–:––']);
});

test('before the first step: lines stay, and on a terminal one status line is replaced', () => {
  const said = (isTTY: boolean, env = {}) => {
    let text = '';
    const prelude = openPrelude({ isTTY, columns: 20, write: (part: string) => (text += part) }, env);
    prelude.status('Compiling: 1 of 2');
    prelude.status('Compiling: a line longer than the screen');
    prelude.note('Compiled.');
    prelude.status('');
    prelude.note('Done.');
    return text;
  };
  const erase = '\r\x1b[K';
  assert.is(said(true), `Compiling: 1 of 2${erase}Compiling: a line l${erase}Compiled.\n${erase}Done.\n`);
  for (const plain of [said(false), said(true, { TERM: 'dumb' })]) assert.is(plain, 'Compiled.\nDone.\n');
});

test.run();
