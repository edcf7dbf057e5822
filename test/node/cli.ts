import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { buildCli } from './build_cli.js';

const root = mkdtempSync(join(tmpdir(), 'slimgrad-cli-'));
let cli: Awaited<ReturnType<typeof buildCli>>;

test.before(async () => {
  cli = await buildCli();
});

test.after(() => {
  cli.remove();
  rmSync(root, { recursive: true, force: true });
});

function slimgrad(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli.file, ...args], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: status, stdout, stderr };
}

/** Fails unless the command is refused with this exit code, a message of these parts, no stack, and no word on stdout. */
function refused(args: string[], code: number, ...parts: string[]): void {
  const run = slimgrad(...args);
  const what = `slimgrad ${args.join(' ')}\n${run.stdout}${run.stderr}`;
  assert.is(run.code, code, what);
  assert.match(run.stderr, /^slimgrad: /, what);
  assert.not.match(run.stderr, /\n {4}at |internal/, what);
  for (const part of parts) assert.ok(run.stderr.includes(part), `'${part}' in: ${what}`);
}

test('--version and --help answer on stdout with code 0', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  assert.equal(slimgrad('--version'), { code: 0, stdout: `${version}\n`, stderr: '' });
  const { code, stdout } = slimgrad('--help');
  assert.is(code, 0);
  for (const name of ['pretrain', 'embed', 'eval', 'linear', 'finetune', 'recalibrate', 'cost', 'doctor', 'demo']) {
    assert.match(stdout, new RegExp(`^  ${name} `, 'm'));
    const help = slimgrad(name, '--help');
    assert.is(help.code, 0);
    assert.match(help.stdout, 'Usage: slimgrad');
    assert.match(help.stdout, 'Examples:');
    for (const line of help.stdout.split('\n')) assert.ok(line.length <= 80, `${name}: over 80 columns: ${line}`);
  }
});

test('no command: the overview on stderr, code 2', () => {
  const { code, stdout, stderr } = slimgrad();
  assert.equal([code, stdout], [2, '']);
  assert.match(stderr, 'Usage: slimgrad COMMAND');
});

test('unknown commands and flags are refused with the nearest name', () => {
  refused(['pretain'], 2, "unknown command 'pretain'", "did you mean 'pretrain'?");
  refused(['--verison'], 2, "unknown flag '--verison'");
  refused(['pretrain', '--data', 'emoji', '--ephocs', '3'], 2, "unknown flag '--ephocs'", "did you mean '--epochs'?");
  refused(['pretrain', '--data', 'emoji', '--qqqqqqqqqq', '3'], 2, "unknown flag '--qqqqqqqqqq'", '--help');
  refused(['doctor', '--fast'], 2, "unknown flag '--fast'");
  refused(['pretrain', 'emoji'], 2, "did not expect 'emoji'");
});

