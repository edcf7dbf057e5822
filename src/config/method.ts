// The settings of methods: which method has which, defaults, and the checks across several of them.
import { byolDefaults } from '../methods/byol.js';
import { contrastDefaults } from '../methods/contrast.js';
import { correlationDefaults } from '../methods/cross_correlation.js';
import { discoDefaults } from '../methods/disco.js';
import { ossDefaults } from '../methods/oss.js';
import { rekdDefaults } from '../methods/rekd.js';
import { seedDefaults } from '../methods/seed.js';
import { settingRanges } from '../methods/settings.js';
import { sslSmallDefaults } from '../methods/ssl_small.js';
import { isSmall } from '../ops/augment.js';
import { lossDefaults } from '../ops/cross_correlation.js';
import { sinkhornDefaults } from '../ops/sinkhorn.js';
import { backbone, type EncoderSpec } from './encoders.js';
import { choice, integer, type MethodName, methodNames, number, type Settled, text } from './kinds.js';

/** Whose slim encoder is a slice of its host, */
export const slicing: readonly MethodName[] = ['sacl_xd', 'sacl'];
/** and whose host is a wider teacher that is trained beside it. */
const teaching: readonly MethodName[] = ['rekd', 'oss'];
/** Those that weigh cross distillation against contrast. */
const distilling: readonly MethodName[] = ['sacl_xd', 'xd'];
const correlating: readonly MethodName[] = ['sacl_xd', 'sacl', 'xd', 'barlow_twins'];
const contrasting: readonly MethodName[] = ['moco_v2', 'ssl_small', 'seed', 'disco', 'rekd'];
const averaging: readonly MethodName[] = ['moco_v2', 'byol', 'ssl_small', 'disco', 'rekd'];
/** Those that learn from an encoder in a file. */
export const taught: readonly MethodName[] = ['seed', 'disco', 'ssl_small'];

const among = (names: readonly MethodName[]) => (above: Settled) => names.includes(above.method as MethodName);
const onlyFor = (...names: readonly (readonly MethodName[])[]) =>
  ({ only: { key: 'method', values: names.flat() } }) as const;

const widens = among([...slicing, ...teaching]);
/** Whether its method weighs cross distillation against contrast. */
export const distils = among(distilling);

const features = (above: Settled) => backbone({ ...(above as unknown as EncoderSpec), ratio: 1 }).features.slim;

/** What is trained, and the numbers of its loss. */
export const methodSettings = {
  method: choice('what is trained', 'sacl_xd', methodNames),
  ratio: number('K of Kx-1x: the host is K times as wide as the slim encoder', (above) => (widens(above) ? 1.5 : 1), {
    min: 1,
    max: 16,
    shown: '1.5 for sacl_xd, sacl, rekd and oss, else 1',
    remedy: 'The slim encoder is a slice of the host, which cannot be the narrower one: give 1.5, say.',
  }),
  teacher: text<string | null>('a trained encoder to learn from: a run folder, or its slim.safetensors', null, 'FILE', {
    shown: 'required by seed and disco',
    ...onlyFor(taught),
  }),
  distilEpochs: integer(
    'epochs of distillation before the method begins',
    (above) => (startsTaught(above) ? sslSmallDefaults.distilEpochs : 0),
    {
      ...settingRanges.distilEpochs,
      shown: '5 for ssl_small with a teacher',
      ...onlyFor(['ssl_small']),
    },
  ),
  projector: integer('units of the layers of the projector, or of the hidden layer of a head', unitsOf, {
    ...settingRanges.projector,
    shown: '2048; 4096 byol; F moco_v2, seed, rekd; 2F ssl_small',
  }),
  embedding: integer('length of the embeddings that are compared', (above) => of(above).embedding, {
    ...settingRanges.embedding,
    shown: '256 for byol, else 128',
    ...onlyFor(['moco_v2', 'byol', 'ssl_small', 'disco', 'rekd', 'oss']),
  }),
  alpha: number(
    'share of the contrast; the rest, 1 - alpha, is cross distillation',
    (above) => (distils(above) ? correlationDefaults.alpha : 1),
    { ...settingRanges.alpha, shown: '0.95 for sacl_xd and xd, else 1', ...onlyFor(correlating) },
  ),
  lambda: number('weight of the off-diagonal correlations', lossDefaults.lambda, {
    ...settingRanges.lambda,
    ...onlyFor(correlating),
  }),
  scale: number('factor s of the loss', (above) => lossDefaults.scale(above.projector as number), {
    ...settingRanges.scale,
    shown: '196 / projector',
    ...onlyFor(correlating),
  }),
  temperature: number('what similarities are divided by', (above) => of(above).temperature, {
    ...settingRanges.temperature,
    shown: '0.1 for ssl_small and oss, else 0.2',
    ...onlyFor(contrasting, ['oss']),
  }),
  teacherTemperature: number("what the teacher's similarities are divided by", seedDefaults.teacherTemperature, {
    ...settingRanges.teacherTemperature,
    ...onlyFor(['seed', 'ssl_small']),
  }),
  queue: integer(
    'embeddings of former batches to compare with',
    (above) => (isSmall(above.imageSize as number) ? contrastDefaults.queue : 65536),
    {
      ...settingRanges.queue,
      shown: '4096 up to 64 px, else 65536',
      ...onlyFor(contrasting),
    },
  ),
  ema: number('momentum of the averaged weights, for byol that of the first step', (above) => of(above).ema, {
    ...settingRanges.ema,
    shown: '0.996 for byol, else 0.999',
    ...onlyFor(averaging),
  }),
  neighbours: integer('how many of the nearest in the queue count as the same', rekdDefaults.neighbours, {
    ...settingRanges.neighbours,
    ...onlyFor(['rekd']),
  }),
  prototypes: integer('directions that embeddings are assigned to', ossDefaults.prototypes, {
    ...settingRanges.prototypes,
    ...onlyFor(['oss']),
  }),
  epsilon: number('sharpness of the assignment', sinkhornDefaults.epsilon, {
    ...settingRanges.epsilon,
    ...onlyFor(['oss']),
  }),
  sinkhorn: integer('iterations that even the assignment out', sinkhornDefaults.iterations, {
    ...settingRanges.sinkhorn,
    ...onlyFor(['oss']),
  }),
};

