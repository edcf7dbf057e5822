// What `kernel` reads out of WGSL, and what it refuses, by the kernel's name and the line.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigError, ValidationError } from '../../src/errors.js';
import { kernel } from '../../src/kernel.js';
import { rejects } from '../rejects.js';

const body = '@compute @workgroup_size(64)\nfn main() { y[0] = x[0]; }';
const x = '@group(0) @binding(1) var<storage, read> x: array<f32>;';
const y = '@group(0) @binding(2) var<storage, read_write> y: array<f32>;';

test('layouts, buffers, constants and entry points are read as they are declared', () => {
  const code = `
    // const COMMENTED: u32 = 1;
    /* const NESTED: u32 = 1; /* } */ const NESTED: u32 = 2; */
    const THREADS: u32 = 64u; const SLOPE : f32
      = -1.5e-1; const ON: bool = true; const MASK: i32 = 0x1f;
    const TWICE: u32 = THREADS * 2u;
    alias Stored4 = vec4<f32>;
    alias Strided = i32;
    struct Step { step: u32, seed: u32, lr: f32 }
    struct Pair { a: f32, b: vec3f }
    struct Mixed { a: f32, b: u32 }
    struct Params { n: u32, @align(16) shift: i32, factor: f32 }
    @group(0) @binding(0) var<uniform> params : Params ;
    @group(0) @binding(1) var<uniform> step: Step;
    @group(0) @binding(2) var<storage, read> a: array<Stored4>;
    @group(0) @binding(3) var<storage> b: array<Strided>;
    @group(0) @binding(4)
    var<storage, read_write> counts: array<atomic<u32>>;
    @group(0) @binding(5) var<storage, read_write> pairs: array<Pair>;
    @group(0) @binding(6) var<storage, read_write> mixed: array<Mixed>;
    @group(0) @binding(7) var<storage, read> m: array<mat2x2<f32>>;
    fn helper() -> i32 { const LOCAL: u32 = 3u; return b[LOCAL] + params.shift; }
    @compute @workgroup_size(THREADS) fn first() { let v = helper(); let w = a[0]; }
    @compute @workgroup_size(THREADS) fn second() {
      atomicAdd(&counts[0], step.step); pairs[0].a = 1.0; mixed[0].b = 2u; let v = m[0];
    }`;
  const { stem, consts, params, step, buffers, entries } = kernel(code as string, { name: 'mine' });
  assert.is(stem, 'mine');
  assert.equal(consts, {
    THREADS: { type: 'u32', value: 64 },
    SLOPE: { type: 'f32', value: -0.15 },
    ON: { type: 'bool', value: true },
    MASK: { type: 'i32', value: 31 },
  });
  assert.equal(params, { size: 32, fields: { n: ['u32', 0], shift: ['i32', 16], factor: ['f32', 20] } });
  assert.equal(step, { size: 16, fields: { step: ['u32', 0], seed: ['u32', 4], lr: ['f32', 8] } });
  const read = 'read-only-storage';
  assert.equal(buffers, {
    params: { binding: 0, type: 'uniform' },
    step: { binding: 1, type: 'uniform' },
    a: { binding: 2, type: read, elements: 'f32', stored: true },
    b: { binding: 3, type: read, elements: 'i32', strided: true },
    counts: { binding: 4, type: 'storage', elements: 'u32' },
    pairs: { binding: 5, type: 'storage', elements: 'f32' },
    mixed: { binding: 6, type: 'storage' },
    m: { binding: 7, type: read, elements: 'f32' },
  });
  assert.equal(entries, { first: ['params', 'a', 'b'], second: ['step', 'counts', 'pairs', 'mixed', 'm'] });
});

test('an entry point binds what it and its functions say, wherever they say it', () => {
  const places = [
    'y[0] = x[0];',
    'switch u32(x[0]) { default: { y[0] = 1.0; } }',
    'loop { y[0] = 1.0; break if x[0] > 1.0; }',
    'var s: S; y[0] = s.b[u32(x[0])];',
    'var s: S; s.b[u32(x[0])] = 1.0; y[0] = s.b[0];',
    'y[0] = outer();',
  ];
  for (const place of places) {
    const code = `struct S { b: array<f32, 4> }\n${x}\n${y}
      fn inner() -> f32 { var s: S; return s.b[u32(x[0])]; }
      fn outer() -> f32 { return inner(); }
      @compute @workgroup_size(1) fn main() { ${place} }
      @compute @workgroup_size(1) fn alone() { let v = vec2f(); let x = v.x; var s: S; y[0] = s.b[u32(x)]; }`;
    const { main, alone } = kernel(code as string).entries;
    assert.equal(main, ['x', 'y'], place);
    assert.equal(alone, ['y']);
  }
});

const nine = Array.from({ length: 9 }, (_, i) => `@group(0) @binding(${i}) var<storage, read> x${i}: array<f32>;`);

