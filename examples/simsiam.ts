// SimSiam (Chen and He, 2021) as a method: what a predictor tells of one view is to be the other's embedding, held still.
//
//   node simsiam.ts [FOLDER]    of images; `photos` where none is named (Node 24 on)

import { add, batchNormLayer, detach, embedder, type Encoder, l2Normalize, mean, type Method } from 'slimgrad/node';
import { minimize, mlp, mobilenetV1, mul, oneEncoder, openDevice, openImageFolder, scale } from 'slimgrad/node';
import { sequential, sgd, sum, type Tape, type Tensor, Trainer } from 'slimgrad/node';

/** −(1/N) Σ_n cos(p_n, z_n), z a constant. */
function negativeCosine(tape: Tape, p: Tensor, z: Tensor): Tensor {
  const cosines = mul(tape, l2Normalize(tape, p), l2Normalize(tape, detach(tape, z)));
  return scale(tape, mean(tape, sum(tape, cosines, { dim: 1 })), -1);
}

/** L = ½ D(pA, zB) + ½ D(pB, zA), D the negative cosine */
function simsiam(encoder: Encoder, D = 128): Method {
  const units = { host: D, slim: D };
  const layers = { hidden: D, output: D, batchnorm: true };
  const head = sequential(mlp('projector', encoder.features, layers), batchNormLayer('projector.4', units));
  const predictor = mlp('predictor', units, { hidden: D / 4, output: D, batchnorm: true });
  const embed = embedder(encoder, head);
  return {
    ...oneEncoder(encoder, head, predictor),
    record(tape, network, views) {
      const pass = network.pass(tape);
      const [A, B] = [views.a(), views.b()].map((view) => embed(pass, view));
      const [pA, pB] = [A, B].map(({ z }) => predictor.forward(pass, z));
      const both = add(tape, negativeCosine(tape, pA, B.z), negativeCosine(tape, pB, A.z));
      return minimize(
        tape,
        { loss: scale(tape, both, 0.5) },
        { embeddings: { zA: pA, zB: B.z, features: A.features } },
      );
    },
  };
}

const device = await openDevice();
const photos = await openImageFolder(process.argv[2] ?? 'photos');
const method = simsiam(mobilenetV1({ width: 0.25, stemStride: 1 }));
const trainer = await Trainer.open(device, method, photos, { batch: 8, epochs: 5, optimizer: sgd, lr: 0.5 });
for await (const { step, loss } of trainer) console.log(step, loss);
device.dispose();
