// Kernels as they are shipped: without comments and needless spaces, line by line what the .wgsl file says.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { squeezed, withoutComments } from '../kernels/comments.mjs';
import { reflect } from '../src/custom_kernel/reflect.js';

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

test('spaces go where no two tokens would become another', () => {
  for (const [code, plain] of [
    ['  fn f( a : u32 ) -> u32 { return a ; }', 'fn f(a:u32) -> u32{return a;}'],
    ['let y : array<f32, 2> = x;', 'let y:array<f32,2> =x;'],
    ['let y = -x; z = - x; z = & x;', 'let y= -x;z= - x;z= & x;'],
    ['x += a - -b; y = a / *p;', 'x +=a - -b;y=a / *p;'],
    ['y *= a[ i ] * b % c / * d;', 'y*=a[i]*b%c / *d;'],
    ['if (a >= b && c <= d || a == b) { i ++ ; }', 'if(a >=b && c <=d||a==b){i ++ ;}'],
    ['  const A: u32 = 1;', 'const A:u32=1;'], // of a function: no pipeline changes it
    ['const A: u32 = 1; // one', 'const A: u32 = 1;'],
    ['alias Stored = f32;', 'alias Stored = f32;'],
    ['\tx = 1;\n\n', 'x=1;\n\n'],
  ])
    assert.is(squeezed(code), plain, code);
});

/** The code's tokens, one a line: what a compiler takes it for. */
const tokens = (code: string) =>
  withoutComments(code)
    .match(/\w+(?:\.\d*)?|->|&&|\|\||<<=?|>>=?|\+\+|--|[-+*/%&|^=!<>]=|\S/g)
    ?.join('\n');

test('each kernel keeps its lines and tokens, all facts that are read of it, and what is replaced at run time', () => {
  assert.ok(files.length > 30, `found ${files.length} kernels`);
  for (const file of files) {
    const code = readFileSync(join('kernels', file), 'utf8');
    const shipped = squeezed(code);
    assert.is(tokens(shipped), tokens(code), file);
    assert.not.match(shipped, /\/\/|\/\*|\*\/|^ | $/m, file);
    const bare = (text: string) =>
      withoutComments(text)
        .split('\n')
        .map((line) => line.replaceAll(/\s/g, ''));
    assert.equal(bare(shipped), bare(code), file);
    assert.equal(reflect(file, shipped), reflect(file, code), file);
    const replaced = (text: string) => text.match(/^(alias \w+ = \w+;|const \w+: \w+ = [^;]+;)/gm);
    assert.equal(replaced(shipped), replaced(code), file);
  }
});

test.run();