const refused: Record<string, [code: string, message: RegExp]> = {
  'code that does not parse': [`${x}\nfn f( {`, /, line 2: does not parse: Expected argument name/],
  'a character that is none of WGSL’s': ['#', /, line 1: does not parse: Invalid syntax$/],
  'two bindings of one number': [
    `${x}\n${y.replace('binding(2)', 'binding(1)')}\n${body}`,
    /, line 2: x and y are both @binding\(1\); give each/,
  ],
  'a group other than 0': [`${x}\n\n${y.replace('group(0)', 'group(1)')}\n${body}`, /, line 3: .* y, got @group\(1\)$/],
  'a field that is no scalar': [
    `struct P {\n  n: u32,\n  v: vec2f,\n}\n@group(0) @binding(0) var<uniform> params: P;\n${x}\n${y}\n${body}`,
    /, line 3: expected u32, i32 or f32 for params\.v, got vec2f; /,
  ],
  'params that are no struct': [
    `@group(0) @binding(0) var<uniform> params: u32;\n${x}\n${y}\n${body}`,
    /, line 1: expected a struct for params, got u32$/,
  ],
  'a uniform of another name': [
    `struct P { n: u32 }\n@group(0) @binding(0) var<uniform> sizes: P;\n${x}\n${y}\n${body}`,
    /, line 2: expected a uniform to be called params or step, got sizes; /,
  ],
  'params in storage': [
    `${x}\n@group(0) @binding(0) var<storage, read> params: array<f32>;\n${y}\n${body}`,
    /, line 2: expected a uniform for params, got a storage buffer$/,
  ],
  'a step with its scalars in another order': [
    `struct S { seed: u32, step: u32 }\n@group(0) @binding(0) var<uniform> step: S;\n${x}\n${y}\n${body}`,
    /, line 2: expected step to begin with the fields step: u32, seed: u32, lr: f32, .* declare them in this order$/,
  ],
  'a step of another type': [
    `struct S { step: f32 }\n@group(0) @binding(0) var<uniform> step: S;\n${x}\n${y}\n${body}`,
    /, line 2: expected step to begin/,
  ],
  'no entry point': [`${x}\nfn f() {}`, /^kernel "bad": has no entry point; declare one by @compute/],
  'an entry point that binds nine': [
    `${nine.join('\n')}\n@compute @workgroup_size(1) fn main() { let s = ${nine.map((_, i) => `x${i}[0]`).join(' + ')}; }`,
    /, line 10: expected main to bind at most 8 storage buffers, .*, got 9; split/,
  ],
  'a texture': [
    `${x}\n${y}\n@group(0) @binding(3) var image: texture_2d<f32>;\n${body}`,
    /, line 3: expected uniforms and storage buffers, got image, a texture or sampler; /,
  ],
  'a storage texture': [
    `@group(0) @binding(3) var image: texture_storage_2d<rgba8unorm, write>;\n${x}\n${y}\n${body}`,
    /, line 1: .*, got image, a texture or sampler; /,
  ],
  'a sampler': [
    `${x}\n${y}\n@group(0) @binding(3) var s: sampler;\n${body}`,
    /, line 3: .*, got s, a texture or sampler/,
  ],
  'an override': [
    `${x}\n${y}\noverride N: u32 = 3;\n${body}`,
    /, line 3: .* override N; declare const N: TYPE = VALUE/,
  ],
  'an index list without its constant': [
    `alias Kept = u32;\n${x}\n@group(0) @binding(3) var<storage, read> kept: array<Kept>;\n${y}\n${body}`,
    /, line 3: expected const KEPT: bool = false; for the index list kept/,
  ],
  'an index list that is written': [
    `alias Kept = u32;\nconst KEPT: bool = false;\n@group(0) @binding(3) var<storage, read_write> kept: array<Kept>;\n${x}\n${y}\n${body}`,
    /, line 3: expected var<storage, read> for kept, an index list, got read_write$/,
  ],
  'a known alias of another type': [
    `${x}\nalias Stored = vec2f;\n${y}\n${body}`,
    /, line 2: .* Stored = f32;, got vec2f; /,
  ],
  'an alias within another type': [
    `alias Stored = f32;\n${x.replace('f32', 'vec2<Stored>')}\n${y}\n${body}`,
    /, line 2: expected array<Stored> for x, got array<vec2<Stored>>$/,
  ],
  'activations in a struct': [
    `alias Stored = f32;\nstruct A { a: Stored }\n${x.replace('f32', 'A')}\n${y}\n${body}`,
    /, line 3: expected x as an array<Stored>, got a struct A that holds Stored/,
  ],
  'elements of f16': [
    `enable f16;\n${x.replace('f32', 'vec4<f16>')}\n${y}\n${body}`,
    /, line 2: expected f32, i32 or u32 for the elements of x, got f16; declare f16 as array<Stored>$/,
  ],
};

for (const [what, [code, message]] of Object.entries(refused))
  test(`refused: ${what}`, async () => {
    await rejects(() => kernel(code, { name: 'bad' }), ValidationError, message);
    await rejects(() => kernel(code, { name: 'bad' }), ValidationError, /^kernel "bad"/);
  });

test('a name or code of another kind is refused', async () => {
  await rejects(() => kernel(body, { name: 'a b' }), ConfigError, /^kernel: expected a name of letters.*, got "a b"$/);
  await rejects(() => kernel(7 as unknown as string), ConfigError, /^kernel: expected WGSL as a string, got number$/);
});

test.run();
