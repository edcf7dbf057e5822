// A classifier trained with labels in a loop of one's own: host and slim encoder in one step, on the same weights.
//
//   node supervised.ts [FOLDER]    with a sub-folder of images a class; `labeled` where none is named (Node 24 on)

import { adamw, add, augment, defaultViews, generator, linearLayer, Loader, mobilenetV1 } from 'slimgrad/node';
import { openDataset, openDevice, Parameters, record, sequential, softmaxCrossEntropy } from 'slimgrad/node';

const device = await openDevice();
const { train } = await openDataset(process.argv[2] ?? 'labeled', { imageSize: 32 });
const { labels: classOf, classes } = train;
if (!classOf || !classes) throw new Error('expected a sub-folder of images for every class');
const batch = 8;

const encoder = mobilenetV1({ width: 0.25, ratio: 1.5, stemStride: 1 });
const network = sequential(encoder, linearLayer('classifier', encoder.features, classes.length));
const parameters = new Parameters(device, network.parameters, network.statistics);
parameters.initialize(generator(0));

const loader = await Loader.open(device, train, { batch, seed: 0 });
const labels = device.tensor([batch], 0, { dtype: 'u32' });
const step = await record(device, (tape) => {
  const x = augment(tape.plan, loader, 0, defaultViews(32)[0]);
  const [host, slim] = (['host', 'slim'] as const).map((width) => {
    const logits = network.forward({ tape, parameters, width, training: true, updateStats: true }, x);
    return softmaxCrossEntropy(tape, logits, labels);
  });
  tape.backward(add(tape, host, slim));
  adamw(tape.plan, parameters, { lr: 0.01 });
  return { host, slim };
});

for (let i = 0; i < 20 * loader.stepsPerEpoch; i++) {
  const items = loader.batchAt(i);
  labels.write(Array.from(items, (item) => classOf[item]));
  await loader.prepare(i);
  step.run({ seed: 0 });
  console.log(i, (await step.read('host'))[0], (await step.read('slim'))[0]);
}
device.dispose();
