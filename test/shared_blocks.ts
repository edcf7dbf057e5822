// Text that several kernels have in common: kernels/shared/NAME.wgsl, and its copies in the kernels.
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { sharedBlocks, sharedIn, withShared } from '../kernels/shared.mjs';

const blocks = sharedBlocks();
const kernels = readdirSync('kernels')
  .filter((file) => file.endsWith('.wgsl'))
  .map((file) => ({ file: `kernels/${file}`, text: readFileSync(`kernels/${file}`, 'utf8') }));

test('every copy is equal to the shared text', () => {
  assert.ok(kernels.length > 30 && blocks.size > 20, `found ${kernels.length} kernels and ${blocks.size} blocks`);
  for (const { file, text } of kernels)
    assert.is(
      withShared(file, text, blocks),
      text,
      `${file} differs from kernels/shared: run \`node build.mjs kernels\``,
    );
});

test('a shared block is used by two kernels at least, once in each', () => {
  const uses = new Map([...blocks.keys()].map((name) => [name, 0]));
  for (const { file, text } of kernels) {
    const names = sharedIn(text);
    assert.is(new Set(names).size, names.length, `${file} has a shared block twice`);
    for (const name of names) uses.set(name, (uses.get(name) ?? 0) + 1);
  }
  assert.equal(
    [...uses].filter(([, count]) => count < 2),
    [],
    'blocks that fewer than two kernels use',
  );
});

const some = new Map([
  ['a', 'fn a() {}\n\nfn b() {}'],
  ['c', 'fn c() {}'],
]);
const expand = (...lines: string[]) => withShared('x.wgsl', lines.join('\n'), some);

test('copies are rewritten where they are, and nothing else', () => {
  const lines = [
    'one',
    '// <shared a>',
    'fn a() {}',
    '',
    'fn b() {}',
    '// </shared>',
    '',
    '// <shared c>',
    'fn c() {}',
    '// </shared>',
  ];
  assert.is(expand(...lines, 'two'), [...lines, 'two'].join('\n'));
  assert.is(
    expand('one', '// <shared a>', 'fn old() {}', '// </shared>', '', '// <shared c>', '// </shared>', 'two'),
    [...lines, 'two'].join('\n'),
  );
  assert.equal(sharedIn(lines.join('\n')), ['a', 'c']);
});

test('unknown and unclosed blocks are refused by name', () => {
  assert.throws(() => expand('// <shared none>', '// </shared>'), /^x\.wgsl: there is no kernels\/shared\/none\.wgsl/);
  assert.throws(() => expand('// <shared a>', 'fn a() {}'), /^x\.wgsl: shared block a is not closed$/);
  assert.throws(
    () => expand('// <shared a>', '// <shared c>', '// </shared>'),
    /shared block a is not closed before c/,
  );
  assert.throws(() => expand('fn a() {}', '// </shared>'), /closes no shared block/);
});

test.run();
