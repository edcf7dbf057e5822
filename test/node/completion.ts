// The scripts that complete command lines: bash's run in a real bash, the others' checked by their shells where these are
// installed, and everywhere by what they name.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { settingFlags } from '../../src/config/settings.js';
import { commands } from '../../src/node/cli/commands.js';
import { buildCli } from './build_cli.js';

const root = mkdtempSync(join(tmpdir(), 'slimgrad-completion-'));
let cli: Awaited<ReturnType<typeof buildCli>>;
const scripts: Record<string, string> = {};

test.before(async () => {
  cli = await buildCli();
  mkdirSync(join(root, 'photos'));
  writeFileSync(join(root, 'photo.safetensors'), '');
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli.file, 'completion', shell], {
      encoding: 'utf8',
    });
    assert.equal([status, stderr], [0, '']);
    scripts[shell] = join(root, `slimgrad.${shell}`);
    writeFileSync(scripts[shell], stdout);
    scripts[`${shell} text`] = stdout;
  }
});

test.after(() => {
  cli.remove();
  rmSync(root, { recursive: true, force: true });
});

/** What bash offers for the last of these words. */
function offered(...words: string[]): string[] {
  const line = `source ${scripts.bash}; COMP_WORDS=(slimgrad "$@"); COMP_CWORD=$#; _slimgrad; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-c', line, 'bash', ...words], {
    cwd: root,
    encoding: 'utf8',
  });
  assert.equal([status, stderr], [0, '']);
  return stdout.split('\n').filter((name) => name !== '');
}

test('bash completes commands, flags, choices and paths', () => {
  assert.equal(offered('').sort(), [...commands.map(({ name }) => name), 'help', '--help', '--version'].sort());
  assert.equal(offered('e').sort(), ['embed', 'eval', 'export']);
  assert.equal(offered('pretrain', '--lars-c'), ['--lars-clip']);
  assert.equal(offered('pretrain', '--data', 'emoji', '--opt'), ['--optimizer']);
  assert.equal(offered('pretrain', '--optimizer', ''), ['lars', 'sgd', 'adamw']);
  assert.equal(offered('pretrain', '--optimizer', '=', ''), ['lars', 'sgd', 'adamw']);
  assert.equal(offered('pretrain', '--optimizer', '='), ['lars', 'sgd', 'adamw']);
  assert.equal(offered('pretrain', '--data', 'cifar'), ['cifar10:', 'cifar100:']);
  assert.equal(offered('pretrain', '--data', 'ph'), ['photos']);
  assert.equal(offered('eval', '--weights', 'ph').sort(), ['photo.safetensors', 'photos']);
  assert.equal(offered('embed', 'ph'), ['photos']);
  assert.equal(offered('embed', '--weights', 'x', 'ph'), ['photos']);
  assert.equal(offered('completion', ''), ['bash', 'zsh', 'fish']);
  assert.equal(offered('help', 'ev'), ['eval']);
  assert.equal(offered('doctor', '-'), ['--json', '--help']);
  assert.equal(offered('eval', '--k', ''), []);
});

test('every flag is in every script', async () => {
  assert.ok(settingFlags().length > 40);
  for (const { name, load } of commands)
    for (const { flag } of (await load()).flags) {
      assert.match(scripts['bash text'], new RegExp(`^    ${name}\\) flags='[^']*${flag}[ ']`, 'm'));
      assert.ok(scripts['zsh text'].includes(`'${flag}[`), `zsh: ${name} ${flag}`);
      const line = `complete -c slimgrad -n '__fish_seen_subcommand_from ${name}' -l ${flag.slice(2)} `;
      assert.ok(scripts['fish text'].includes(line), `fish: ${line}`);
    }
});

test('zsh and fish can read theirs: quotes are closed, and the shells agree where they are installed', () => {
  assert.match(scripts['zsh text'], /^#compdef slimgrad\n_slimgrad\(\) \{\n[\s\S]*\n\}\ncompdef _slimgrad slimgrad\n$/);
  for (const line of scripts['fish text'].trim().split('\n')) {
    assert.match(line, /^(# |complete -c slimgrad -n )/);
    assert.is(line.replace(/\\[\\']/g, '').split("'").length % 2, 1, `an open quote: ${line}`);
  }
  for (const line of scripts['zsh text'].split('\n'))
    assert.is(line.replaceAll("'\\''", '').split("'").length % 2, 1, `an open quote: ${line}`);
  for (const shell of ['zsh', 'fish']) {
    const { error, status, stderr } = spawnSync(shell, ['-n', scripts[shell]], { encoding: 'utf8' });
    if ((error as NodeJS.ErrnoException | undefined)?.code !== 'ENOENT') assert.equal([status, stderr], [0, '']);
  }
});

test('a shell that is not known is refused', () => {
  const { status, stderr } = spawnSync(process.execPath, [cli.file, 'completion', 'fishy'], { encoding: 'utf8' });
  assert.is(status, 2);
  assert.match(stderr, 'expected one of bash, zsh, fish');
  assert.match(stderr, "Did you mean 'fish'?");
});

test.run();