test('wrong values are refused with what was expected', () => {
  refused(['pretrain'], 2, 'data (--data) is required');
  refused(['pretrain', '--data'], 2, '--data: expected DIR', 'got nothing');
  refused(['pretrain', '--data', '--epochs', '3'], 2, '--data: expected DIR', "got '--epochs'");
  refused(['pretrain', '--data', 'emoji', '--batch', '1'], 2, 'batch (--batch)', 'got 1', 'Batchnorm');
  refused(['pretrain', '--data', 'emoji', '--ratio=0.5'], 2, 'ratio (--ratio)', 'got 0.5');
  refused(['pretrain', '--data', 'emoji', '--alpha', '2'], 2, 'from 0 to 1, got 2');
  refused(['pretrain', '--data', 'emoji', '--alpha', 'high'], 2, 'got "high"');
  refused(['pretrain', '--data', 'emoji', '--lr', ''], 2, 'lr (--lr)', 'got ""');
  refused(['pretrain', '--data', 'emoji', '--seed', '-1'], 2, 'seed (--seed)', 'got -1');
  refused(
    ['pretrain', '--data', 'emoji', '--steps', '1e12'],
    2,
    'steps (--steps)',
    'from 1 to 4294967295',
    'got 1000000000000',
  );
  refused(['pretrain', '--data', 'emoji', '--nesterov=maybe'], 2, "got 'maybe'");
  refused(['pretrain', '--data', 'emoji', '--seed', '1', '--seed', '2'], 2, '--seed: given twice');
  refused(['pretrain', '--data', 'emoji', '--clip', '--no-clip'], 2, '--lars-clip: given twice');
  refused(['pretrain', '--data', 'emoji', '--epochs', '3', '--steps', '3'], 2, 'expected epochs or steps');
  refused(['pretrain', '--data', 'emoji', '--encoder', 'resnet_50'], 2, 'encoder (--encoder)', "mean 'resnet50'?");
  refused(
    ['embed', root, '--weights', 'x', '--encoder', 'resnet_50'],
    2,
    '--encoder: expected one of',
    "mean 'resnet50'?",
  );
  refused(
    ['embed', root, '--weights', 'x', '--image-size', '224'],
    2,
    '--image-size: only valid for a torchvision file',
  );
  refused(['embed', root, '--weights', 'x', '--prefix', 'module.'], 2, '--prefix: only valid for a torchvision file');
  refused(['embed', root, '--weights', 'x', '--resize', '256'], 2, '--resize: only valid for a torchvision file');
  refused(
    ['pretrain', '--data', 'emoji', '--lambda', '1e300'],
    2,
    'lambda (--lambda)',
    'got 1e+300, which is beyond f32',
  );
  refused(['pretrain', '--data', 'emoji', '--trust', '1e-300'], 2, 'above 0, got 1e-300, which is beyond f32');
  refused(['eval', '--data', 'emoji'], 2, '--weights is required');
  refused(['eval', '--data', 'emoji', '--weights', ''], 2, '--weights: expected a non-empty string, got ""');
  refused(['eval', '--data', 'emoji', '--weights', 'x', '--k', '0'], 2, '--k: expected a whole number from 1');
  refused(['eval', '--data', 'emoji', '--weights', 'x', '--split-seed', '4294967296'], 2, 'from 0 to 4294967295');
  for (const name of ['linear', 'finetune']) {
    const flags = ['--data', 'emoji', '--weights', 'x'];
    refused([name, '--data', 'emoji'], 2, '--weights is required', `slimgrad ${name} --help`);
    refused(
      [name, ...flags, '--lr', '0.1,fast'],
      2,
      '--lr: expected one number or several',
      'above 0, got [0.1,"fast"]',
    );
    refused([name, ...flags, '--lr', ''], 2, '--lr: expected one number', 'got [""]');
    refused([name, ...flags, '--lr', '0.1,-1'], 2, 'got [0.1,-1]');
    refused([name, ...flags, '--epochs', '0'], 2, '--epochs: expected a whole number of at least 1, got 0');
    refused([name, ...flags, '--batch', '1.5'], 2, '--batch: expected a whole number');
    refused([name, ...flags, '--validation', '1'], 2, '--validation: expected a number above 0 and below 1');
    refused([name, ...flags, '--map', 'umap'], 2, '--feature-map: expected one of pca, none, got "umap"');
    refused([name, ...flags, '--map', 'tsne'], 2, '--feature-map: t-SNE was removed; use pca');
    refused([name, ...flags, '--epoch', '3'], 2, "unknown flag '--epoch'", "did you mean '--epochs'?");
    refused([name, ...flags], 1, 'cannot read x: no such file');
  }
  refused(['linear', '--data', 'emoji', '--weights', 'x', '--flip', '0'], 2, '--flip: only valid with --augment');
  refused(['linear', '--data', 'emoji', '--weights', 'x', '--schedule', 'steps'], 2, 'expected one of step, cosine');
  refused(['recalibrate', '--data', 'emoji', '--weights', 'x'], 2, '--out is required');
  refused(['embed', '--weights', 'x'], 2, 'expected DIR');
  refused(['embed', 'x'], 2, '--weights is required');
});

test('JSON configuration takes the same keys, and flags win over it', () => {
  const file = join(root, 'settings.json');
  writeFileSync(file, '{"data": "emoji", "weightDecai": 1}');
  refused(['pretrain', '--config', file], 2, "unknown setting 'weightDecai'", "did you mean 'weightDecay'?");
  writeFileSync(file, '{"data": "emoji", "batch": "64"}');
  refused(['pretrain', '--config', file], 2, 'batch (--batch)', 'got "64"');
  writeFileSync(file, '{"data": "emoji", "batch": 64}');
  refused(['pretrain', '--config', file, '--batch', '1'], 2, 'got 1');
  for (const [text, part] of [
    ['{"data": ', 'not JSON'],
    ['[]', 'expected a JSON object'],
    ['', 'not JSON'],
  ]) {
    writeFileSync(file, text);
    refused(['pretrain', '--config', file], 1, file, part);
  }
  refused(['pretrain', '--config', join(root, 'none.json')], 1, 'none.json', 'no such file');
  refused(['pretrain', '--config', root], 1, 'it is a folder');
});

test('unusable data and folders are told of, and leave nothing behind', () => {
  refused(['pretrain', '--data', 'no-such-folder'], 1, 'no-such-folder');
  const empty = join(root, 'empty');
  mkdirSync(empty);
  refused(['pretrain', '--data', empty, '--out', join(root, 'run')], 1, empty);
  assert.not.ok(existsSync(join(root, 'run', '.lock')));
  refused(['pretrain', '--data', 'cifar10', '--out', join(root, 'run2')], 2, 'cifar10:DIR');
  writeFileSync(join(root, 'file'), '');
  refused(['pretrain', '--data', 'emoji', '--out', join(root, 'file', 'run')], 1, 'part of its path is a file');
  refused(['pretrain', '--data', 'emoji', '--out', root], 1, 'is not empty', '--resume');
});

test('unusable weights are told of', () => {
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
    refused(['eval', '--weights', file, '--data', 'emoji'], 1, file, part);
    refused(['linear', '--weights', file, '--data', 'emoji'], 1, file, part);
    refused(['finetune', '--weights', file, '--data', 'emoji'], 1, file, part);
    refused(['recalibrate', '--weights', file, '--data', 'emoji', '--out', join(root, 'e')], 1, file, part);
  }
  const nowhere = join(root, 'none', 'e.csv');
  refused(['embed', root, '--weights', bare, '--out', nowhere], 1, nowhere, 'there is no folder');
  refused(['eval', '--weights', bare, '--data', 'emoji', '--json', root], 1, root, 'a folder stands in its place');
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
