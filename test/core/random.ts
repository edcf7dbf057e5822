import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { draws, multiplyHigh, permutation, philox, stream, unit, type Words } from '../../src/core/random.js';

const seed = Math.floor(Math.random() * 2 ** 32);
const hex = (words: Words) => words.map((w) => w.toString(16).padStart(8, '0')).join(' ');

// Known answers that the authors publish with their implementation (Random123, kat_vectors, philox4x32 10).
test('the published known answers', () => {
  const f = 0xffffffff;
  assert.is(hex(philox([0, 0, 0, 0], [0, 0])), '6627e8d5 e169c58d bc57ac4c 9b00dbd8');
  assert.is(hex(philox([f, f, f, f], [f, f])), '408f276d 41c83b0e a20bc7c6 6d5451fd');
  const pi = philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]);
  assert.is(hex(pi), 'd16cfe09 94fdcceb 5001e420 24126ea1');
});

test('multiplyHigh is exact', () => {
  const samples = [0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];
  for (let i = 0; i < 1000; i++) samples.push(philox([seed, i, 0, 0], [0, 0])[0]);
  for (const [i, a] of samples.entries()) {
    const b = samples[(i * 7 + 3) % samples.length];
    assert.is(multiplyHigh(a, b), Number((BigInt(a) * BigInt(b)) >> 32n), `${a} * ${b}`);
    assert.is(multiplyHigh(a, a), Number((BigInt(a) * BigInt(a)) >> 32n), `${a} squared`);
  }
});

test('units are in [0, 1), exact in f32, and uniform', () => {
  assert.is(unit(0), 0);
  assert.ok(unit(0xffffffff) < 1);
  assert.is(Math.fround(unit(0xffffffff)), unit(0xffffffff));
  const n = 40000;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < n / 4; i++) {
    for (const word of philox([seed, i, 1, 1], [0, 0])) {
      sum += unit(word);
      squares += unit(word) ** 2;
    }
  }
  assert.ok(Math.abs(sum / n - 1 / 2) < 5 * Math.sqrt(1 / 12 / n), `mean ${sum / n}, seed ${seed}`);
  assert.ok(Math.abs(squares / n - 1 / 3) < 5 * Math.sqrt(4 / 45 / n), `second moment ${squares / n}, seed ${seed}`);
});

test('a permutation holds every item once, repeats for its key and differs for another', () => {
  for (const length of [0, 1, 2, 3, 4, 5, 1906]) {
    const order = permutation(length, seed, 3);
    assert.equal(
      [...order].sort((a, b) => a - b),
      [...Array(length).keys()],
      `length ${length}, seed ${seed}`,
    );
    assert.equal(order, permutation(length, seed, 3));
  }
  const order = permutation(1906, seed, 3).join();
  assert.is.not(order, permutation(1906, seed, 4).join());
  assert.is.not(order, permutation(1906, seed ^ 1, 3).join());
  assert.is.not(order, permutation(1906, seed, 3, stream.split).join());
});

test('draws follow from seed and use, four a block', () => {
  const next = draws(seed, stream.init);
  const words = [0, 1].flatMap((block) => [...philox([seed, block, 0, 0], [0, stream.init])]);
  assert.equal(Array.from({ length: 8 }, next), words.map(unit));
  assert.is.not(draws(seed, stream.head)(), draws(seed, stream.init)());
});

test('every order of four items is equally likely', () => {
  const n = 24000;
  const counts = new Map<string, number>();
  for (let i = 0; i < n; i++) {
    const key = permutation(4, seed, i).join('');
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.is(counts.size, 24);
  const chi2 = [...counts.values()].reduce((sum, count) => sum + (count - n / 24) ** 2 / (n / 24), 0);
  assert.ok(chi2 < 23 + 8 * Math.sqrt(46), `chi-square ${chi2} of 23 degrees, seed ${seed}`);
});

test.run();
