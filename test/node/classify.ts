// `eval`, `linear`, `finetune` and `classify` from the command line, on a run and a folder of images that the test makes.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readSafetensors } from '../../src/formats/safetensors.js';
import type { Result } from '../../src/node/eval/scores.js';
import { generator, seed } from '../random.js';
import { buildCli } from './build_cli.js';
import { asker } from './command.js';

const root = mkdtempSync(join(tmpdir(), 'slimgrad-classify-'));
const classes = ['blue sky', 'green', 'red & hot'];
const perClass = 14;
let cli: Awaited<ReturnType<typeof buildCli>>;
let ask: ReturnType<typeof asker>;

test.before(async () => {
  cli = await buildCli();
  ask = asker(cli.file, root);
  const random = generator();
  for (const [c, name] of classes.entries()) {
    mkdirSync(join(root, 'photos', name), { recursive: true });
    mkdirSync(join(root, 'same'), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const raw = { width: 20, height: 16 + (i % 5), channels: 3 as const };
      const bytes = raw.width * raw.height * 3;
      const pixels = Uint8Array.from({ length: bytes }, (_, p) => (p % 3 === 2 - c ? 190 : 60) + 50 * random());
      const file = join(root, 'photos', name, `${i}.png`);
      await sharp(pixels, { raw }).png().toFile(file);
      if (c === 0) writeFileSync(join(root, 'same', `${i}.png`), readFileSync(file));
    }
  }
  const made = await slimgrad(
    ...'pretrain --data photos --image-size 16 --width 0.25 --stem-stride 2'.split(' '),
    ...['--blocks', '64/1 128/2'],
    ...'--projector 16 --batch 8 --steps 3 --ratio 1.5 --out run'.split(' '),
  );
  assert.is(made.code, 0, made.output);
});

test.after(() => {
  cli.remove();
  rmSync(root, { recursive: true, force: true });
});

const slimgrad = (...args: string[]) => ask(args);

const result = (file: string): Result & { format: string } => JSON.parse(readFileSync(join(root, file), 'utf8'));
const report = (folder = 'run') => readFileSync(join(root, folder, 'report.html'), 'utf8');
const count = (text: string, part: string) => text.split(part).length - 1;
const held = 13; // of 42, by their names and the run's seed
const subject = ['--weights', 'run/slim.safetensors', '--data', 'photos'];

