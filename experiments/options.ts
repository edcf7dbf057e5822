import { methodNames } from '../src/index.js';
import { describeFlags, type Flag, parseFlags, UsageError } from '../src/node/cli/flags.js';
import { tableNames } from './rows.js';
import { dataNames } from './settings.js';

const flags: readonly Flag[] = [
  {
    flag: '--time-budget',
    key: 'minutes',
    value: 'MINUTES',
    doc: 'stop before a run that would end later; the same command goes on from there',
    default: 'none',
    fromText: Number,
  },
  {
    flag: '--only',
    key: 'only',
    value: 'NAMES',
    doc: 'only runs of these data, tables and methods, with commas: emoji,epochs,xd,sacl_xd',
  },
  { flag: '--seeds', key: 'seeds', value: 'N', doc: 'seeds of every run', default: '3', fromText: Number },
  {
    flag: '--images',
    key: 'images',
    value: 'N',
    doc: 'images that a run sees; each number has tables of its own',
    default: '20000',
    fromText: Number,
  },
  { flag: '--adapter', key: 'adapter', value: 'NAME', doc: 'auto, system, lavapipe or swiftshader', default: 'auto' },
  { flag: '--help', key: 'help', value: '', doc: 'print this' },
];

export const help = `usage: npm run experiments -- table [FLAGS]
       npm run experiments -- cost

Trains every method on the emoji and on Fashion-MNIST at a scale of minutes, and
writes docs/results.md. Runs that experiments/results.jsonl has are not made again.
'cost' prints the published costs beside what is counted here.

${describeFlags(flags)}`;

/** What a call asks for. */
export interface Options {
  minutes?: number;
  only: readonly string[];
  seeds: number;
  images: number;
  adapter?: string;
  help?: boolean;
}

const known: readonly string[] = [...dataNames, ...tableNames, ...methodNames];

/** @throws UsageError that names what was expected */
export function parseOptions(args: readonly string[]): Options {
  const { values, positional } = parseFlags(args, flags);
  const { only, seeds = 3, images = 20_000, minutes } = values as Partial<Omit<Options, 'only'>> & { only?: string };
  const rest = { ...values, seeds, images, only: only?.split(',') ?? [] };
  if (values.help) return rest;
  if (positional.length !== 1 || positional[0] !== 'table')
    throw new UsageError(`experiments: expected 'table', got '${positional.join(' ')}'; see --help`);
  const whole = (flag: string, value: number, most: number) => {
    if (!(Number.isInteger(value) && value >= 1 && value <= most))
      throw new UsageError(`${flag}: expected a whole number from 1 to ${most}, got ${value}`);
  };
  whole('--seeds', seeds, 1000);
  whole('--images', images, 1e9);
  if (minutes !== undefined && !(minutes > 0)) throw new UsageError(`--time-budget: expected minutes, got ${minutes}`);
  for (const name of rest.only)
    if (!known.includes(name)) throw new UsageError(`--only: expected names among ${known.join(', ')}; got '${name}'`);
  return rest;
}
