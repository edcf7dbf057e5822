import { execFile } from 'node:child_process';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

/** An empty folder of its own for `work`, removed afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'slimgrad-test-')));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Bundles `source` (TypeScript that imports from '#/…', the src folder) into the file `outfile`, packages left out. */
export async function bundleSource(source: string, outfile: string): Promise<void> {
  await build({
    stdin: { contents: source, resolveDir: process.cwd(), loader: 'ts' },
    alias: { '#': join(process.cwd(), 'src') },
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['sharp', 'webgpu'],
    outfile,
    logLevel: 'silent',
  });
}

/**
 * Runs `source`, as `bundleSource` takes it, in a Node process of its own whose folder has no packages installed around it.
 * `before` is text for Bash that is run first, as in 'ulimit -f 8'.
 */
export async function runOutside(
  source: string,
  folder: string,
  before?: string,
): Promise<{ code: number; out: string }> {
  await bundleSource(source, join(folder, 'outside.mjs'));
  const [command, args] = before
    ? ['/bin/bash', ['-c', `${before} && exec "${process.execPath}" outside.mjs`]]
    : [process.execPath, ['outside.mjs']];
  return new Promise((resolve) => {
    const options = { cwd: folder, timeout: 60_000, env: { PATH: process.env.PATH } };
    execFile(command, args, options, (error, out, err) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, out: out + err });
    });
  });
}