function startsTaught({ method, teacher }: Settled): boolean {
  return method === 'ssl_small' && teacher !== null;
}

/** F is the length of the slim encoder's features. */
function unitsOf(above: Settled): number {
  const F = features(above);
  const own: Partial<Record<MethodName, number>> = {
    moco_v2: F,
    seed: F,
    rekd: F,
    ssl_small: sslSmallDefaults.projector(F),
    byol: byolDefaults.projector,
    disco: discoDefaults.projector,
    oss: ossDefaults.projector,
  };
  return own[above.method as MethodName] ?? correlationDefaults.projector;
}

/** Defaults of each method; of a number that it does not use, that of most. */
function of({ method }: Settled): typeof contrastDefaults {
  const own: Partial<Record<MethodName, object>> = {
    byol: byolDefaults,
    ssl_small: sslSmallDefaults,
    oss: ossDefaults,
  };
  return { ...contrastDefaults, ...own[method as MethodName] };
}

interface MethodConfig {
  readonly method: MethodName;
  readonly ratio: number;
  readonly alpha: number;
  readonly teacher: string | null;
  readonly distilEpochs: number;
  readonly queue: number;
  readonly neighbours: number;
  readonly batch: number;
}

/** Refuses what a method cannot do: names the setting, and says what was expected, what came, and the remedy. */
export function checkMethod(config: MethodConfig, refuse: (key: keyof MethodConfig, message: string) => never): void {
  const { method, ratio, alpha, teacher, distilEpochs, queue, neighbours, batch } = config;
  const settled = { method };
  if (!widens(settled) && ratio !== 1) {
    const why = `expected 1 with method ${method}, whose host is its slim encoder, got ${ratio}`;
    refuse('ratio', `${why}. Leave it out, or use --method sacl_xd to train a slice of a wider host.`);
  }
  if (!distils(settled) && alpha !== 1) {
    const why = `expected 1 with method ${method}, which has no cross distillation to weigh, got ${alpha}`;
    refuse('alpha', `${why}. Leave it out, or use --method ${method === 'sacl' ? 'sacl_xd' : 'xd'}.`);
  }
  if ((method === 'seed' || method === 'disco') && teacher === null) {
    const why = `required by method ${method}, which learns from a trained encoder`;
    refuse('teacher', `${why}. Give the folder of a finished run, or its slim.safetensors or host.safetensors.`);
  }
  if (distilEpochs > 0 && teacher === null) {
    refuse('distilEpochs', `expected 0 without a teacher to learn from, got ${distilEpochs}. Give --teacher too.`);
  }
  if (among(contrasting)(settled) && queue < batch) {
    const why = `expected at least the batch, ${batch}, all of which enters it in a step, got ${queue}`;
    refuse('queue', `${why}. Give a longer queue, or a smaller batch.`);
  }
  if (method === 'rekd' && neighbours > queue) {
    refuse('neighbours', `expected at most the queue, ${queue}, got ${neighbours}. Give fewer, or a longer queue.`);
  }
}
