// What the tests of run folders share: places, settings, and what a run must leave.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { parseConfig, type TrainConfig } from '../../src/config/settings.js';

export const silent = { write: () => true };
const root = mkdtempSync(join(tmpdir(), 'slimgrad-run-'));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));
let count = 0;
/** Where a run may be made; it is removed in the end. */
export const fresh = () => join(root, `run-${count++}`);
export const settings = (out: string, more: object = {}): TrainConfig =>
  parseConfig({ data: 'emoji', width: 1 / 32, steps: 30, batch: 128, checkpointEvery: 7, seed: 5, out, ...more });

/** The files that a continued run must share with an uninterrupted one, times left out. */
export function essence(folder: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of ['config.json', 'checkpoint.safetensors', 'slim.safetensors', 'host.safetensors']) {
    files[name] = readFileSync(join(folder, name)).toString('latin1');
  }
  files.metrics = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').replace(/"time":"[^"]*"/g, '"time":""');
  return files;
}

/** Checks that a run fails by an error of this kind, whose message has these parts. */
export async function rejected(
  run: Promise<unknown>,
  kind: new (message: string) => Error,
  ...parts: string[]
): Promise<void> {
  const error = await run.then(
    () => undefined,
    (e: Error) => e,
  );
  assert.instance(error, kind, String(error?.stack));
  for (const part of parts) assert.ok(error?.message.includes(part), `'${part}' in: ${error?.message}`);
}
