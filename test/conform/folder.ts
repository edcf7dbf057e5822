import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDevice } from '../../src/node/device/device.js';
import { runCase, worst } from './cases.js';

const [folder, ...rest] = process.argv.slice(2);
if (!folder || rest.length > 0) {
  console.error('usage: npm run conform -- DIR    (a folder of reference cases, one .safetensors each)');
  process.exit(2);
}

const files = readdirSync(folder).sort();
const device = await openDevice();
console.log(`on ${device.name}`);
let passed = 0;
let failed = 0;
for (const file of files) {
  // a NAME.state and its NAME.cases are one case
  if (file.endsWith('.state.safetensors') && files.includes(file.replace('.state.', '.cases.'))) continue;
  try {
    if (!file.endsWith('.safetensors')) throw new Error('expected a .safetensors file');
    const open = (name: string) => readFileSync(join(folder, name));
    const checks = await runCase(device, file, open(file), open);
    const { what, error, tolerance } = worst(checks);
    const off = checks.filter((check) => !(check.error <= check.tolerance));
    const ok = checks.length > 0 && off.length === 0;
    console.log(
      `${ok ? 'ok  ' : 'FAIL'} ${file}  ${what} ${error.toExponential(1)} of ${tolerance} (${checks.length} checks)`,
    );
    for (const check of off.slice(0, 5))
      console.log(`     ${check.what} ${check.error.toExponential(1)} of ${check.tolerance}`);
    if (ok) passed++;
    else failed++;
  } catch (error) {
    console.log(`FAIL ${file}  ${error instanceof Error ? error.message : error}`);
    failed++;
  }
}
if (files.length === 0) {
  console.error(`${folder} holds no cases`);
  failed++;
}
device.dispose();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
