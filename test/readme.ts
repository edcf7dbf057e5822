// The README's examples, run as they stand: commands first, for a few steps, then the programs that use what they wrote.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blocksOf, Playground } from './programs.js';

const commands = blocksOf('README.md', 'sh').flatMap((text) =>
  text.split('\n').filter((line) => line.startsWith('npx slimgrad ')),
);
const programs = blocksOf('README.md', 'ts');

const playground = new Playground();
test.before(() => playground.open());
test.after(() => playground.close());

test('the README has commands and programs', () => {
  assert.ok(
    commands.length >= 2 && programs.length >= 3,
    `found ${commands.length} commands, ${programs.length} programs`,
  );
});

for (const line of commands)
  test(line, async () => {
    const quick = line.replace(/--epochs \d+/, '--steps 2 --batch 8 --width 0.25 --projector 16');
    await playground.command(...quick.split(/\s+/).slice(2));
  });

programs.forEach((program, i) => {
  test(`program ${i + 1}: ${program.match(/console\.log\((.*)\)/)?.[1]}`, () => playground.program(String(i), program));
});

test.run();
