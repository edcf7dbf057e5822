// Races of made-up times: a winner has beaten the standard twice.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { benchmark, fastestOf } from '../../src/runtime/benchmark.js';

/** A runner that takes these times: before a play-off and in each of them; the last one goes on. */
type Times = readonly [number, ...number[]];

async function held(all: Readonly<Record<string, Times>>, standard = 'standard') {
  const calls: string[] = [];
  const runners = Object.entries(all).map(([variant, each]) => ({
    variant,
    time: async () => {
      calls.push(variant);
      const turn = Math.max(0, Math.ceil((calls.filter((name) => name === variant).length - 7) / 5));
      return each[Math.min(turn, each.length - 1)];
    },
  }));
  const times = await benchmark(runners, standard);
  return { times: Object.fromEntries(times), winner: fastestOf(times, standard), calls };
}

const playOffs: [string, Record<string, Times>, winner: string, times: Record<string, number>][] = [
  ['the fastest, twice', { standard: [10], b: [8], c: [8.5] }, 'b', { standard: 10, b: 8, c: 8.5 }],
  [
    'the second, where the fastest was so by chance',
    { standard: [10], b: [8, 9.9], c: [8.5] },
    'c',
    { standard: 10, b: 9.9, c: 8.5 },
  ],
  [
    'the standard, where each that seemed faster was so by chance',
    { standard: [10], b: [8, 9.9], c: [8.5, 9.6] },
    'standard',
    { standard: 10, b: 9.9, c: 9.6 },
  ],
  [
    'the standard, where it was slow by chance',
    { standard: [10, 8.2], b: [8], c: [8.5] },
    'standard',
    { standard: 8.2, b: 8, c: 8.5 },
  ],
  [
    'the standard, where it is faster in the second play-off',
    { standard: [10, 10, 8], b: [8, 9.9], c: [8.5] },
    'standard',
    { standard: 8, b: 9.9, c: 8.5 },
  ],
  [
    'the standard, where another is faster by less than five per cent',
    { standard: [10], b: [9.6] },
    'standard',
    { standard: 10, b: 9.6 },
  ],
];
for (const [what, all, winner, times] of playOffs) {
  test(`wins: ${what}`, async () => {
    const found = await held(all);
    assert.is(found.winner, winner);
    assert.equal(found.times, times);
  });
}

test('a play-off is between two, and none is held twice', async () => {
  const { calls } = await held({ standard: [10], b: [8, 9.9], c: [8.5], d: [8.6] });
  const times = (name: string) => calls.filter((call) => call === name).length;
  assert.equal(['standard', 'b', 'c', 'd'].map(times), [17, 12, 12, 7]);
});

test('one that is three times as slow is timed once, and may be the standard', async () => {
  const { winner, calls, times } = await held({ standard: [40], b: [10], c: [31] });
  assert.is(winner, 'b');
  assert.equal(times, { standard: 40, b: 10, c: 31 });
  assert.is(calls.filter((call) => call === 'c').length, 2);
});

test('without the standard the fastest wins, and without runners the standard', async () => {
  assert.is((await held({ b: [8], c: [7] })).winner, 'c');
  assert.is((await held({})).winner, 'standard');
});

test.run();
