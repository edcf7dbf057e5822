// The settings of methods: their rows, derived from the table of methods, and checks of their combinations.
import { contrastDefaults } from '../methods/contrast.js';
import { type Distillation, saclXdSpec } from '../methods/sacl_xd.js';
import { type Default, type MethodSetting, settingRanges } from '../methods/settings.js';
import { isSmall } from '../ops/augment.js';
import { backbone, type EncoderSpec } from './encoders.js';
import { choice, number, type Setting, type Settled, text } from './kinds.js';
import { type MethodName, methodNames, methods, methodsWhere } from './methods.js';

const ofMethod = (above: Settled) => methods[above.method as MethodName];
const widens = (above: Settled) => ofMethod(above).networks !== 'one';

/** Length of the slim encoder's features. */
const features = (above: Settled) => backbone({ ...(above as unknown as EncoderSpec), ratio: 1 }).features.slim;

/** A setting's value where a default follows from the settings above it. */
function numberOf(standard: Default, above: Settled): number {
  if (typeof standard === 'number') return standard;
  return standard({ features: features(above), projector: above.projector as number });
}

/**
 * A number of the methods that have it, with their own default and range.
 *
 * @param shown the default in words, where it is no number of a method
 * @param otherwise the value that is stored for methods without it; default that of the first method that has it
 */
function ownNumber(key: MethodSetting, doc: string, shown?: string, otherwise?: Default): Setting<number> {
  const having = methodsWhere(({ defaults }) => defaults[key] !== undefined);
  const none = otherwise ?? (methods[having[0]].defaults[key] as Default);
  return number(doc, (above) => numberOf(ofMethod(above).defaults[key] ?? none, above), {
    ...settingRanges[key],
    shown: shown ?? shownDefault(key, having),
    ...(having.length < methodNames.length && { only: { key: 'method', values: having } }),
  });
}

/** `0.1 for ssl_small and oss, else 0.2`: the defaults of the methods that have a setting, the commonest last. */
function shownDefault(key: MethodSetting, having: readonly MethodName[]): string {
  const namesOf = (value: Default | undefined) => having.filter((name) => methods[name].defaults[key] === value);
  const values = [...new Set(having.map((name) => methods[name].defaults[key]))];
  const [most, ...others] = values.sort((a, b) => namesOf(b).length - namesOf(a).length);
  return [...others.map((value) => `${value} for ${namesOf(value).join(' and ')}, else `), most].join('');
}

/** What is trained, and the numbers of its loss. */
export const methodSettings = {
  method: choice('what is trained', 'sacl_xd', methodNames),
  ratio: number('K of Kx-1x: the host is K times as wide as the slim encoder', (above) => (widens(above) ? 1.5 : 1), {
    min: 1,
    max: 16,
    shown: `1.5 for ${methodsWhere(({ networks }) => networks !== 'one').join(', ')}, else 1`,
    remedy: 'The slim encoder is a slice of the host, which cannot be the narrower one: give 1.5, say.',
  }),
  init: text<string | null>("weights to start from: a run's, or torchvision's as safetensors", null, 'FILE', {
    shown: 'random ones',
  }),
  teacher: text<string | null>('a trained encoder to learn from: a run folder, or its slim.safetensors', null, 'FILE', {
    shown: 'required by seed and disco',
    only: { key: 'method', values: methodsWhere(({ teacher }) => teacher === true) },
    remedy: 'To start another method from what a teacher taught, train --method seed first and give its run as --init.',
  }),
  projector: ownNumber(
    'projector',
    'units of the layers of the projector, or of the hidden layer of a head',
    '2048; 4096 byol; F moco_v2, seed, rekd; 2F ssl_small',
  ),
  embedding: ownNumber('embedding', 'length of the embeddings that are compared'),
  alpha: ownNumber('alpha', 'share of the contrast; the rest, 1 - alpha, is cross distillation', undefined, 1),
  xd: choice<Distillation>(
    "distil each encoder from the other one's embeddings, or its own",
    'cross',
    saclXdSpec.choices.xd,
    {
      only: { key: 'method', values: methodsWhere(({ choices }) => choices?.xd !== undefined) },
    },
  ),
  lambda: ownNumber('lambda', 'weight of the off-diagonal correlations'),
  scale: ownNumber('scale', 'factor s of the loss', '196 / projector'),
  temperature: ownNumber('temperature', 'temperature of the similarities'),
  teacherTemperature: ownNumber('teacherTemperature', "temperature of the teacher's similarities"),
  queue: {
    ...ownNumber('queue', 'embeddings of former batches to compare with', '4096 up to 64 px, else 65536'),
    default: (above: Settled) => (isSmall(above.imageSize as number) ? contrastDefaults.queue : 65536),
  },
  ema: ownNumber('ema', 'momentum of the averaged weights, for byol that of the first step'),
  neighbors: ownNumber('neighbors', 'how many of the nearest in the queue count as the same'),
  prototypes: ownNumber('prototypes', 'directions that embeddings are assigned to'),
  epsilon: ownNumber('epsilon', 'sharpness of the assignment'),
  sinkhorn: ownNumber('sinkhorn', 'iterations that even the assignment out'),
};

interface MethodConfig {
  readonly method: MethodName;
  readonly ratio: number;
  readonly teacher: string | null;
  readonly queue: number;
  readonly neighbors: number;
  readonly batch: number;
}

/** Rejects what a method cannot do, naming the setting, the expected and the actual value, and the remedy. */
export function checkMethod(config: MethodConfig, refuse: (key: keyof MethodConfig, message: string) => never): void {
  const { method, ratio, teacher, queue, neighbors, batch } = config;
  const { networks, teacher: learns, defaults } = methods[method];
  if (networks === 'one' && ratio !== 1) {
    const why = `expected 1 with method ${method}, whose host is its slim encoder, got ${ratio}`;
    refuse('ratio', `${why}. Leave it out, or use --method sacl_xd to train a slice of a wider host.`);
  }
  if (learns && teacher === null) {
    const why = `required by method ${method}, which learns from a trained encoder`;
    refuse('teacher', `${why}. Give the folder of a finished run, or its slim.safetensors or host.safetensors.`);
  }
  if (defaults.queue !== undefined && queue < batch) {
    const why = `expected at least the batch, ${batch}, all of which enters it in a step, got ${queue}`;
    refuse('queue', `${why}. Give a longer queue, or a smaller batch.`);
  }
  if (defaults.neighbors !== undefined && neighbors > queue) {
    refuse('neighbors', `expected at most the queue, ${queue}, got ${neighbors}. Give fewer, or a longer queue.`);
  }
}
