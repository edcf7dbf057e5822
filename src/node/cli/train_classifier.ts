// `slimgrad linear` and `slimgrad finetune`: train a classifier on labels behind the encoder of a file, compare, and put the
// result together. Two entries of one declaration.
import { flagOf, flagsOf } from '../../config/flags.js';
import { choice, integer, number, numbers, probability, type Setting, toggle } from '../../config/kinds.js';
import { trainedOn, writeTrained } from '../../data/trained.js';
import { DataError } from '../../errors.js';
import type { FinetuneResult, FitProgress, SupervisedResult } from '../../eval/classifier_training.js';
import { finetune, finetuneDefaults } from '../../eval/finetune.js';
import { countClasses } from '../../eval/labels.js';
import { type LinearOptions, linearDefaults, linearEvaluation } from '../../eval/linear.js';
import { pixelEncoder } from '../../eval/raw_pixels.js';
import type { WeightedEncoder } from '../../inference/features.js';
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
import { classifierPlace, type Learned, placeOf, publish, writeClassifier } from '../run/results.js';
import { readWeights, type WeightsFile } from '../system/weights_file.js';
import type { Command } from './command.js';
import { fitProgress } from './fit_progress.js';
import { completeFlags, UsageError } from './flags.js';
import { given, resultSettings, subjectSettings } from './subject.js';

interface TrainingFileOptions extends Omit<LinearOptions, 'onEpoch'>, SubjectOptions {
  map?: MapMethod;
  /** Called after every epoch, with the name of what is trained. */
  onProgress?: (name: string, progress: FitProgress) => void;
  /** Linear: train a layer on the untrained encoder and on raw pixels too; default true. */
  controls?: boolean;
  /** Fine-tuning: train the same network from its first weights too; default false. */
  scratch?: boolean;
}

/** Settings of the controls, the untrained encoder and raw pixels, under which they do best. */
const controlSettings: readonly LinearOptions[] = [
  // its features hardly vary around their means
  { standardize: true },
  // they are many and correlated, which requires smaller steps
  { standardize: false, lr: [1e-3, 3e-3, 1e-2, 3e-2] },
];
const mostPixels = 32; // side of the images

type Training = 'linear' | 'finetune';

/** What is trained and compared: the first row is the encoder in the file. */
interface Row {
  readonly name: string;
  readonly encoder: WeightedEncoder;
  readonly settings?: LinearOptions | undefined;
}

/**
 * Trains a classifier on the training part of `data` behind the encoder of a file, and tests it on what is held out:
 * a linear layer on the frozen encoder, compared with the same encoder untrained, raw pixels, and kNN; or all of it.
 *
 * @returns the result, the encoder's tensors, and its classifier
 * @throws DataError where a file cannot be used or labels are missing; ConfigError where an option is out of range
 */
async function trainClassifierFile(
  what: Training,
  file: WeightsFile,
  data: string,
  given: TrainingFileOptions = {},
): Promise<Learned> {
  const { subjectOptions, options } = partOptions(given);
  const { controls = true, scratch = false, map = 'pca', onProgress, ...settings } = options;
  const isLinear = what === 'linear';
  const subject = await openSubject(file, data, labeled(what), subjectOptions);
  const { device, dataset, trained, untrained, config, part } = subject;
  const pixels = pixelEncoder(device, Math.min(config.imageSize, mostPixels));
  try {
    const contenders = contendersOf(subject).slice(0, controls ? 3 : 1);
    const encoders = [trained, untrained, pixels];
    const rows: Row[] = isLinear
      ? contenders.map(({ name }, i) => ({ name, encoder: encoders[i], settings: controlSettings[i - 1] }))
      : ['fine-tuned', 'from scratch']
          .slice(0, scratch ? 2 : 1)
          .map((how, i) => ({ name: `${part} encoder, ${how}`, encoder: encoders[i] }));
    const train = isLinear ? linearEvaluation : finetune;
    const found: (SupervisedResult & Partial<FinetuneResult>)[] = [];
    for (const { name, encoder, settings: own } of rows) {
      const onEpoch = (progress: FitProgress) => onProgress?.(name, progress);
      found.push(await train(device, encoder, dataset.train, dataset.test, { ...settings, ...own, onEpoch }));
    }
    const searching = isLinear
      ? await evaluate(searched(subject), contenders, { map: 'none', device })
      : { on: '', scores: rows.map(({ name }): Score => ({ name })), notes: [] };
    const scores = searching.scores.map((score, i): Score => {
      const { top1, top5, classes } = found[i];
      const isMany = classes.names.length > 5; // else top-5 is meaningless
      return isLinear
        ? { ...score, linear: top1, ...(isMany && { linearTop5: top5 }) }
        : { ...score, finetuned: top1, ...(isMany && { finetunedTop5: top5 }) };
    });
    const [first] = found;
    const used = { ...linearDefaults, ...(isLinear ? {} : finetuneDefaults), ...settings };
    const result = resultOf(what, subject, data, rows, found, scores, map, {
      epochs: used.epochs,
      batch: first.batch,
      ...(isLinear && { schedule: used.schedule }),
      'weight decay': used.weightDecay,
      ...(used.standardize && { standardized: true }),
      ...((used.augment || !isLinear) && { 'least crop': used.cropMin, flip: used.flip }),
      seed: used.seed,
    });
    const on = [result.on, ...searching.on.split('; ').slice(1)].join('; ');
    const notes = [
      ...(isLinear ? protocolNotes(used.augment, controls && !used.standardize) : []),
      ...result.notes,
      ...searching.notes,
    ];
    return {
      result: { ...result, on, notes },
      state: first.state ?? (await trained.state()),
      classifier: first.classifier,
      trained: writeTrained(trainedOn(dataset.train, subject.seen)),
    };
  } finally {
    pixels.dispose();
    subject.dispose();
  }
}

