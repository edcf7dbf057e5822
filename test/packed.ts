// Commands, and the package as it would be published.
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command to its end in `cwd`; a command that does not end by itself within two minutes counts as code -1. */
export function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): Promise<Ran> {
  const options = { cwd, env: { ...process.env, ...env }, timeout: 120_000, maxBuffer: 1 << 26 };
  return new Promise((done) => {
    execFile(command, args, options, (error, out, err) => {
      done({ code: error ? (typeof error.code === 'number' ? error.code : -1) : 0, out, err });
    });
  });
}

/** What a command prints; it must succeed. */
export async function mustRun(command: string, args: readonly string[], cwd = '.'): Promise<string> {
  const { code, out, err } = await run(command, args, cwd);
  assert.is(code, 0, `${command} ${args.join(' ')}:\n${out}${err}`);
  return out;
}

/**
 * Packs what is built into `folder`, and builds it first where nothing is; the path of the tarball. npm's own scripts run, in a
 * copy, since other tests read package.json meanwhile; there they need not build again.
 */
export async function pack(folder: string): Promise<string> {
  if (!existsSync('dist/index.js')) await mustRun('node', ['build.mjs']);
  const copy = mkdtempSync(join(tmpdir(), 'slimgrad-pack-'));
  try {
    const { files }: { files: string[] } = JSON.parse(readFileSync('package.json', 'utf8'));
    const own = files.filter((file) => !file.startsWith('!'));
    for (const file of ['package.json', 'pack.mjs', 'README.md', 'LICENSE', ...own])
      cpSync(file, join(copy, file), { recursive: true });
    writeFileSync(join(copy, 'build.mjs'), '');
    const packed = await mustRun('npm', ['pack', '--json', '--loglevel=error', '--pack-destination', folder], copy);
    assert.equal(readFileSync(join(copy, 'package.json')), readFileSync('package.json'), 'package.json is put back');
    return join(folder, JSON.parse(packed)[0].filename);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
