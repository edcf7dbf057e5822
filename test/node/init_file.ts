// The weights that a run starts from, by what --init may name: a run folder, an encoder's file, another program's state dict.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig, type TrainConfig } from '../../src/config/settings.js';
import type { Tensors } from '../../src/core/state.js';
import { DataError } from '../../src/errors.js';
import { f32, writeSafetensors } from '../../src/formats/safetensors.js';
import { writeEncoder } from '../../src/inference/encoder_file.js';
import { readInit } from '../../src/node/run/init_file.js';
import type { Device } from '../../src/runtime/device.js';
import { openTestDevice } from '../device.js';
import { assertEqual, initialState } from '../made_up.js';
import { ofRun } from '../of_run.js';
import { ownEncoder } from '../own_method.js';
import { rejects } from '../rejects.js';

let device: Device;
const folder = mkdtempSync(join(tmpdir(), 'slimgrad-init-'));
const path = (name: string) => join(folder, name);
const state: Record<'host' | 'slim', Tensors> = { host: new Map(), slim: new Map() };
const former = parseConfig({ data: 'photos', method: 'sacl_xd', width: 0.125, blocks: '64/2', seed: 3 });
test.before(async () => {
  device = await openTestDevice();
  for (const part of ['host', 'slim'] as const) {
    state[part] = await initialState(device, former, part);
    writeFileSync(path(`${part}.safetensors`), writeEncoder(ofRun(former, state[part], part)));
  }
});
test.after(() => {
  device.dispose();
  rmSync(folder, { recursive: true });
});

const starting = (init: string, more: object = {}): TrainConfig =>
  parseConfig({ data: 'photos', width: 0.125, blocks: '64/2', init, ...more });
/** As the encoder orders them; files are sorted by name. */
async function read(config: TrainConfig): Promise<Tensors> {
  const found = (await readInit(config)) as Tensors;
  return new Map(
    [...state.slim.keys()].flatMap((name) => (found.has(name) ? [[name, found.get(name)!] as const] : [])),
  );
}

test('a run folder gives the host to a method that slices one, and the slim encoder to others; a file what it holds', async () => {
  assertEqual(await read(starting(folder)), state.host, 'sliced');
  assertEqual(await read(starting(folder, { method: 'xd' })), state.slim, 'one encoder');
  assertEqual(await read(starting(folder, { method: 'rekd' })), state.slim, 'two encoders');
  assertEqual(await read(starting(path('slim.safetensors'))), state.slim, 'a file');
  assert.is(await readInit(parseConfig({ data: 'photos' })), undefined);
});

test("a state dict of another program gives the slim encoder's weights, or the host's by their width", async () => {
  const dict = (tensors: Tensors, prefix: string) =>
    writeSafetensors([
      ...[...tensors].map(([name, { shape, data }]) => [`${prefix}${name}`, f32(shape, data)] as const),
      ['fc.weight', f32([2, 8], new Float32Array(16))] as const,
    ]);
  for (const part of ['slim', 'host'] as const) {
    writeFileSync(path(`${part}.dict`), dict(state[part], 'module.'));
    assertEqual(await read(starting(path(`${part}.dict`))), state[part], part);
  }
  assertEqual(await read(starting(path('slim.dict'), { method: 'byol' })), state.slim, 'one encoder');
  await rejects(
    () => read(starting(path('host.dict'), { method: 'byol' })),
    DataError,
    /^init \(--init\): .*host\.dict: expected the \d+ tensors of mobilenet_v1 of width 0\.125; .*of other shapes/,
  );
});

test('what is missing or no encoder is refused by the name of the setting', async () => {
  await rejects(() => read(starting(path('none'))), DataError, /^init \(--init\): cannot read .*none/);
  await rejects(
    () => read(starting(folder, { width: 0.25 })),
    DataError,
    /^init \(--init\): .*host\.safetensors: expected mobilenet_v1 of width 0\.25 or 0\.375, .*, got mobilenet_v1 of width 0\.1875; give/,
  );
  writeFileSync(path('broken'), 'not an encoder');
  await rejects(() => read(starting(path('broken'))), DataError, /^init \(--init\): .*broken/);
  const own = ownEncoder();
  const parameters = own.parameters.map(({ name, shape }) => [name, shape] as const);
  const statistics = own.statistics.map(({ name, channels }) => [name, [channels.host]] as const);
  const zeros = [...parameters, ...statistics].map(([name, shape]) => {
    const length = shape.reduce((a, b) => a * b, 1);
    return [name, { shape, data: new Float32Array(length) }] as const;
  });
  const file = { encoder: own, state: new Map(zeros), imageSize: 16, step: 0, metadata: {} };
  writeFileSync(path('own'), writeEncoder(file));
  await rejects(() => read(starting(path('own'))), DataError, /^init \(--init\): .*own encoder|program's own|custom/);
});

test.run();
