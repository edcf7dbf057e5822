import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

/** Bundles the command line as it stands now, beside package.json and node_modules as the installed one is. */
export async function buildCli(): Promise<{ file: string; remove(): void }> {
  const folder = resolve('build', `cli-${process.pid}`);
  await build({
    entryPoints: { cli: 'src/node/cli/main.ts' },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    sourcemap: true,
    logLevel: 'error',
  });
  return { file: join(folder, 'cli.mjs'), remove: () => rmSync(folder, { recursive: true, force: true }) };
}
