// What tests get as 'uvu' (by build.mjs): uvu itself, less the tests that the runner's patterns, or its share of them, leave out. A
// file that is left without any test opens no device: its hooks do not run either.
import * as uvu from 'uvu';

// The report of coverage is on what test files reach themselves: what they start would record a lot for nothing.
delete process.env.NODE_V8_COVERAGE;

/** Each is part of the name of every test that runs, or a regular expression that matches it. */
const patterns = JSON.parse(process.env.SLIMGRAD_TEST_NAMES ?? '[]');

/** '3/1': of every three tests the second; the runner chooses. */
const [every, from] = (process.env.SLIMGRAD_TEST_SHARE ?? '1/0').split('/').map(Number);

function matches(name, pattern) {
  if (name.includes(pattern)) return true;
  try {
    return new RegExp(pattern, 'i').test(name);
  } catch {
    return false; // not a regular expression, though it may be part of another test's name
  }
}

function filtered(own) {
  const kept = [];
  const add = (register) => (name, handler) => {
    if (patterns.every((pattern) => matches(name, pattern))) kept.push(() => register(name, handler));
  };
  const run = () => {
    const parts = Math.min(every, kept.length);
    for (const [i, register] of kept.entries()) if (i % parts === from % parts) register();
    return kept.length > 0 || patterns.length === 0 ? own.run() : console.log('  Total:     0');
  };
  return Object.assign(add(own), own, { only: add(own.only), run });
}

export const suite = (...args) => filtered(uvu.suite(...args));
export const test = filtered(uvu.test);
export const { exec } = uvu;
