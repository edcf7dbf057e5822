// The README's program of a slice, run as it stands by Bun and Deno, which npm brings for as long as it takes; by Deno also on its own
// WebGPU.
//
//   node build/test/interop/runtimes.mjs
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { mustRun, pack } from '../packed.js';
import { blocksOf } from '../programs.js';

const source = blocksOf('README.md', 'ts').find((code) => code.includes('host.slice('));
const printed = /\/\/ (\d+ \d+)$/m.exec(source ?? '')?.[1];
assert.ok(source && printed, 'README.md has a program of a slice, with what it prints');

const project = mkdtempSync(join(tmpdir(), 'slimgrad-runtimes-'));
try {
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  writeFileSync(join(project, 'slice.ts'), source);
  writeFileSync(join(project, 'own_gpu.ts'), source.replace("'slimgrad/node'", "'slimgrad'"));
  await mustRun('npm', ['i', '--prefer-offline', '--no-audit', '--no-fund', await pack(project)], project);
  const npx = (...args: string[]) => mustRun('npx', ['--yes', ...args], project);
  const [bun, deno] = [await npx('bun@1', '--version'), await npx('deno@2', '--version')];
  for (const [name, ...args] of [
    [`Bun ${bun.trim()}`, 'bun@1', 'slice.ts'],
    [deno.split('\n')[0], 'deno@2', 'run', '-A', 'slice.ts'],
    [`${deno.split('\n')[0]}, its own WebGPU`, 'deno@2', 'run', '-A', 'own_gpu.ts'],
  ]) {
    assert.is((await npx(...args)).trim(), printed, name);
    console.log(`${name}: ${printed}`);
  }
} finally {
  rmSync(project, { recursive: true, force: true });
}
