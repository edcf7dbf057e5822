// The code that the runtime compiles: a kernel's file with some declarations replaced, line by line.
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { reflect } from '../../src/custom_kernel/reflect.js';
import { type Kernel, PipelineCache } from '../../src/runtime/kernel.js';

/** The code that a kernel is compiled from, by a device that records it. */
async function compiled(kernel: Kernel, half: boolean): Promise<string> {
  const codes: string[] = [];
  const gpu = {
    pushErrorScope() {},
    popErrorScope: async () => null,
    createShaderModule({ code }: { code: string }) {
      codes.push(code);
      return {};
    },
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createComputePipelineAsync: async () => ({}),
  } as unknown as GPUDevice;
  await new PipelineCache(gpu).get(kernel, Object.keys(kernel.entries)[0], { consts: {}, half });
  assert.is(codes.length, 1);
  return codes[0];
}

test('`enable f16` stands in line 1, so that messages of the compiler name the lines of the file', async () => {
  const files = readdirSync('kernels').filter((file) => file.endsWith('.wgsl'));
  let changed = 0;
  for (const file of files) {
    const text = readFileSync(`kernels/${file}`, 'utf8');
    const kernel = { stem: file, code: text, ...reflect(file, text) };
    assert.is(await compiled(kernel, false), text, file);
    const lines = text.split('\n');
    const half = (await compiled(kernel, true)).split('\n');
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
