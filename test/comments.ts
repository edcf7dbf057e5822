// Kernels as they are shipped: without comments, line by line what the .wgsl file says.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withoutComments } from '../kernels/comments.mjs';
import { reflect } from '../src/kernel/reflect.js';

const files = readdirSync('kernels').filter((file) => file.endsWith('.wgsl'));

test('comments go, of both kinds, and nothing else moves to another line', () => {
  for (const [code, plain] of [
    ['a = b / c; // d', 'a = b / c;'],
    ['a //* b\nc */ d', 'a\nc */ d'],
    ['// a /* b\nc', '\nc'],
    ['a/* b */c', 'a c'],
    ['a /* b\n  // c */ d', 'a\n  d'],
    ['a /* b /* c\n */ d */ e', 'a\n  e'],
    ['a /* //* b */ c */ d', 'a   d'],
    ['  a /* b', '  a'],
    ['a  //', 'a'],
    ['a\n\n\tb\n', 'a\n\n\tb\n'],
  ])
    assert.is(withoutComments(code), plain, code);
});

test('each kernel keeps its lines, all facts that are read of it, and what is replaced at run time', () => {
  assert.ok(files.length > 30, `found ${files.length} kernels`);
  for (const file of files) {
    const code = readFileSync(join('kernels', file), 'utf8');
    const plain = withoutComments(code);
    assert.is(plain.split('\n').length, code.split('\n').length, file);
    assert.not.match(plain, /\/\/|\/\*|\*\//, file);
    plain.split('\n').forEach((line, i) => {
      assert.ok(code.split('\n')[i].startsWith(line), `${file}:${i + 1}: ${line}`);
    });
    assert.equal(reflect(file, plain), reflect(file, code), file);
    const replaced = (text: string) => text.match(/^(alias \w+ = \w+;|const \w+: \w+ = [^;]+;)/gm);
    assert.equal(replaced(plain), replaced(code), file);
  }
});

test.run();
