import type { Tensors } from '../../core/state.js';
import { trainedOn, writeTrained } from '../../data/trained.js';
import { DataError } from '../../errors.js';
import { finetune, finetuneDefaults } from '../../eval/finetune.js';
import { countClasses } from '../../eval/labels.js';
import { type LinearOptions, linearDefaults, linearEvaluation } from '../../eval/linear.js';
import { pixelEncoder } from '../../eval/raw_pixels.js';
import type { FinetuneResult, FitProgress, SupervisedOptions, SupervisedResult } from '../../eval/supervised.js';
import type { WeightedEncoder } from '../../inference/features.js';
import type { Classifier } from '../../nn/classifier.js';
import type { Dataset } from '../data/dataset.js';
import { aheadNotes, confusionOf, evaluate } from '../eval/evaluate.js';
import { featureMap, type MapMethod } from '../eval/feature_map.js';
import type { Fitted, Result, Score } from '../eval/scores.js';
import {
  contendersOf,
  type EvalTarget,
  openSubject,
  partOptions,
  type SubjectOptions,
  searched,
} from '../eval/subject.js';

/** What both commands take beside the settings of the training. */
interface Common extends SubjectOptions {
  map?: MapMethod;
  /** Told of every epoch, and of whom. */
  onProgress?: (name: string, progress: FitProgress) => void;
}

export interface LinearFileOptions extends Omit<LinearOptions, 'onEpoch'>, Common {
  /** Train a layer on the untrained encoder and on raw pixels too. */
  controls?: boolean;
}

export interface FinetuneFileOptions extends Omit<SupervisedOptions, 'onEpoch'>, Common {
  /** Train the same network from its first weights too. */
  scratch?: boolean;
}

/** What a training by labels gives. */
export interface Learned {
  readonly result: Result;
  /** The encoder's tensors, and the layer behind it. */
  readonly state: Tensors;
  readonly classifier: Classifier;
  /** The items that encoder or classifier were trained on, as `writeTrained` gives them. */
  readonly trained: string;
}

function seenBy({ dataset, seen }: EvalTarget): string {
  return writeTrained(trainedOn(dataset.train, seen));
}

/** What the controls, the untrained encoder and raw pixels, are given so that they show what they can. */
const controlSettings: readonly LinearOptions[] = [
  // its features hardly vary about their means
  { standardize: true },
  // they are many and vary together, which wants smaller steps
  { standardize: false, lr: [1e-3, 3e-3, 1e-2, 3e-2] },
];
const mostPixels = 32; // their side

/**
 * Linear evaluation of the encoder in `weights` on what is held out of `data`, beside the same encoder untrained, raw pixels,
 * and kNN.
 *
 * @returns the figures, the encoder's tensors, and its linear layer
 * @throws DataError where a file cannot be used or labels are missing; ConfigError where an option is out of range
 */
export async function linearFile(weights: string, data: string, given: LinearFileOptions = {}): Promise<Learned> {
  const { subjectOptions, options } = partOptions(given);
  const { controls = true, map = 'pca', onProgress, ...settings } = options;
  const subject = await openSubject(weights, data, labeled('linear'), subjectOptions);
  const { device, dataset, trained, untrained, config } = subject;
  const pixels = pixelEncoder(device, Math.min(config.imageSize, mostPixels));
  try {
    const all = contendersOf(subject);
    const encoders: WeightedEncoder[] = [trained, untrained, pixels];
    const contenders = controls ? all : all.slice(0, 1);
    const found: SupervisedResult[] = [];
    for (const [i, { name }] of contenders.entries()) {
      const own = { ...settings, ...(i > 0 && controlSettings[i - 1]) };
      const onEpoch = (progress: FitProgress) => onProgress?.(name, progress);
      found.push(await linearEvaluation(device, encoders[i], dataset.train, dataset.test, { ...own, onEpoch }));
    }
    const searching = await evaluate(searched(subject), contenders, { map: 'none', device });
    const names = contenders.map(({ name }) => name);
    const scores = searching.scores.map((score, i) => ({
      ...score,
      linear: found[i].top1,
      ...top5('linearTop5', found[i]),
    }));
    const used = { ...linearDefaults, ...settings };
    const how = used.augment
      ? 'random crops and flips, made anew for every epoch'
      : 'features of center crops, computed once; --augment trains on random crops and flips, as the paper does';
    const result = resultOf('linear', subject, data, names, found, scores, map, {
      epochs: used.epochs,
      batch: found[0].batch,
      schedule: used.schedule,
      'weight decay': used.weightDecay,
      ...(used.standardize && { standardized: true }),
      ...(used.augment && { 'least crop': used.cropMin, flip: used.flip }),
      seed: used.seed,
    });
    const fair =
      'The untrained encoder has its features standardized, of which a linear layer could else learn little.';
    const notes = [
      `The linear layers were trained on ${how}.`,
      ...(controls && !used.standardize ? [fair] : []),
      ...result.notes,
      ...searching.notes,
    ];
    const on = `${result.on}; ${searching.on.split('; ').slice(1).join('; ')}`;
    const { classifier } = found[0];
    return { result: { ...result, on, notes }, state: await trained.state(), classifier, trained: seenBy(subject) };
  } finally {
    pixels.dispose();
    subject.dispose();
  }
}

