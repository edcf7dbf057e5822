// Times the cases on every side, interleaved, after checking each side's numbers against f64.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { availableParallelism, loadavg } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { flagsOf, type Values } from '../../src/config/flags.js';
import { integer, text, toggle } from '../../src/config/kinds.js';
import { ConfigError, SlimgradError } from '../../src/errors.js';
import { completeFlags, describeFlags, parseFlags, UsageError } from '../../src/node/cli/flags.js';
import { writeFileAtomic } from '../../src/node/system/files.js';
import { seed as freshSeed, generator } from '../../test/random.js';
import { geomean, typical } from '../measure.js';
import { digits, Table } from '../table.js';
import { type Case, cases, inputsOf, type Pass } from './cases.js';
import { passes, reference } from './reference.js';
import type { Answer, Request } from './side.js';

const sides = ['ours', 'tfjs', 'jax'] as const;
type SideName = (typeof sides)[number];

const flagSettings = {
  filter: text('only the cases with this in their name, e.g. depthwise', '', 'TEXT', { shown: '' }),
  rounds: integer('rounds at least', 5, { min: 1 }),
  core: integer('the core that all sides run on', 0, { min: 0 }),
  fastest: toggle('the fastest round, not the median: on a machine that others use', false),
  seed: integer<number | null>('of inputs and weights', null, { min: 0, shown: 'fresh' }),
  json: text('also write everything measured as JSON', '', 'FILE', { shown: '' }),
  help: toggle('print this', false),
};
const flags = flagsOf(flagSettings);

type Options = Values<typeof flagSettings>;

/** What one side did on one case. */
interface Result {
  adapter?: string;
  /** Root of the mean square of the error over that of the value, the worst output's. */
  error?: number;
  worst?: string;
  wrong?: boolean;
  /** Why there is no time: it could not be installed, crashed, or took too long. */
  failure?: string;
  /** From a fresh process to the end of the first run of all passes, compilation included. */
  firstMs?: number;
  /** Of every round. */
  times: Partial<Record<Pass, number[]>>;
}

/** A side in a process of its own, as peers change globals; one core, and one thread for an adapter on the CPU. */
class Process {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(side: SideName, core: number) {
    const script = fileURLToPath(new URL(`./${side}.mjs`, import.meta.url));
    const command = [process.execPath, '--enable-source-maps', script];
    const pinned = hasTaskset ? ['taskset', '-c', String(core), ...command] : command;
    const env = { ...process.env, LP_NUM_THREADS: '1' };
    this.#child = spawn(pinned[0], pinned.slice(1), { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr?.on('data', (data) => {
      this.#errors = (this.#errors + data).slice(-4000);
    });
    this.#child.stdin?.on('error', () => undefined); // its end is noticed where an answer is awaited
    const { stdout } = this.#child;
    this.#lines = createInterface({ input: stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async ask(request: Request, seconds = 600): Promise<Answer> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    const watchdog = setTimeout(() => {
      this.#errors += `\nno answer to '${request.do}' in ${seconds} s`;
      this.#child.kill('SIGKILL');
    }, seconds * 1000);
    try {
      const answer = await this.#answer();
      if (answer.error) throw new Error(answer.error);
      return answer;
    } finally {
      clearTimeout(watchdog);
    }
  }

  async #answer(): Promise<Answer> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(this.#errors.trim() || 'the process ended without a word');
      if (value.startsWith('{')) return JSON.parse(value);
      this.#errors += `${value}\n`; // Dawn prints uncaught errors
    }
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

const hasTaskset = spawnSync('taskset', ['--version']).status === 0;
const samples = 2000;
/** Rounds go on until a pass has been timed for so long on a side, up to `roundLimit` of them. */
const span = 300;
const roundLimit = 25;

