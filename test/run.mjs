// Builds the tests and runs each file in a process of its own, GPU tests once for every adapter at hand.
//
//   node test/run.mjs            all tests
//   node test/run.mjs ops/add …  only these
//
// SLIMGRAD_ADAPTER=swiftshader|lavapipe keeps to one adapter. Ends with "N passed, N failed".
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const timeLimit = 300_000;
const driverFolder = '/usr/share/vulkan/icd.d';

const names = process.argv.slice(2);
if (names.length === 0) execFileSync(process.execPath, ['build.mjs'], { stdio: 'inherit' });
execFileSync(process.execPath, ['build.mjs', 'test', ...names], { stdio: 'inherit' });
const built =
  names.length > 0
    ? names
    : readdirSync('build/test', { recursive: true })
        .filter((file) => file.endsWith('.mjs'))
        .map((file) => file.replace(/\.mjs$/, ''));
const files = built
  .map((name) => join('build/test', `${name}.mjs`))
  .filter((file) => /\btest\d*\.run\(\)/.test(readFileSync(file, 'utf8')));

/** Whether Dawn accepts this machine's lavapipe: Debian 12's own is too old for it. */
function hasLavapipe() {
  const manifest = existsSync(driverFolder) && readdirSync(driverFolder).find((file) => /^lvp_icd.*\.json$/.test(file));
  if (!manifest) return false;
  const ask =
    "import { create } from 'webgpu'; const gpu = create([]); process.exit((await gpu.requestAdapter()) ? 0 : 1)";
  const env = { ...process.env, VK_DRIVER_FILES: join(driverFolder, manifest) };
  return spawnSync(process.execPath, ['--input-type=module', '-e', ask], { env }).status === 0;
}

const adapters = process.env.SLIMGRAD_ADAPTER
  ? [process.env.SLIMGRAD_ADAPTER]
  : ['swiftshader', ...(hasLavapipe() ? ['lavapipe'] : [])];

const jobs = files.flatMap((file) => {
  const needsAdapter = readFileSync(file, 'utf8').includes('openTestDevice');
  return (needsAdapter ? adapters : ['']).map((adapter) => ({ file, adapter }));
});

function run({ file, adapter }) {
  return new Promise((resolve) => {
    const started = Date.now();
    const env = { ...process.env, ...(adapter && { SLIMGRAD_ADAPTER: adapter }) };
    const child = spawn(process.execPath, ['--enable-source-maps', file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    child.stderr.on('data', (data) => {
      output += data;
    });
    const watchdog = setTimeout(() => {
      output += `\nstopped after ${timeLimit / 1000} s`;
      child.kill('SIGKILL');
    }, timeLimit);
    child.on('close', (code, signal) => {
      clearTimeout(watchdog);
      const count = (word) => Number(output.match(new RegExp(`${word}:\\s+(\\d+)`))?.[1] ?? 0);
      const passed = count('Passed');
      // a crash, a time-out or a file without tests counts as one failure
      const failed = Math.max(count('Total') - passed, code === 0 && passed > 0 ? 0 : 1);
      const name = join(file.replace('build/test/', '').replace(/\.mjs$/, ''));
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      console.log(`${failed > 0 ? 'FAIL' : 'ok  '} ${name} ${adapter && `(${adapter}) `}${passed} passed ${seconds} s`);
      resolve({ passed, failed, output: `${output}\nexit ${code ?? signal}` });
    });
  });
}

const queue = jobs.toReversed();
const totals = { passed: 0, failed: 0 };
const failures = [];
async function worker() {
  for (let job = queue.pop(); job; job = queue.pop()) {
    const { passed, failed, output } = await run(job);
    totals.passed += passed;
    totals.failed += failed;
    if (failed > 0) failures.push(`\nFAIL ${job.file} ${job.adapter}\n${output}`);
  }
}
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, worker));
if (jobs.length === 0) totals.failed++;
// told at the end, where a reader of a long log looks first
for (const failure of failures) console.log(failure);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 ? 1 : 0;
