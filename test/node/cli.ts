// What the command line answers and refuses. Most of it is asked within this process, which spares a hundred starts of Node; that
// the process of a user answers the same is asked once for every exit code.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { buildCli } from './build_cli.js';
import { askHere, askProcess } from './command.js';

const root = mkdtempSync(join(tmpdir(), 'slimgrad-cli-'));
let cli: Awaited<ReturnType<typeof buildCli>>;

test.before(async () => {
  cli = await buildCli();
});

test.after(() => {
  cli.remove();
  rmSync(root, { recursive: true, force: true });
});

const started = (...args: string[]) => askProcess(cli.file, root, args);
const slimgrad = (...args: string[]) => askHere(root, args);

/** Fails unless the command is refused with this exit code, a message of these parts, no stack, and no word on stdout. */
async function refused(args: string[], code: number, ...parts: string[]): Promise<void> {
  const run = await slimgrad(...args);
  const what = `slimgrad ${args.join(' ')}\n${run.stdout}${run.stderr}`;
  assert.is(run.code, code, what);
  assert.is(run.stdout, '', what);
  assert.match(run.stderr, /^slimgrad: /, what);
  assert.not.match(run.stderr, /\n {4}at |internal/, what);
  for (const part of parts) assert.ok(run.stderr.includes(part), `'${part}' in: ${what}`);
}

test('a process answers as this one does, with its exit code', async () => {
  const codes = [];
  for (const args of [
    ['--version'],
    [],
    ['eval', '--help'],
    ['pretrain', '--data', 'emoji', '--ephocs', '3'],
    ['pretrain', '--data', 'emoji', '--batch', '1'],
    ['pretrain', '--data', 'no-such-folder'],
    ['linear', '--data', 'emoji', '--weights', 'x'],
  ]) {
    const own = await slimgrad(...args);
    assert.equal(started(...args), own, args.join(' '));
    codes.push(own.code);
  }
  assert.equal(codes, [0, 2, 0, 2, 2, 1, 1]);
});

test('--version and --help answer on stdout with code 0', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  assert.equal(await slimgrad('--version'), { code: 0, stdout: `${version}\n`, stderr: '' });
  const { code, stdout } = await slimgrad('--help');
  assert.is(code, 0);
  for (const name of ['pretrain', 'embed', 'eval', 'linear', 'finetune', 'recalibrate', 'cost', 'doctor', 'demo']) {
    assert.match(stdout, new RegExp(`^  ${name} `, 'm'));
    const help = await slimgrad(name, '--help');
    assert.is(help.code, 0);
    assert.match(help.stdout, 'Usage: slimgrad');
    assert.match(help.stdout, 'Examples:');
    for (const line of help.stdout.split('\n')) assert.ok(line.length <= 80, `${name}: over 80 columns: ${line}`);
  }
});

test('no command: the overview on stderr, code 2', async () => {
  const { code, stdout, stderr } = await slimgrad();
  assert.equal([code, stdout], [2, '']);
  assert.match(stderr, 'Usage: slimgrad COMMAND');
});

test('unknown commands and flags are refused with the nearest name', async () => {
  await refused(['pretain'], 2, "unknown command 'pretain'", "did you mean 'pretrain'?");
  await refused(['--verison'], 2, "unknown flag '--verison'");
  await refused(
    ['pretrain', '--data', 'emoji', '--ephocs', '3'],
    2,
    "unknown flag '--ephocs'",
    "did you mean '--epochs'?",
  );
  await refused(['pretrain', '--data', 'emoji', '--qqqqqqqqqq', '3'], 2, "unknown flag '--qqqqqqqqqq'", '--help');
  await refused(['doctor', '--fast'], 2, "unknown flag '--fast'");
  await refused(['pretrain', 'emoji'], 2, "did not expect 'emoji'");
});