async function bench(options: Options): Promise<void> {
  const { filter, rounds, core, fastest, json } = options;
  const seed = options.seed ?? freshSeed;
  const take = fastest ? 'fastest' : 'median';
  const chosen = cases.filter(({ name }) => name.includes(filter));
  if (chosen.length === 0)
    throw new UsageError(`--filter: expected part of ${cases.map(({ name }) => name).join(', ')}; got '${filter}'`);
  const [load] = loadavg();
  console.log(
    `${hasTaskset ? `core ${core} alone` : 'no taskset: all cores'}, LP_NUM_THREADS=1, ` +
      `load ${load.toFixed(1)} on ${availableParallelism()} cores before the start, seed ${seed}; ` +
      `ms, ${take} of at least ${rounds} rounds`,
  );
  const table = new Table([
    ['case', 36, 'left'],
    ['ours', 10],
    ['tfjs', 10],
    ['jax-js', 10],
    ['fastest correct peer / ours', 28],
  ]);
  const ratios: number[] = [];
  const rows: object[] = [];
  const notes: string[] = [];
  let adapter: string | undefined;
  for (const c of chosen) {
    const results = await benchCase(c, rounds, core, seed);
    for (const [side, { adapter: found, failure, wrong, worst, error }] of Object.entries(results)) {
      adapter ??= found;
      if (failure) notes.push(`${c.name}, ${side} failed: ${shortened(failure)}`);
      if (wrong) notes.push(`${c.name}, ${side} is WRONG: error ${error?.toExponential(1)} in ${worst}`);
      if (side === 'ours' && (failure || wrong)) process.exitCode = 1;
    }
    for (const pass of passes(c)) {
      const name = c.kind === 'step' ? c.name : `${c.name} ${pass === 'forward' ? 'fwd' : 'fwd+bwd'}`;
      const ms = (side: SideName) => {
        const times = results[side].times[pass];
        return times && typical(times, { take });
      };
      const ours = ms('ours');
      const peers = (['tfjs', 'jax'] as const).flatMap((side) => (results[side].wrong ? [] : (ms(side) ?? [])));
      const ratio = ours && peers.length > 0 && !results.ours.wrong ? Math.min(...peers) / ours : undefined;
      if (ratio && pass === 'both' && c.kind !== 'step') ratios.push(ratio);
      const cells = sides.map((side) => cell(results[side], ms(side)));
      table.row([name, ...cells, ratio ? `${digits(ratio)}x` : '-']);
      const measured = sides.map((side) => {
        const { times, ...about } = results[side];
        return [side, { ms: ms(side), ...about, rounds: times[pass] }] as const;
      });
      rows.push({ case: c.name, pass: c.kind === 'step' ? 'step' : pass, ratio, ...Object.fromEntries(measured) });
    }
  }
  for (const note of notes) console.log(note);
  console.log(`adapter: ${adapter ?? 'none'}; load ${loadavg()[0].toFixed(1)} at the end`);
  const mean = ratios.length > 0 ? geomean(ratios) : undefined;
  if (json) {
    const about = {
      date: new Date().toISOString(),
      adapter,
      core: hasTaskset ? core : undefined,
      load,
      seed,
      rounds,
      take,
    };
    await writeFileAtomic(json, `${JSON.stringify({ ...about, rows, geomean: mean }, null, 1)}\n`);
  }
  console.log(`geomean ${mean ? digits(mean) : '-'}`);
}

/** The line that says it, of a whole stack. */
function shortened(failure: string): string {
  const lines = failure.split('\n');
  return (lines.find((line) => /error|no answer/i.test(line)) ?? lines[0]).slice(0, 300);
}

function cell({ failure, wrong }: Result, ms: number | undefined): string {
  if (failure) return 'failed';
  return wrong ? 'WRONG' : ms === undefined ? '-' : digits(ms);
}

