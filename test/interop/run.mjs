// Loads encoder files into PyTorch, strictly, and compares features: npm run interop
//
// PYTHON names another interpreter than Debian's; it needs torch and torchvision.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const python = process.env.PYTHON ?? '/usr/bin/python3';
const found = spawnSync(python, ['-c', 'import torch, torchvision'], { encoding: 'utf8' });
if (found.status !== 0) {
  const why = found.error?.message ?? found.stderr.trim().split('\n').at(-1);
  console.error(`interop: ${python} has no torch and torchvision (${why}).`);
  console.error(
    'On Debian: apt install python3-torch python3-torchvision. Or set PYTHON to an interpreter that has them.',
  );
  process.exit(1);
}

execFileSync(process.execPath, ['build.mjs', 'test', 'interop/write'], { stdio: 'inherit' });
const folder = mkdtempSync(join(tmpdir(), 'slimgrad-interop-'));
const failed = [];
try {
  execFileSync(process.execPath, ['--enable-source-maps', 'build/test/interop/write.mjs', folder], { stdio: 'pipe' });
  const files = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));
  for (const file of files.sort((a, b) => parseInt(a, 10) - parseInt(b, 10))) {
    const paths = [join(folder, file), join(folder, file.replace('safetensors', 'check'))];
    if (spawnSync(python, ['docs/pytorch.py', ...paths], { stdio: 'inherit' }).status !== 0) failed.push(file);
  }
  console.log(`${files.length - failed.length} passed, ${failed.length} failed`);
  if (files.length === 0) failed.push('all');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed.length > 0 ? 1 : 0;