test("linear: figures, a JSON file, and a section of the run's report, once however often it runs", async () => {
  const before = report();
  const args = ['linear', ...subject, '--epochs', '60', '--lr', '1,10', '--batch', '7', '--recalibrate'];
  const first = await slimgrad(...args);
  assert.is(first.code, 0, first.output);
  assert.match(first.stdout, /slim encoder, trained +\d+\.\d % +\d+\.\d %/);
  assert.match(first.stdout, /slim encoder, untrained/);
  assert.match(first.stdout, /raw pixels/);
  assert.match(first.stdout, /Learning rate of slim encoder, trained: (1|10), chosen on .* \(1 \d+\.\d %, 10 \d+/);
  assert.match(first.stderr, /slim encoder, trained: run 3 of 3, learning rate (1|10), epoch 60 of 60/);
  assert.match(first.stdout, /^Encoder and classifier, for slimgrad classify: run\/linear-slim-photos\.safetensors\n/);
  assert.match(first.stdout, /linear-slim-photos\.json and report\.html are in run\n$/);

  const found = result('run/linear-slim-photos.json');
  assert.equal([found.format, found.what, found.part, found.data], ['slimgrad result 1', 'linear', 'slim', 'photos']);
  assert.equal(found.confusion?.classes, classes);
  const [trained] = found.scores;
  assert.ok((trained.linear as number) >= 0.75, `${trained.linear} (seed ${seed})`);
  const counts = found.confusion?.counts.flat() ?? [];
  assert.is(
    counts.reduce((sum, n) => sum + n, 0),
    held,
  );
  const right = [0, 4, 8].reduce((sum, i) => sum + counts[i], 0);
  assert.is(trained.linear, right / held);
  assert.is(trained.linearTop5, undefined, 'of three classes top-5 says nothing');
  assert.equal(found.map?.labels.length, held);
  assert.is(found.fitted?.length, 3);
  assert.is(found.fitted?.[0].log.length, 60);
  const sum = (values: readonly number[] = []) => values.reduce((a, b) => a + b, 0);
  assert.equal([sum(found.classes?.train), sum(found.classes?.test)], [42 - held, held]);

  const page = report();
  assert.is(count(page, '<!-- result linear-slim-photos -->'), 1);
  assert.match(page, 'Linear evaluation of the slim encoder on photos');
  assert.match(page, 'red &#38; hot');
  const [head, tail] = before.split('<!-- results -->');
  assert.ok(page.startsWith(head) && page.endsWith(tail), 'the rest of the report stays');

  const second = await slimgrad(...args);
  assert.is(second.code, 0, second.output);
  assert.is(second.stdout, first.stdout, 'bit for bit');
  assert.equal(result('run/linear-slim-photos.json'), found);
  assert.is(report(), page);
});

test('host and slim, other data and other commands have sections and files of their own', async () => {
  const host = await slimgrad(
    'linear',
    '--weights',
    'run/host.safetensors',
    '--data',
    'photos',
    '--epochs',
    '2',
    '--lr',
    '0.1',
    '--no-controls',
    '--map',
    'pca',
    '--standardize',
    '--schedule',
    'cosine',
  );
  assert.is(host.code, 0, host.output);
  assert.not.match(host.stdout, 'raw pixels');
  const found = result('run/linear-host-photos.json');
  assert.is(found.scores.length, 1);
  assert.ok(found.map && found.map.labels.length > 0);
  const evaluated = await slimgrad('eval', ...subject, '--k', '3');
  assert.is(evaluated.code, 0, evaluated.output);
  assert.is(result('run/eval-slim-photos.json').confusion?.of, 'kNN of the slim encoder, trained');
  const page = report();
  for (const name of ['linear-slim-photos', 'linear-host-photos', 'eval-slim-photos'])
    assert.is(count(page, `<!-- result ${name} -->`), 1, name);

  const before = readdirSync(join(root, 'run')).sort();
  const silent = await slimgrad(
    'linear',
    ...subject,
    '--epochs',
    '2',
    '--lr',
    '1',
    '--augment',
    '--flip',
    '0',
    '--batch',
    '8',
    '--no-controls',
    '--no-report',
  );
  assert.is(silent.code, 0, silent.output);
  assert.match(silent.stdout, 'random crops and flips, drawn for every epoch');
  assert.not.match(silent.stdout, 'report.html');
  assert.equal(readdirSync(join(root, 'run')).sort(), before);
  assert.is(report(), page);
});

test('finetune: figures, its section, and an encoder that every command reads', async () => {
  mkdirSync(join(root, 'tuned'));
  const tuned = await slimgrad(
    'finetune',
    ...subject,
    '--epochs',
    '60',
    '--lr',
    '0.1',
    '--batch',
    '8',
    '--crop-min',
    '0.5',
    '--scratch',
    '--out',
    'tuned',
  );
  assert.is(tuned.code, 0, tuned.output);
  assert.match(tuned.stdout, /slim encoder, fine-tuned +\d+\.\d %/);
  assert.match(tuned.stdout, /slim encoder, from scratch +\d+\.\d %/);
  assert.equal(readdirSync(join(root, 'tuned')).sort(), [
    'finetune-slim-photos.json',
    'finetune-slim-photos.safetensors',
    'report.html',
  ]);
  const found = result('tuned/finetune-slim-photos.json');
  assert.ok((found.scores[0].finetuned as number) >= 0.75, `${found.scores[0].finetuned} (seed ${seed})`);
  assert.equal(
    found.fitted?.map(({ lr, batch, trials }) => [lr, batch, trials.length]),
    [
      [0.1, 8, 0],
      [0.1, 8, 0],
    ],
  );
  const page = report('tuned');
  assert.match(page, /<title>slimgrad: Evaluation<\/title>/);
  assert.match(page, 'Fine-tuning of the slim encoder on photos');
  assert.not.match(page, /(src|href|url|@import)\s*[=(]?\s*["']?(https?:|\/\/)/);

  const weights = 'tuned/finetune-slim-photos.safetensors';
  const again = await slimgrad('eval', '--weights', weights, '--data', 'photos', '--map', 'none');
  assert.is(again.code, 0, again.output);
  assert.is(count(report('tuned'), '<!-- result '), 2);
  assert.ok(existsSync(join(root, 'tuned', 'eval-finetune-slim-photos-photos.json')));
  writeFileSync(join(root, 'photos', 'loose.png'), readFileSync(join(root, 'same', '0.png')));
  const embedded = await slimgrad('embed', 'photos', '--weights', weights, '--out', 'e.csv');
  unlinkSync(join(root, 'photos', 'loose.png'));
  assert.is(embedded.code, 0, embedded.output);
  const rows = readFileSync(join(root, 'e.csv'), 'utf8').trimEnd().split('\n');
  assert.ok(
    rows.some((row) => row.startsWith('loose.png,')),
    'an image beside the sub-folders is embedded too',
  );
  assert.match(embedded.output, `Wrote ${rows.length - 1} embeddings`);

  const recalibrated = await slimgrad(
    'recalibrate',
    '--weights',
    weights,
    '--data',
    'photos',
    '--out',
    'tuned/r.safetensors',
  );
  assert.is(recalibrated.code, 0, recalibrated.output);
  const [then, now] = [weights, 'tuned/r.safetensors'].map((file) =>
    readSafetensors(readFileSync(join(root, file)), file),
  );
  for (const name of ['classifier.weight', 'classifier.bias'])
    assert.equal(now.tensors.get(name), then.tensors.get(name), name);
  assert.not.equal(now.tensors.get('features.0.1.running_mean'), then.tensors.get('features.0.1.running_mean'));
});

test('classify: a line an image, by what finetune or linear trained, as they had it', async () => {
  for (const weights of ['tuned/finetune-slim-photos.safetensors', 'run/linear-slim-photos.safetensors']) {
    const { code, stdout, output } = await slimgrad('classify', 'photos', '--weights', weights, '--out', 'labels.csv');
    assert.is(code, 0, output);
    const [head, ...lines] = readFileSync(join(root, 'labels.csv'), 'utf8').trimEnd().split('\n');
    assert.is(head, 'file,label,blue sky,green,red & hot');
    assert.is(lines.length, 3 * perClass);
    const counts = new Map<string, number>();
    let right = 0;
    for (const line of lines) {
      const [file, label, ...shares] = line.split(',');
      const numbers = shares.map(Number);
      assert.ok(Math.abs(numbers.reduce((a, b) => a + b, 0) - 1) < 1e-4, line);
      assert.is(classes[numbers.indexOf(Math.max(...numbers))], label, line);
      counts.set(label, (counts.get(label) ?? 0) + 1);
      if (file.startsWith(`${label}/`)) right++;
    }
    assert.ok(right >= 0.75 * lines.length, `${right} of ${lines.length} by ${weights} (seed ${seed})`);
    for (const [label, count] of counts) assert.match(stdout, new RegExp(`^  ${label} +${count}$`, 'm'));
  }
  const alone = await slimgrad('classify', 'photos', '--weights', 'run/slim.safetensors', '--out', 'none.csv');
  assert.is(alone.code, 1, alone.output);
  assert.match(alone.stderr, 'run/slim.safetensors: expected a classifier behind the encoder, got an encoder alone');
  assert.not.ok(existsSync(join(root, 'none.csv')));

  const exported = await slimgrad(
    'export',
    '--weights',
    'tuned/finetune-slim-photos.safetensors',
    '--out',
    'tuned.onnx',
  );
  assert.is(exported.code, 0, exported.output);
  assert.match(exported.stdout, 'logits    (batch, 3)   of the classes in its metadata: blue sky, green, red & hot');
});

test('what cannot be evaluated is refused by name, before the work, and leaves no file', async () => {
  mkdirSync(join(root, 'foreign'));
  writeFileSync(join(root, 'foreign', 'report.html'), '<title>my own</title>');
  const before = [readdirSync(join(root, 'run')).sort(), report()];
  for (const [args, code, ...parts] of [
    [[...subject, '--batch', '40'], 2, 'expected a batch from 1 to', 'give a smaller batch, or more images'],
    [[...subject, '--lr', '0.1,0.2', '--validation', '0.01'], 2, 'leaves none to choose a learning rate by'],
    [
      ['--weights', 'run/slim.safetensors', '--data', 'same'],
      1,
      'same has no labels',
      'two sub-folders or more whose names are the labels',
    ],
    [[...subject, '--out', 'nowhere'], 1, 'there is no folder nowhere'],
    [[...subject, '--out', 'foreign'], 1, join('foreign', 'report.html'), 'expected a report of slimgrad'],
  ] as const)
    for (const command of ['linear', 'finetune']) {
      const { code: got, stdout, stderr, output } = await slimgrad(command, ...args, '--epochs', '1');
      assert.is(got, code, output);
      assert.is(stdout, '', output);
      for (const part of parts) assert.ok(stderr.includes(part), `'${part}' in: ${output}`);
    }
  mkdirSync(join(root, 'lone', 'one'), { recursive: true });
  for (let i = 0; i < 6; i++)
    writeFileSync(join(root, 'lone', 'one', `${i}.png`), readFileSync(join(root, 'same', `${i}.png`)));
  const lone = await slimgrad('finetune', '--weights', 'run/slim.safetensors', '--data', 'lone');
  assert.match(lone.stderr, /finetune: lone has no labels: expected two sub-folders or more/);
  assert.equal([readdirSync(join(root, 'run')).sort(), report()], before);
  assert.not.ok(existsSync(join(root, 'nowhere')));
  assert.equal(readdirSync(join(root, 'foreign')), ['report.html']);
});

test.run();