async function benchCase(c: Case, rounds: number, core: number, seed: number): Promise<Record<SideName, Result>> {
  const expected = reference(c, seed);
  const results: Record<SideName, Result> = { ours: { times: {} }, tfjs: { times: {} }, jax: { times: {} } };
  const running = new Map<SideName, Process>();
  /** What a side is asked; one that fails is left out from there on. */
  const attempt = async (side: SideName, what: (child: Process) => Promise<void>) => {
    const child = running.get(side);
    if (!child) return;
    try {
      await what(child);
    } catch (error) {
      results[side].failure = String((error as Error).message);
      child.stop();
      running.delete(side);
    }
  };
  try {
    for (const side of sides) {
      running.set(side, new Process(side, core));
      await attempt(side, (child) => check(child, c, seed, expected, results[side]));
    }
    for (const pass of passes(c)) {
      const longest = () => Math.min(...[...running.keys()].map((side) => sum(results[side].times[pass] ?? [])));
      for (let round = 0; round < rounds || (round < roundLimit && longest() < span); round++) {
        if (running.size === 0) break;
        for (const side of running.keys())
          await attempt(side, async (child) => {
            const { ms = Number.NaN } = await child.ask({ do: 'run', pass });
            results[side].times[pass] = [...(results[side].times[pass] ?? []), ms];
          });
      }
    }
  } finally {
    for (const child of running.values()) child.stop();
  }
  return results;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Runs every pass once, which compiles it, and compares what the last one, with its gradients, gave. */
async function check(
  child: Process,
  c: Case,
  seed: number,
  expected: Record<string, Float64Array>,
  result: Result,
): Promise<void> {
  const started = performance.now();
  result.adapter = (await child.ask({ do: 'load', case: c.name, seed })).adapter;
  for (const pass of passes(c)) await child.ask({ do: 'run', pass });
  result.firstMs = performance.now() - started;

  const random = generator(seed + 1);
  const at = Object.fromEntries(
    Object.entries(expected).map(([name, { length }]) => [
      name,
      Array.from({ length: Math.min(samples, length) }, (_, k) =>
        length <= samples ? k : Math.floor(random() * length),
      ),
    ]),
  );
  const { values = {} } = await child.ask({ do: 'sample', at });
  // compare the change of a step's weights: the weights themselves are right to 1 % without any training
  const before = c.kind === 'step' ? inputsOf(c, seed) : {};
  const change = (name: string, of: ArrayLike<number | null>) => (i: number, k: number) =>
    (of[of === values[name] ? k : i] ?? Number.NaN) - (before[name]?.[i] ?? 0);
  const wanted = Object.entries(at).map(([name, indices]) => ({
    name,
    found: indices.map(change(name, values[name])),
    expected: indices.map(change(name, expected[name])),
  }));
  // and a bias in front of a normalization has no gradient but rounding: it is measured by the weights' that have one
  const trained = wanted.filter(({ name }) => name in before).map(({ expected }) => rms(expected));
  result.error = 0;
  for (const { name, found, expected } of wanted) {
    const floor = name in before ? 1e-3 * Math.max(...trained) : 0;
    const error = rms(found.map((value, i) => value - expected[i])) / Math.max(rms(expected), floor);
    if (error <= result.error) continue;
    result.error = error; // NaN stays NaN: nothing is above it
    result.worst = name;
    if (Number.isNaN(error)) break;
  }
  result.wrong = !(result.error <= c.tolerance);
}

function rms(values: readonly number[]): number {
  return Math.sqrt(sum(values.map((value) => value ** 2)) / values.length);
}

try {
  const { values, positional } = parseFlags(process.argv.slice(2), flags);
  if (positional.length > 0) throw new UsageError(`bench:peers: expected flags alone, got '${positional[0]}'`);
  const options = completeFlags('npm run bench:peers --', flagSettings, values);
  if (options.help) console.log(describeFlags(flags));
  else await bench(options);
} catch (error) {
  if (!(error instanceof SlimgradError)) throw error;
  console.error(error.message);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}
