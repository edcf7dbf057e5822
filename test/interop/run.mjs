// Other programs: npm run interop
//
// Loads encoder files into PyTorch, strictly, and compares features; has Pillow and numpy prepare images by the guide's code; runs a
// program in Bun and Deno, which npx fetches from npm. Fails where any of these is missing.
//
// PYTHON names another interpreter than Debian's; it needs torch, torchvision, numpy and Pillow.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const python = process.env.PYTHON ?? '/usr/bin/python3';
const found = spawnSync(python, ['-c', 'import torch, torchvision, numpy, PIL'], { encoding: 'utf8' });
if (found.status !== 0) {
  const why = found.error?.message ?? found.stderr.trim().split('\n').at(-1);
  console.error(`interop: ${python} has no torch, torchvision, numpy and Pillow (${why}).`);
  console.error(
    'On Debian: apt install python3-torch python3-torchvision python3-numpy python3-pil. Or set PYTHON to an interpreter that has them.',
  );
  process.exit(1);
}

const node = (...args) => spawnSync(process.execPath, args, { stdio: 'inherit' }).status;
const programs = ['write', 'preprocessing', 'runtimes'].map((name) => `interop/${name}`);
execFileSync(process.execPath, ['build.mjs', 'test', ...programs], { stdio: 'inherit' });
const folder = mkdtempSync(join(tmpdir(), 'slimgrad-interop-'));
const failed = [];
try {
  execFileSync(process.execPath, ['--enable-source-maps', 'build/test/interop/write.mjs', folder], { stdio: 'pipe' });
  const files = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));
  for (const file of files.sort((a, b) => parseInt(a, 10) - parseInt(b, 10))) {
    const paths = [join(folder, file), join(folder, file.replace('safetensors', 'check'))];
    if (spawnSync(python, ['docs/pytorch.py', ...paths], { stdio: 'inherit' }).status !== 0) failed.push(file);
  }
  if (files.length === 0) failed.push('all');
  const others = ['preprocessing', 'runtimes'];
  for (const name of others)
    if (node('--enable-source-maps', `build/test/interop/${name}.mjs`, python) !== 0) failed.push(name);
  console.log(`${files.length + others.length - failed.length} passed, ${failed.length} failed`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed.length > 0 ? 1 : 0;
