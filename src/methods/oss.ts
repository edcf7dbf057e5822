// OSS: a wide teacher learns by SwAV, the small encoder by its assignments.
import { Tape } from '../core/tape.js';
import type { Encoder } from '../encoders/encoder.js';
import { linearNoBias } from '../nn/mlp.js';
import { prefixed } from '../nn/module.js';
import { add } from '../ops/add.js';
import { l2NormalizeInPlace } from '../ops/l2_normalize.js';
import { sinkhorn, sinkhornDefaults } from '../ops/sinkhorn.js';
import { softmax, softmaxCrossEntropy } from '../ops/softmax.js';
import type { Tensor } from '../tensor/tensor.js';
import { contrastDefaults, type HeadSettings, unitHead } from './contrast.js';
import { type Method, twoEncoders } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';
import { expectWide, type MethodSpec, settle } from './settings.js';

export const ossSpec = {
  title: 'OSS',
  networks: 'two',
  passes: { slim: { trained: 2 }, teacher: { trained: 2 } },
  compared: ['view A', 'view B'],
  defaults: {
    projector: 2048,
    embedding: contrastDefaults.embedding,
    temperature: 0.1,
    prototypes: 300,
    epsilon: sinkhornDefaults.epsilon,
    sinkhorn: sinkhornDefaults.iterations,
  },
} as const satisfies MethodSpec;

export interface OssSettings extends HeadSettings {
  /** τ of the scores of prototypes; default 0.1. */
  readonly temperature?: number;
  /** Number of prototypes; default 300. */
  readonly prototypes?: number;
  /** ε and iterations of the assignment; default those of `sinkhorn`. */
  readonly epsilon?: number;
  readonly sinkhorn?: number;
}

/**
 * OSS (Choi et al., 2021): a wider teacher learns to predict from one view to which prototypes the other is assigned (SwAV), and the
 * small encoder learns the teacher's predictions.
 *
 *   L = ½ CE(Q^B, s^A) + ½ CE(Q^A, s^B) + ½ CE(softmax(s^A/τ), r^A) + ½ CE(softmax(s^B/τ), r^B)
 *   CE(p, s) = −(1/N) Σ_n Σ_k p_nk log softmax_k(s_n/τ),   Q = sinkhorn(s/ε); targets are constants
 *
 * s and r are the scores of the teacher's and of the small encoder's own prototypes, all of length 1.
 *
 * @param wide the teacher, which is trained too; of two widths, its host
 */
export function oss(encoder: Encoder, wide: Encoder, settings: OssSettings = {}): Method {
  const settled = settle('oss', encoder, settings, ossSpec);
  const { projector: hidden, embedding, temperature, prototypes: count, epsilon, sinkhorn: iterations } = settled;
  expectWide('oss', wide);
  const host = prefixed('teacher', wide);
  const layers = { hidden, output: embedding, batchnorm: true };
  const head = unitHead('head', encoder, layers);
  const teacherHead = unitHead('teacher.head', host, layers);
  const prototypes = linearNoBias('prototypes', embedding, count);
  const teacherPrototypes = linearNoBias('teacher.prototypes', embedding, count);
  const [embed, embedTeacher] = [embedder(encoder, head), embedder(host, teacherHead)];
  return {
    ...twoEncoders(encoder, host, head, teacherHead, prototypes, teacherPrototypes),
    record(tape, network, views) {
      const { plan } = tape;
      const [a, b] = [views.a(), views.b()];
      for (const { parameters } of [prototypes, teacherPrototypes])
        l2NormalizeInPlace(plan, network.parameters.tensor(parameters[0].name, 'host'));
      const pass = network.pass(tape);
      const taught = [a, b].map((x) => plan.phase('host', () => embedTeacher(pass, x)));
      const small = [a, b].map((x) => plan.phase('slim', () => embed(pass, x)));
      const half = (logits: Tensor, targets: Tensor) =>
        softmaxCrossEntropy(tape, logits, targets, { temperature, scale: 0.5 });
      const losses = plan.phase('loss', () => {
        const scores = taught.map(({ z }) => teacherPrototypes.forward(pass, z));
        const [assignedA, assignedB] = scores.map((s) => sinkhorn(plan, s, { epsilon, iterations }));
        const noGrad = new Tape(plan, { noGrad: true });
        const [predictedA, predictedB] = scores.map((s) => softmax(noGrad, s, { temperature }));
        const [r, q] = small.map(({ z }) => prototypes.forward(pass, z));
        return {
          distillation: add(tape, half(r, predictedA), half(q, predictedB)),
          teacher: add(tape, half(scores[0], assignedB), half(scores[1], assignedA)),
        };
      });
      return minimize(tape, losses, {
        embeddings: {
          zA: small[0].z,
          zB: small[1].z,
          features: small[0].features,
          teacherFeatures: taught[0].features,
        },
      });
    },
  };
}