/**
 * Fine-tunes the encoder in `weights` on the training part of `data`, and tests it on what is held out.
 *
 * @returns the figures, the fine-tuned encoder's tensors, and its classifier
 * @throws DataError where a file cannot be used or labels are missing; ConfigError where an option is out of range
 */
export async function finetuneFile(weights: string, data: string, given: FinetuneFileOptions = {}): Promise<Learned> {
  const { subjectOptions, options } = partOptions(given);
  const { scratch = false, map = 'pca', onProgress, ...settings } = options;
  const subject = await openSubject(weights, data, labeled('finetune'), subjectOptions);
  const { device, dataset, trained, untrained, part } = subject;
  try {
    const starts = [
      [`${part} encoder, fine-tuned`, trained],
      [`${part} encoder, from scratch`, untrained],
    ] as const;
    const found: FinetuneResult[] = [];
    const names: string[] = [];
    for (const [name, encoder] of starts.slice(0, scratch ? 2 : 1)) {
      names.push(name);
      const onEpoch = (progress: FitProgress) => onProgress?.(name, progress);
      found.push(await finetune(device, encoder, dataset.train, dataset.test, { ...settings, onEpoch }));
    }
    const scores = found.map((result, i) => ({
      name: names[i],
      finetuned: result.top1,
      ...top5('finetunedTop5', result),
    }));
    const used = { ...finetuneDefaults, ...settings };
    const result = resultOf('finetune', subject, data, names, found, scores, map, {
      epochs: used.epochs,
      batch: found[0].batch,
      'weight decay': used.weightDecay,
      'least crop': used.cropMin,
      flip: used.flip,
      seed: used.seed,
    });
    const [{ state, classifier }] = found;
    return { result, state, classifier, trained: seenBy(subject) };
  } finally {
    subject.dispose();
  }
}

function labeled(what: string): (dataset: Dataset) => asserts dataset is EvalTarget['dataset'] {
  return (dataset) => {
    const { train, test } = dataset;
    countClasses(what, train, test ?? train);
    if (!test) throw new DataError(`${what}: ${dataset.name} has no images held out to test on`);
  };
}

/** Top-5 where it says anything. */
function top5<K extends 'linearTop5' | 'finetunedTop5'>(key: K, result: SupervisedResult): Partial<Record<K, number>> {
  return (result.classes.names.length > 5 ? { [key]: result.top5 } : {}) as Partial<Record<K, number>>;
}

function resultOf(
  what: 'linear' | 'finetune',
  { part, weights, device, splitSeed }: EvalTarget,
  data: string,
  names: readonly string[],
  found: readonly SupervisedResult[],
  scores: readonly Score[],
  map: MapMethod,
  settings: Result['settings'],
): Result {
  const [first] = found;
  const { classes, confusion: _, labels, predictions, features } = first;
  const { names: kinds } = classes;
  const fitted = found.map((result, i): Fitted => {
    const { lr, trials, batch, meanPerClass, log } = result;
    return { name: names[i], lr, trials, batch, meanPerClass, log };
  });
  const unseen = kinds.filter((_, c) => classes.train[c] === 0 && classes.test[c] > 0);
  const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);
  return {
    what,
    weights,
    part,
    data,
    adapter: device.name,
    on: `${labels.length} held-out images of ${kinds.length} classes; trained on ${total(classes.train)} items`,
    scores,
    notes: [
      ...(unseen.length > 0 ? [`Tested but never trained on: ${unseen.join(', ')}.`] : []),
      ...aheadNotes(scores, [['the linear layer', 'linear']]),
    ],
    confusion: confusionOf(
      `The ${names[0]}${what === 'linear' ? ', by its linear layer' : ''}`,
      kinds,
      labels,
      predictions,
    ),
    ...(map !== 'none' && {
      map: featureMap(`The ${names[0]}`, { data: features, labels }, features.length / labels.length, kinds),
    }),
    settings: { ...settings, 'split seed': splitSeed },
    classes,
    fitted,
  };
}