test('wrong values are refused with what was expected', async () => {
  await refused(['pretrain'], 2, 'data (--data) is required');
  await refused(['pretrain', '--data'], 2, '--data: expected DIR', 'got nothing');
  await refused(['pretrain', '--data', '--epochs', '3'], 2, '--data: expected DIR', "got '--epochs'");
  await refused(['pretrain', '--data', 'emoji', '--batch', '1'], 2, 'batch (--batch)', 'got 1', 'Batchnorm');
  await refused(['pretrain', '--data', 'emoji', '--ratio=0.5'], 2, 'ratio (--ratio)', 'got 0.5');
  await refused(['pretrain', '--data', 'emoji', '--alpha', '2'], 2, 'from 0 to 1, got 2');
  await refused(['pretrain', '--data', 'emoji', '--alpha', 'high'], 2, 'got "high"');
  await refused(['pretrain', '--data', 'emoji', '--lr', ''], 2, 'lr (--lr)', 'got ""');
  await refused(['pretrain', '--data', 'emoji', '--seed', '-1'], 2, 'seed (--seed)', 'got -1');
  await refused(
    ['pretrain', '--data', 'emoji', '--steps', '1e12'],
    2,
    'steps (--steps)',
    'from 1 to 4294967295',
    'got 1000000000000',
  );
  await refused(['pretrain', '--data', 'emoji', '--nesterov=maybe'], 2, "got 'maybe'");
  await refused(['pretrain', '--data', 'emoji', '--seed', '1', '--seed', '2'], 2, '--seed: given twice');
  await refused(['pretrain', '--data', 'emoji', '--clip', '--no-clip'], 2, '--lars-clip: given twice');
  await refused(['pretrain', '--data', 'emoji', '--epochs', '3', '--steps', '3'], 2, 'expected epochs or steps');
  await refused(
    ['pretrain', '--data', 'emoji', '--encoder', 'resnet_50'],
    2,
    'encoder (--encoder)',
    "mean 'resnet50'?",
  );
  await refused(
    ['embed', root, '--weights', 'x', '--encoder', 'resnet_50'],
    2,
    '--encoder: expected one of',
    "mean 'resnet50'?",
  );
  await refused(
    ['embed', root, '--weights', 'x', '--image-size', '224'],
    2,
    '--image-size: only valid for a torchvision file',
  );
  await refused(
    ['embed', root, '--weights', 'x', '--prefix', 'module.'],
    2,
    '--prefix: only valid for a torchvision file',
  );
  await refused(['embed', root, '--weights', 'x', '--resize', '256'], 2, '--resize: only valid for a torchvision file');
  await refused(
    ['pretrain', '--data', 'emoji', '--lambda', '1e300'],
    2,
    'lambda (--lambda)',
    'got 1e+300, which is beyond f32',
  );
  await refused(['pretrain', '--data', 'emoji', '--trust', '1e-300'], 2, 'above 0, got 1e-300, which is beyond f32');
  await refused(['eval', '--data', 'emoji'], 2, '--weights is required');
  await refused(['eval', '--data', 'emoji', '--weights', ''], 2, '--weights: expected a non-empty string, got ""');
  await refused(['eval', '--data', 'emoji', '--weights', 'x', '--k', '0'], 2, '--k: expected a whole number from 1');
  await refused(['eval', '--data', 'emoji', '--weights', 'x', '--split-seed', '4294967296'], 2, 'from 0 to 4294967295');
  for (const name of ['linear', 'finetune']) {
    const flags = ['--data', 'emoji', '--weights', 'x'];
    await refused([name, '--data', 'emoji'], 2, '--weights is required', `slimgrad ${name} --help`);
    await refused(
      [name, ...flags, '--lr', '0.1,fast'],
      2,
      '--lr: expected one number or several',
      'above 0, got [0.1,"fast"]',
    );
    await refused([name, ...flags, '--lr', ''], 2, '--lr: expected one number', 'got [""]');
    await refused([name, ...flags, '--lr', '0.1,-1'], 2, 'got [0.1,-1]');
    await refused([name, ...flags, '--epochs', '0'], 2, '--epochs: expected a whole number of at least 1, got 0');
    await refused([name, ...flags, '--batch', '1.5'], 2, '--batch: expected a whole number');
    await refused([name, ...flags, '--validation', '1'], 2, '--validation: expected a number above 0 and below 1');
    await refused([name, ...flags, '--map', 'umap'], 2, '--feature-map: expected one of pca, none, got "umap"');
    await refused([name, ...flags, '--map', 'tsne'], 2, '--feature-map: t-SNE was removed; use pca');
    await refused([name, ...flags, '--epoch', '3'], 2, "unknown flag '--epoch'", "did you mean '--epochs'?");
    await refused([name, ...flags], 1, 'cannot read x: no such file');
  }
  await refused(['linear', '--data', 'emoji', '--weights', 'x', '--flip', '0'], 2, '--flip: only valid with --augment');
  await refused(
    ['linear', '--data', 'emoji', '--weights', 'x', '--schedule', 'steps'],
    2,
    'expected one of step, cosine',
  );
  await refused(['recalibrate', '--data', 'emoji', '--weights', 'x'], 2, '--out is required');
  await refused(['embed', '--weights', 'x'], 2, 'expected DIR');
  await refused(['embed', 'x'], 2, '--weights is required');
});

