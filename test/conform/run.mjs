// Runs every reference case of a folder: npm run conform -- DIR
import { execFileSync, spawnSync } from 'node:child_process';

execFileSync(process.execPath, ['build.mjs', 'test', 'conform/folder'], { stdio: 'inherit' });
const { status } = spawnSync(
  process.execPath,
  ['--enable-source-maps', 'build/test/conform/folder.mjs', ...process.argv.slice(2)],
  { stdio: 'inherit' },
);
process.exitCode = status ?? 1;
