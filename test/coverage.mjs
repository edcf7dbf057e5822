// Runs the tests (arguments as for test/run.mjs) and reports which lines of src they reach, mapped back from the bundles.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CoverageReport } from 'monocart-coverage-reports';

const raw = 'coverage/raw';
rmSync('coverage', { recursive: true, force: true });
const { status } = spawnSync(process.execPath, ['test/run.mjs', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, NODE_V8_COVERAGE: raw },
});

for (const file of readdirSync(raw)) if (!isWhole(join(raw, file))) rmSync(join(raw, file));

const report = new CoverageReport({
  name: 'slimgrad',
  outputDir: 'coverage',
  logging: 'error',
  reports: ['v8', 'console-summary'],
  entryFilter: ({ url }) => url.includes('/build/test/'),
  sourceFilter: (path) => /(^|\/)src\//.test(path) && !path.includes('/generated/'),
});
await report.addFromDir(raw);
const { summary } = await report.generate();
rmSync(raw, { recursive: true, force: true });
if (!(summary.lines.total > 1000)) throw new Error('coverage: the sources were not found in what the tests ran');
process.exitCode = status ?? 1;

/** Whether a process lived to finish its record; tests kill some on purpose. */
function isWhole(file) {
  try {
    JSON.parse(readFileSync(file, 'utf8'));
    return true;
  } catch {
    return false;
  }
}
