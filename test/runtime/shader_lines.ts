// The code that the runtime compiles: a kernel's file with some declarations replaced, line by line.
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { reflect } from '../../src/custom_kernel/reflect.js';
import { specialize } from '../../src/runtime/kernel.js';

test('`enable f16` stands in line 1, so that messages of the compiler name the lines of the file', () => {
  const files = readdirSync('kernels').filter((file) => file.endsWith('.wgsl'));
  let changed = 0;
  for (const file of files) {
    const code = readFileSync(`kernels/${file}`, 'utf8');
    const kernel = { stem: file, code, ...reflect(file, code) };
    assert.is(specialize(kernel, { consts: {}, half: false }), code, file);
    const lines = code.split('\n');
    const half = specialize(kernel, { consts: {}, half: true }).split('\n');
    assert.is(half.length, lines.length, file);
    assert.is(half[0], `enable f16; ${lines[0]}`, file);
    for (let i = 1; i < lines.length; i++) {
      if (/^alias Stored4? = /.test(lines[i])) changed++;
      else assert.is(half[i], lines[i], `${file}:${i + 1}`);
    }
  }
  assert.ok(changed > 10, `${changed} aliases`);
});

test.run();
