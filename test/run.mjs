// Builds the tests and runs each file in a process of its own, GPU tests on every adapter at hand; `--help` has the usage.
//
// Every file draws its random numbers from a seed, a fresh one each run. For a test that fails, the runner prints the command that
// repeats it, with its seed and adapter: SLIMGRAD_SEED=… SLIMGRAD_ADAPTER=… npm test -- ops/softmax -t '…'. Where the tests of a
// file share one generator, their numbers depend on the tests before them, so the command repeats the whole file.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, watch } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findAdapters, runsOf } from './runner/adapters.mjs';
import { isNewer, namedFiles, testFiles } from './runner/files.mjs';

const usage = `npm test -- [PATH …] [-t NAME] [--watch]

  PATH        a file of tests or a folder of them: ops/add, test/ops/add.ts, ops; all where there is none
  -t NAME     only the tests whose name contains NAME, or matches it as a regular expression
  --watch     run again whenever src, kernels or test changes
  --help      print this

SLIMGRAD_ADAPTER=swiftshader|lavapipe|system keeps GPU tests to one adapter, SLIMGRAD_SEED=N repeats random numbers.
Ends with "N passed, N failed"; the exit code is 1 where any failed, 2 where the arguments are wrong.`;

const timeLimit = 300_000;
/** One more than there are cores: a test that waits for its GPU work or for a child leaves its core to another. */
const workers = Math.min(4, availableParallelism() + 1);
const isWindows = process.platform === 'win32';

/** The arguments, checked: which files, which of their tests. */
function parse() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { name: { type: 'string', short: 't' }, watch: { type: 'boolean' }, help: { type: 'boolean' } },
    });
    if (values.name === '') throw new Error('-t: expected part of a name, got nothing');
    return { ...values, isWhole: positionals.length === 0, files: namedFiles(testFiles(), positionals) };
  } catch (error) {
    console.error(`${error.message}\n\n${usage}`);
    process.exit(2);
  }
}

