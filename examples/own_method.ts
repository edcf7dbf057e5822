// A method of your own: SimCLR (Chen et al., 2020). Of 2N views each is to find its image's other view among all the others.
//
//   node own_method.ts [FOLDER]    of images; `photos` where none is named (Node 24 on)

import { add, concat, matmul, softmaxCrossEntropy } from 'slimgrad/node';
import { adamw, embedder, minimize, mobilenetV1, oneEncoder, Trainer, unitHead } from 'slimgrad/node';
import { type Encoder, type Method, openDevice, openImageFolder } from 'slimgrad/node';

/** L = −(1/2N) Σ_i log ( exp(z_i · z_j / τ) / Σ_{k ≠ i} exp(z_i · z_k / τ) ), z_j the other view of z_i (NT-Xent). */
function simclr(encoder: Encoder, { hidden = 256, output = 64, temperature = 0.5 } = {}): Method {
  const head = unitHead('head', encoder, { hidden, output });
  const embed = embedder(encoder, head);
  return {
    ...oneEncoder(encoder, head),
    record(tape, network, views) {
      const [A, B] = [views.a(), views.b()].map((view) => embed(network.pass(tape), view));
      const z = concat(tape, [A.z, B.z]); // (2N, D), rows of length 1
      const [rows] = z.shape;
      const { device } = tape.plan;
      const itself = device.tensor([rows, rows], (i) => (i % (rows + 1) === 0 ? -1e4 : 0)); // never found
      const other = device.tensor([rows], (i) => (i + rows / 2) % rows, { dtype: 'u32' });
      const similarities = add(tape, matmul(tape, z, z, { transposeB: true }), itself);
      const loss = softmaxCrossEntropy(tape, similarities, other, { temperature });
      return minimize(tape, { loss }, { embeddings: { zA: A.z, zB: B.z, features: A.features } });
    },
  };
}

const device = await openDevice();
const photos = await openImageFolder(process.argv[2] ?? 'photos');
const encoder = mobilenetV1({ width: 0.25, stemStride: 1 });
const trainer = await Trainer.open(device, simclr(encoder), photos, {
  batch: 8,
  epochs: 5,
  optimizer: adamw,
  lr: 0.02,
});
for await (const { step, loss } of trainer) console.log(step, loss);
device.dispose();
