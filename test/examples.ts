// The examples of docs and of the folder `examples`, run as they stand beside a folder of pictures and a run on them.
import { test } from 'uvu';
import { docsPages, exampleFiles, examplesOf, Playground } from './programs.js';

const playground = new Playground();
test.before(async () => {
  await playground.open();
  const quick = '--steps 2 --batch 8 --projector 16 --out runs/photos'.split(' ');
  await playground.command('pretrain', '--data', 'photos', ...quick);
  await playground.command('export', '--weights', 'runs/photos/slim.safetensors', '--out', 'slim.onnx');
});
test.after(() => playground.close());

for (const { name, source } of [...docsPages().flatMap(examplesOf), ...exampleFiles()])
  test(name, () => playground.program(name, source));

test.run();