/** Signals a child and all that it started. */
function end(child, signal = 'SIGTERM') {
  try {
    if (isWindows) child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

const running = new Set();

/** Starts Node on these arguments, in a process group of its own, which goes when the runner is stopped. */
function start(args, options) {
  const child = spawn(process.execPath, args, { ...options, detached: !isWindows });
  running.add(child);
  child.once('close', () => running.delete(child));
  return child;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => {
    for (const child of running) end(child);
    process.exit(1);
  });

const bundleOf = (name) => join('build/test', `${name}.mjs`);

/** Runs build.mjs to its end; ends the runner where it fails. */
async function build(...args) {
  const [code] = await once(start(['build.mjs', ...args], { stdio: 'inherit' }), 'close');
  if (code !== 0) process.exit(1);
}

/** What stands in test/ of a bundled file. */
function testCodeOf(name) {
  const parts = readFileSync(bundleOf(name), 'utf8').split(/^\/\/ (?=\w+\/)/m);
  return parts.filter((part) => part.startsWith('test/')).join('');
}

/** Builds the tests, and the library where one of them takes it as built. */
async function buildAll(files, isWhole) {
  await build('test', ...(isWhole ? [] : files));
  if (!files.some((name) => /\bdist\/|['"`]slimgrad(\/\w+)?['"`]/.test(testCodeOf(name)))) return;
  // what the build writes last
  if (!isNewer('dist/index.d.ts', ['src', 'kernels', 'build.mjs', 'declarations.mjs', 'package.json'])) await build();
}

/** Every process to start: a file, the adapter it runs on if it needs one, and which of its tests. */
function jobsOf(files, adapters, pattern) {
  const own = pattern === undefined ? [] : [pattern];
  return files.flatMap((name) => {
    const code = readFileSync(bundleOf(name), 'utf8');
    const seed = process.env.SLIMGRAD_SEED ?? String(Math.floor(Math.random() * 2 ** 31));
    const runs = code.includes('openTestDevice') ? runsOf(name, adapters, seed) : [{ adapter: '', patterns: [] }];
    return runs.map(({ adapter, patterns, share }) => ({
      name,
      adapter,
      patterns: [...patterns, ...own],
      share: own.length > 0 ? undefined : share,
      mayBeEmpty: own.length > 0,
      seed: code.includes('SLIMGRAD_SEED') ? seed : undefined,
      sharesNumbers: /^(const|let|var) \w+ = generator\(/m.test(code),
    }));
  });
}

function run({ name, adapter, patterns, share, seed, mayBeEmpty }) {
  return new Promise((resolve) => {
    const started = Date.now();
    const env = {
      ...process.env,
      ...(adapter && { SLIMGRAD_ADAPTER: adapter }),
      ...(seed !== undefined && { SLIMGRAD_SEED: seed }),
      SLIMGRAD_TEST_NAMES: JSON.stringify(patterns),
      ...(share && { SLIMGRAD_TEST_SHARE: share }),
      // glibc keeps what is freed: compilers of shaders free and take the same megabytes again, a page fault for every 4 KiB
      MALLOC_TOP_PAD_: process.env.MALLOC_TOP_PAD_ ?? String(64 << 20),
    };
    const child = start(['--enable-source-maps', bundleOf(name)], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (data) => {
        output += data;
      });
    const watchdog = setTimeout(() => {
      output += `\nstopped after ${timeLimit / 1000} s`;
      end(child, 'SIGKILL');
    }, timeLimit);
    child.on('close', (code, signal) => {
      clearTimeout(watchdog);
      const count = (word) => Number(output.match(new RegExp(`${word}:\\s+(\\d+)`))?.[1] ?? 0);
      const [passed, total] = [count('Passed'), count('Total')];
      const isEmpty = mayBeEmpty && code === 0 && /^ {2}Total: +0$/m.test(output);
      // a crash, a time-out or a file without tests counts as one failure
      const failed = Math.max(total - passed, isEmpty || (code === 0 && passed > 0) ? 0 : 1);
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      if (!isEmpty)
        console.log(
          `${failed > 0 ? 'FAIL' : 'ok  '} ${name} ${adapter && `(${adapter}) `}${passed} passed ${seconds} s`,
        );
      resolve({ passed, failed, output: `${output}\nexit ${code ?? signal}` });
    });
  });
}

/** For a shell, the command that repeats each test that failed, or the file where that is not known. */
function repeats({ name, adapter, seed, share, sharesNumbers }, output) {
  const failed = [...output.matchAll(/^ {2} FAIL .*?"(.*)"$/gm)].map(
    ([, test]) => ` -t '${test.replaceAll("'", "'\\''")}'`,
  );
  const environment = `${seed === undefined ? '' : `SLIMGRAD_SEED=${seed} `}${adapter && `SLIMGRAD_ADAPTER=${adapter} `}`;
  const tests = sharesNumbers || failed.length === 0 ? [''] : failed;
  // a named test is no share of those that have its name
  const whole = (test) => (share && test === '' ? `SLIMGRAD_TEST_SHARE=${share} ` : '');
  return tests.map((test) => `repeat: ${environment}${whole(test)}npm test -- ${name}${test}`).join('\n');
}

async function runAll({ files, isWhole, name: pattern }) {
  const [adapters] = await Promise.all([findAdapters(), buildAll(files, isWhole)]);
  const jobs = jobsOf(files, adapters, pattern);
  const needsAdapter = files.some((name) => readFileSync(bundleOf(name), 'utf8').includes('openTestDevice'));
  const totals = { passed: 0, failed: 0 };
  const failures = [];
  if (needsAdapter && adapters.length > 0) console.log(`adapters: ${adapters.join(', ')}`);
  if (needsAdapter && adapters.length === 0) {
    totals.failed++;
    failures.push('\nFAIL: no adapter computes here: install @sparticuz/chromium, Mesa’s lavapipe or a GPU driver');
  }
  const queue = jobs.toReversed();
  const worker = async () => {
    for (let job = queue.pop(); job; job = queue.pop()) {
      const { passed, failed, output } = await run(job);
      totals.passed += passed;
      totals.failed += failed;
      if (failed > 0) failures.push(`\nFAIL ${bundleOf(job.name)} ${job.adapter}\n${output}\n${repeats(job, output)}`);
    }
  };
  await Promise.all(Array.from({ length: workers }, worker));
  if (totals.passed + totals.failed === 0) {
    totals.failed++;
    failures.push(`\nFAIL: no test matches -t '${pattern}'`);
  }
  // told at the end, where a reader of a long log looks first
  for (const failure of failures) console.log(failure);
  console.log(`${totals.passed} passed, ${totals.failed} failed`);
  process.exitCode = totals.failed > 0 ? 1 : 0;
}

/** Runs the same command without --watch now and after every change; a run that a change overtakes is stopped. */
async function watchAll() {
  const args = [process.argv[1], ...process.argv.slice(2).filter((arg) => arg !== '--watch')];
  let child;
  let timer;
  let wake;
  for (const folder of ['src', 'kernels', 'test'])
    watch(folder, { recursive: true }, (_, file) => {
      if (folder === 'src' && file?.startsWith('generated')) return; // what a run itself writes
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (running.has(child)) end(child);
        wake();
      }, 200);
    });
  for (;;) {
    const changed = new Promise((resolve) => {
      wake = resolve;
    });
    process.stdout.write(process.stdout.isTTY ? '\x1bc' : '\n');
    child = start(args, { stdio: 'inherit' });
    await Promise.all([once(child, 'close'), changed]);
  }
}

const options = parse();
if (options.help) console.log(usage);
else if (options.watch) await watchAll();
else await runAll(options);
