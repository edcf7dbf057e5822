import { flagsOf } from '../src/config/flags.js';
import { integer, number, text, toggle } from '../src/config/kinds.js';
import { methodNames } from '../src/index.js';
import { completeFlags, describeFlags, parseFlags, UsageError } from '../src/node/cli/flags.js';
import { tableNames } from './rows.js';
import { dataNames } from './settings.js';

const settings = {
  timeBudget: number<number | null>(
    'minutes; stop before a run that would end later, to continue by the same command',
    null,
    {
      above: 0,
      shown: 'none',
    },
  ),
  only: text('only runs of these data, tables and methods, with commas: emoji,epochs,xd,sacl_xd', '', 'NAMES', {
    shown: '',
  }),
  seeds: integer('seeds of every run', 3, { min: 1, max: 1000 }),
  images: integer('images that a run sees; each number has tables of its own', 20_000, { min: 1, max: 1e9 }),
  adapter: text('auto, system, lavapipe or swiftshader', 'auto', 'NAME'),
  help: toggle('print this', false),
};
const flags = flagsOf(settings);

export const help = `usage: npm run experiments -- table [FLAGS]
       npm run experiments -- cost

Trains every method on the emoji and on Fashion-MNIST at a scale of minutes, and
writes docs/results.md. Runs in experiments/results.jsonl are not repeated.
'cost' prints the published costs next to what is counted here.

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
  const {
    timeBudget,
    only,
    seeds,
    images,
    adapter,
    help: isHelp,
  } = completeFlags('npm run experiments --', settings, values);
  const rest: Options = {
    only: only === '' ? [] : only.split(','),
    seeds,
    images,
    ...(timeBudget !== null && { minutes: timeBudget }),
    ...(values.adapter !== undefined && { adapter }),
    ...(isHelp && { help: true }),
  };
  if (isHelp) return rest;
  if (positional.length !== 1 || positional[0] !== 'table')
    throw new UsageError(`experiments: expected 'table', got '${positional.join(' ')}'; see --help`);
  for (const name of rest.only)
    if (!known.includes(name)) throw new UsageError(`--only: expected names among ${known.join(', ')}; got '${name}'`);
  return rest;
}
