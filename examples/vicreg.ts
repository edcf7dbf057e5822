// VICReg (Bardes et al., 2022) as a method: embeddings of two views are to agree, to vary, and to say different things.
//
//   node vicreg.ts [FOLDER]    of images; `photos` where none is named (Node 24 on)

import { activation, add, matmul, mean, mul, scale, sqrt, square, sub, sum } from 'slimgrad/node';
import { adamw, embedder, minimize, mobilenetV1, oneEncoder, projector, Trainer } from 'slimgrad/node';
import { type Encoder, type Method, openDevice, openImageFolder } from 'slimgrad/node';

/** L = 25 |zA − zB|² / ND + Σ_z ( 25/2 mean_d max(0, 1 − √(var_d + 1e-4)) + Σ_{d ≠ e} cov_de² / D ) */
function vicreg(encoder: Encoder, D = 128): Method {
  const head = projector(encoder.features, D);
  const embed = embedder(encoder, head);
  return {
    ...oneEncoder(encoder, head),
    record(tape, network, views) {
      const [A, B] = [views.a(), views.b()].map((view) => embed(network.pass(tape), view));
      const [N] = A.z.shape;
      const beside = tape.plan.device.tensor([D, D], (i) => (i % (D + 1) === 0 ? 0 : 1)); // the diagonal
      const [first, second] = [A.z, B.z].map((z) => {
        const centered = sub(tape, z, mean(tape, z, { dim: 0 }));
        const variance = scale(tape, sum(tape, square(tape, centered), { dim: 0 }), 1 / (N - 1));
        const hinge = activation(tape, sub(tape, 1, sqrt(tape, add(tape, variance, 1e-4))), 'relu');
        const covariance = scale(tape, matmul(tape, centered, centered, { transposeA: true }), 1 / (N - 1));
        const redundancy = scale(tape, sum(tape, square(tape, mul(tape, covariance, beside))), 1 / D);
        return { variance: scale(tape, mean(tape, hinge), 25 / 2), covariance: redundancy };
      });
      const invariance = scale(tape, mean(tape, square(tape, sub(tape, A.z, B.z))), 25);
      const variance = add(tape, first.variance, second.variance);
      const covariance = add(tape, first.covariance, second.covariance);
      const watched = { zA: A.z, zB: B.z, features: A.features };
      return minimize(tape, { invariance, variance, covariance }, { embeddings: watched });
    },
  };
}

const device = await openDevice();
const photos = await openImageFolder(process.argv[2] ?? 'photos');
const method = vicreg(mobilenetV1({ width: 0.25, stemStride: 1 }));
const trainer = await Trainer.open(device, method, photos, { batch: 8, epochs: 5, optimizer: adamw, lr: 0.02 });
for await (const { step, loss, invariance } of trainer) console.log(step, loss, invariance);
device.dispose();