/** How the linear layers were trained. */
function protocolNotes(isAugmented: boolean, isControlStandardized: boolean): string[] {
  const how = isAugmented
    ? 'random crops and flips, drawn for every epoch'
    : 'features of center crops, computed once; --augment trains on random crops and flips, as the paper does';
  const fair = 'The untrained encoder has its features standardized, since a linear layer learns little from raw ones.';
  return [`The linear layers were trained on ${how}.`, ...(isControlStandardized ? [fair] : [])];
}

function labeled(what: string): (dataset: Dataset) => asserts dataset is EvalTarget['dataset'] {
  return (dataset) => {
    const { train, test } = dataset;
    countClasses(what, train, test ?? train);
    if (!test) throw new DataError(`${what}: ${dataset.name} has no images held out to test on`);
  };
}

function resultOf(
  what: Training,
  { part, weights, device, splitSeed }: EvalTarget,
  data: string,
  rows: readonly Row[],
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
    return { name: rows[i].name, lr, trials, batch, meanPerClass, log };
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
      `The ${rows[0].name}${what === 'linear' ? ', by its linear layer' : ''}`,
      kinds,
      labels,
      predictions,
    ),
    ...(map !== 'none' && {
      map: featureMap(`The ${rows[0].name}`, { data: features, labels }, features.length / labels.length, kinds),
    }),
    settings: { ...settings, 'split seed': splitSeed },
    classes,
    fitted,
  };
}

/** The settings of supervised training, with the library's defaults. */
function trainingSettings(standard: typeof linearDefaults | typeof finetuneDefaults) {
  const { lr, epochs, mostBatch, weightDecay, validation, cropMin, flip, seed } = standard;
  return {
    lr: numbers('peak learning rate for a batch of 256; of several, the best on --validation is used', lr, {
      above: 0,
    }),
    epochs: integer('passes over the training images', epochs, { min: 1 }),
    batch: integer<number | null>('images in a step', null, { min: 1, shown: `${mostBatch}, or all if fewer` }),
    weightDecay: number('weight decay of matrices', weightDecay, { min: 0 }),
    validation: number('share of the training images that selects the learning rate', validation, {
      above: 0,
      below: 1,
    }),
    cropMin: number('smallest area of a random crop, as a share of the image', cropMin, { above: 0, max: 1 }),
    flip: probability('a horizontal flip', flip),
    seed: integer('seed of initial weights, order and augmentation', seed, { min: 0, max: 2 ** 32 - 1 }),
  };
}

/** A command of these; `own` are settings that the other one lacks. */
function trainingCommand(
  name: Training,
  examples: Command['examples'],
  standard: typeof linearDefaults | typeof finetuneDefaults,
  own: Readonly<Record<string, Setting<unknown>>>,
): Command {
  const isLinear = name === 'linear';
  const settings = {
    ...subjectSettings,
    ...trainingSettings(standard),
    ...own,
    ...resultSettings,
    ...(isLinear && { report: toggle('write the classifier, the JSON file and the section of report.html', true) }),
  };
  return {
    usage: `${name} --weights FILE --data DIR|emoji|... [FLAGS]`,
    positional: [],
    flags: flagsOf(settings),
    examples,
    async run({ values }) {
      const {
        weights: path,
        part,
        data,
        out,
        report,
        ...options
      } = completeFlags(`slimgrad ${name}`, settings, values);
      for (const key of ['cropMin', 'flip'])
        if (isLinear && values[key] !== undefined && !values.augment)
          throw new UsageError(`${flagOf(key)}: only valid with --augment; features are of center crops`);
      const weights = await readWeights(path, part);
      const place = await placeOf(name, weights, data, { out, report });
      const file = report || !isLinear ? await classifierPlace(place) : undefined;
      const onProgress = fitProgress(process.stderr);
      const learned = await trainClassifierFile(name, place, data, { ...given(options), onProgress });
      if (file) await writeClassifier(place.encoder, learned, file); // first, as it is the most expensive to recompute
      await publish(learned.result, place);
      return 0;
    },
  };
}

const { schedule, augment, standardize } = linearDefaults;

export const linearCommand = trainingCommand(
  'linear',
  [
    ['slimgrad linear --weights runs/demo-0/slim.safetensors --data emoji', 'on features computed once'],
    ['slimgrad linear --weights slim.safetensors --data photos --augment --lr 0.1', "the paper's protocol"],
  ],
  linearDefaults,
  {
    schedule: choice('learning rate divided by 10 at 60 % and 80 %, or half a cosine', schedule, ['step', 'cosine']),
    augment: toggle('train on random crops and flips, as the paper does; runs the encoder in every step', augment),
    standardize: toggle('standardize every feature first', standardize),
    controls: toggle('train layers on the untrained encoder and on raw pixels too', true),
  },
);

export const finetuneCommand = trainingCommand(
  'finetune',
  [
    ['slimgrad finetune --weights runs/demo-0/slim.safetensors --data photos', 'three learning rates, then the best'],
    [
      'slimgrad finetune --weights slim.safetensors --data photos --lr 0.01 --scratch',
      'compared with training from scratch',
    ],
  ],
  finetuneDefaults,
  { scratch: toggle('also train the same network from initial weights, to compare', false) },
);
