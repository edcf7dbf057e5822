// Builds the experiments and runs them: node experiments/run.mjs --help
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
execFileSync(process.execPath, ['build.mjs', 'experiments', 'main'], { cwd: root, stdio: 'inherit' });
await import('../build/experiments/main.mjs');
