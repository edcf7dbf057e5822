import { encoderNames } from '../../config/encoders.js';
import { integer, methodNames, number, type Setting } from '../../config/kinds.js';
import { flagOf } from '../../config/settings.js';
import { trainingText } from '../../cost/text.js';
import { imagenetImages, type TrainingSpec, trainingCost } from '../../cost/training_cost.js';
import { ConfigError } from '../../errors.js';
import type { Command } from './command.js';
import { type Flag, UsageError } from './flags.js';

const numbers: Readonly<Record<string, Setting<number>>> = {
  width: number('width of the slim encoder against the published network', 1, { min: 1 / 32, max: 16 }),
  ratio: number('K of Kx-1x: the host is K times as wide', 1.5, {
    min: 1,
    max: 16,
    shown: '1.5 where a host is sliced, else 1',
  }),
  epochs: integer('passes over the images', 100, { min: 1, max: 1e6 }),
  images: integer('images of an epoch', imagenetImages, { min: 1, shown: `ImageNet's ${imagenetImages}` }),
  imageSize: integer('side of the images, in pixels', 224, { min: 8, max: 1024 }),
  teacherEpochs: integer("epochs of the teacher's own training, where that comes first", 800, { min: 0, max: 1e6 }),
  batch: integer('images in a step', 256, { min: 2, max: 65536, shown: "the file's" }),
};

const names: readonly Flag[] = [
  { flag: '--encoder', key: 'encoder', value: 'NAME', doc: encoderNames.join(', '), default: 'needed' },
  { flag: '--method', key: 'method', value: 'NAME', doc: methodNames.join(', '), default: 'sacl_xd' },
  {
    flag: '--teacher',
    key: 'teacher',
    value: 'NAME',
    doc: "the teacher's architecture; needed by seed, disco, rekd and oss",
  },
];

const flags: readonly Flag[] = [
  ...names.map((flag) => ({ ...flag, group: 'Training' })),
  ...Object.entries(numbers).map(([key, { doc, value, fromText, shown, default: standard }]) => ({
    flag: flagOf(key),
    key,
    group: 'Training',
    value,
    doc,
    fromText,
    default: shown ?? String(standard),
  })),
  {
    flag: '--config',
    key: 'config',
    group: 'Instead',
    value: 'FILE',
    doc: "a run's settings: count its own step, part by part; flags given beside it win",
  },
];

export const costCommand: Command = {
  name: 'cost',
  summary: 'count the FLOPs of a training; needs no adapter',
  usage: 'cost --encoder NAME [FLAGS]',
  positional: [],
  flags,
  examples: [
    ['slimgrad cost --encoder mobilenet_v3_large --method xd', 'as published costs are counted: 3.600e17 FLOPs'],
    ['slimgrad cost --encoder efficientnet_b0 --method seed --teacher resnet50', 'with its teacher'],
    ['slimgrad cost --config runs/a/config.json --images 50000', 'a run of your own'],
  ],
  async run({ values }) {
    const { config, ...given } = values;
    const settings = readNumbers(given);
    if (config !== undefined) {
      refuse(given, ['teacher', 'teacherEpochs'], 'is of published costs; a run names its own teacher in its settings');
      const { costOfFile } = await import('./cost_file.js');
      console.log(await costOfFile(String(config), settings));
    } else {
      refuse(given, ['batch'], 'means something with --config only');
      if (given.encoder === undefined)
        throw new UsageError('--encoder: needed, but not given; see slimgrad cost --help');
      const spec = { method: 'sacl_xd', epochs: 100, ...settings } as TrainingSpec;
      console.log(trainingText(spec, trainingCost(spec)));
    }
    return 0;
  },
};

/** The values, numbers checked. */
function readNumbers(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const read = ([key, value]: [string, unknown]) => {
    const row = numbers[key];
    const accepted = row ? row.accept(value) : value;
    if (accepted === undefined) throw new ConfigError(`${flagOf(key)}: expected ${row.expected}, got '${value}'`);
    return [key, accepted] as const;
  };
  return Object.fromEntries(Object.entries(given).map(read));
}

function refuse(given: Readonly<Record<string, unknown>>, keys: readonly string[], why: string): void {
  for (const key of keys) if (given[key] !== undefined) throw new UsageError(`${flagOf(key)}: ${why}; leave it out`);
}
