// Builds the bench and runs it: node bench/run.mjs --help
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
execFileSync(process.execPath, ['build.mjs', 'bench', 'main'], { cwd: root, stdio: 'inherit' });
await import('../build/bench/main.mjs');
