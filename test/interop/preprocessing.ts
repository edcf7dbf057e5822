// The Python of docs/guides/preprocessing.md, run as it stands on image files: it gives our own features.
//
//   node build/test/interop/preprocessing.mjs PYTHON
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web';
import { openTestDevice } from '../device.js';
import { assertAlike, ownFeatures, runModel, size, writeCode, writeImages } from '../preprocessing.js';
import { generator } from '../random.js';

const program = `
import sys
from preprocess import preprocess

for file in sys.argv[2:]:
    preprocess(file, int(sys.argv[1])).tofile(file + ".input")
`;

ort.env.wasm.numThreads = 1;
const random = generator(3);
const device = await openTestDevice();
const folder = mkdtempSync(join(tmpdir(), 'slimgrad-preprocessing-'));
try {
  const files = await writeImages(folder, random);
  const { model, rows } = await ownFeatures(device, random, folder);
  writeCode(folder, 'python');
  const paths = files.map((file) => join(folder, file));
  execFileSync(process.argv[2], ['-c', program, String(size), ...paths], { cwd: folder, stdio: 'inherit' });
  const inputs = paths.map((path) => new Float32Array(Uint8Array.from(readFileSync(`${path}.input`)).buffer));
  assertAlike(await runModel(model, inputs), rows, files);
  console.log(`docs/guides/preprocessing.md: the Python prepares ${files.length} images as we do`);
} finally {
  rmSync(folder, { recursive: true, force: true });
  device.dispose();
}
