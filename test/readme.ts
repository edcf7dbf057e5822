// The README's examples, run as they stand: commands first, for a few steps, then the programs that use what they wrote.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { transform } from 'esbuild';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { generator } from './random.js';

const readme = readFileSync('README.md', 'utf8');
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(([, text]) => text);
const commands = blocks('sh').flatMap((text) => text.split('\n').filter((line) => line.startsWith('npx slimgrad ')));
const programs = blocks('ts');

const folder = mkdtempSync(join(tmpdir(), 'slimgrad-readme-'));
const beside = resolve('build', `readme-${process.pid}`); // inside the package, so that it finds itself by name

test.before(async () => {
  const random = generator();
  mkdirSync(beside, { recursive: true });
  mkdirSync(join(folder, 'photos'));
  for (let i = 0; i < 20; i++) {
    const raw = { width: 40, height: 30 + i, channels: 3 as const };
    const pixels = Uint8Array.from({ length: raw.width * raw.height * 3 }, () => random() * 256);
    await sharp(pixels, { raw })
      .png()
      .toFile(join(folder, 'photos', `${i}.png`));
  }
});

test.after(() => {
  rmSync(folder, { recursive: true, force: true });
  rmSync(beside, { recursive: true, force: true });
});

function run(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((done) => {
    execFile(process.execPath, args, { cwd: folder, timeout: 120_000 }, (error, out, err) => {
      done({ code: error ? Number(error.code ?? -1) : 0, out, err });
    });
  });
}

test('the README has commands and programs', () => {
  assert.ok(
    commands.length >= 2 && programs.length >= 3,
    `found ${commands.length} commands, ${programs.length} programs`,
  );
});

for (const line of commands)
  test(line, async () => {
    const quick = line
      .replace(/--epochs \d+/, '--steps 2 --batch 8 --width 0.25 --projector 16')
      .split(/\s+/)
      .slice(2);
    const { code, out, err } = await run([resolve('dist/cli.js'), ...quick]);
    assert.is(code, 0, out + err);
  });

programs.forEach((program, i) => {
  test(`program ${i + 1}: ${program.match(/console\.log\((.*)\)/)?.[1]}`, async () => {
    const { code: source } = await transform(program, { loader: 'ts', format: 'esm', target: 'es2022' });
    const file = join(beside, `${i}.mjs`);
    writeFileSync(file, source);
    const { code, out, err } = await run([file]);
    assert.is(code, 0, out + err);
    assert.match(out, /\d/, 'it prints its result');
    const promised = program.match(/console\.log\(.*\); \/\/ (.*)/)?.[1];
    if (promised) assert.is(out.trim().replaceAll('[ ', '[').replaceAll(' ]', ']'), promised);
  });
});

test.run();