test('JSON configuration takes the same keys, and flags win over it', async () => {
  const file = join(root, 'settings.json');
  writeFileSync(file, '{"data": "emoji", "weightDecai": 1}');
  await refused(['pretrain', '--config', file], 2, "unknown setting 'weightDecai'", "did you mean 'weightDecay'?");
  writeFileSync(file, '{"data": "emoji", "batch": "64"}');
  await refused(['pretrain', '--config', file], 2, 'batch (--batch)', 'got "64"');
  writeFileSync(file, '{"data": "emoji", "batch": 64}');
  await refused(['pretrain', '--config', file, '--batch', '1'], 2, 'got 1');
  for (const [text, part] of [
    ['{"data": ', 'not JSON'],
    ['[]', 'expected a JSON object'],
    ['', 'not JSON'],
  ]) {
    writeFileSync(file, text);
    await refused(['pretrain', '--config', file], 1, file, part);
  }
  await refused(['pretrain', '--config', join(root, 'none.json')], 1, 'none.json', 'no such file');
  await refused(['pretrain', '--config', root], 1, 'it is a folder');
});

test('unusable data and folders are told of, and leave nothing behind', async () => {
  await refused(['pretrain', '--data', 'no-such-folder'], 1, 'no-such-folder');
  const empty = join(root, 'empty');
  mkdirSync(empty);
  await refused(['pretrain', '--data', empty, '--out', join(root, 'run')], 1, empty);
  assert.not.ok(existsSync(join(root, 'run', '.lock')));
  await refused(['pretrain', '--data', 'cifar10', '--out', join(root, 'run2')], 2, 'cifar10:DIR');
  writeFileSync(join(root, 'file'), '');
  await refused(['pretrain', '--data', 'emoji', '--out', join(root, 'file', 'run')], 1, 'part of its path is a file');
  await refused(['pretrain', '--data', 'emoji', '--out', root], 1, 'is not empty', '--resume');
});

test('unusable weights are told of', async () => {
  const foreign = join(root, 'foreign.safetensors');
  writeFileSync(foreign, new Uint8Array(64).fill(255));
  const bare = join(root, 'bare.safetensors');
  const header = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  ';
  writeFileSync(
    bare,
    Buffer.concat([Buffer.from(BigUint64Array.of(BigInt(header.length)).buffer), Buffer.from(header), Buffer.alloc(4)]),
  );
  for (const [file, part] of [
    [join(root, 'none.safetensors'), 'no such file'],
    [foreign, 'not a usable safetensors file'],
    [bare, 'expected an encoder of slimgrad'],
  ]) {
    await refused(['eval', '--weights', file, '--data', 'emoji'], 1, file, part);
    await refused(['linear', '--weights', file, '--data', 'emoji'], 1, file, part);
    await refused(['finetune', '--weights', file, '--data', 'emoji'], 1, file, part);
    await refused(['recalibrate', '--weights', file, '--data', 'emoji', '--out', join(root, 'e')], 1, file, part);
  }
  const nowhere = join(root, 'none', 'e.csv');
  await refused(['embed', root, '--weights', bare, '--out', nowhere], 1, nowhere, 'there is no folder');
  await refused(
    ['eval', '--weights', bare, '--data', 'emoji', '--json', root],
    1,
    root,
    'a folder stands in its place',
  );
});

test('a reader that goes away is no error', async () => {
  const help = spawn(process.execPath, [cli.file, 'pretrain', '--help'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  help.stdout.destroy();
  let stderr = '';
  help.stderr.on('data', (data) => {
    stderr += data;
  });
  const code = await new Promise((done) => help.on('close', done));
  assert.equal([code, stderr], [0, '']);
});

test.run();
