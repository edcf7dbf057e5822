import { scientific } from '../src/cost/text.js';
import { claims } from './claims.js';
import { published } from './published.js';
import type { Line } from './results.js';
import { type Row, type TableName, tableNames } from './rows.js';
import {
  type DataName,
  dataNames,
  distilled,
  fashion,
  linearOptions,
  ratio,
  teacherMethod,
  triedRates,
} from './settings.js';
import {
  countOf,
  type Difference,
  differenceOf,
  type Found,
  foundOf,
  type Measure,
  samplingError,
  spread,
} from './statistics.js';

/** The rows of one `--images`. */
export interface Scaled {
  readonly images: number;
  readonly rows: readonly Row[];
}

const titles: Record<TableName, string> = {
  epochs: 'methods at equal epochs',
  flops: 'methods at equal FLOPs',
  ratio: 'how much wider the host is',
  alpha: 'contrast against cross distillation',
  slice: 'which channels the slim encoder keeps',
  bn: 'what host and slim encoder share of batchnorm',
  distilled: "distilled from the other encoder's embeddings, or from one's own",
  rates: 'learning rates, on a seed of their own',
};

const dataTitles: Record<DataName, string> = { emoji: 'Emoji, two drawings of each', 'fashion-mnist': 'Fashion-MNIST' };

const measures: readonly (readonly [Measure, string])[] = [
  ['knn', 'kNN'],
  ['linear', 'linear'],
  ['top1', 'retrieval'],
  ['top5', 'top-5'],
  ['effectiveRank', 'eff. rank'],
];

/** docs/results.md: the contents of the results file, in Markdown. */
export function renderPage(scales: readonly Scaled[], byKey: ReadonlyMap<string, Line>, lost = 0): string {
  const lines = [...byKey.values()];
  const parts = [opening(scales, byKey, lines, lost)];
  for (const { images, rows } of scales) {
    const found = new Map(rows.map((row) => [row, foundOf(row, byKey)]));
    for (const data of dataNames) {
      const own = rows.filter((row) => row.data === data);
      const tables = tableNames.flatMap((table) => {
        const text = tableText(
          own.filter((row) => row.table === table),
          found,
        );
        return text ? [`### ${capital(titles[table])}\n\n${text}`] : [];
      });
      if (tables.length > 0)
        parts.push(`## ${dataTitles[data]}: ${count(images)} images a run\n\n${remark(own, found)}`, ...tables);
    }
    parts.push(...claimsText(images, rows, found), ...publishedText(images, rows, found));
  }
  return `${parts.join('\n\n')}\n`;
}

function opening(
  scales: readonly Scaled[],
  byKey: ReadonlyMap<string, Line>,
  lines: readonly Line[],
  lost: number,
): string {
  const planned = scales.map(({ images, rows }) => {
    const all = rows.flatMap((row) => row.planned);
    const have = rows.flatMap((row) => [...foundOf(row, byKey).lines]);
    return `${have.length} of ${all.length} figures at ${count(images)} images a run`;
  });
  const adapters = [
    ...new Set(lines.map(({ adapter, software }) => `${adapter}${software ? ' (software, on a CPU)' : ''}`)),
  ];
  const versions = [...new Set(lines.map(({ version }) => version))];
  const dates = lines.map(({ date }) => date).sort();
  const measured =
    lines.length === 0
      ? 'Nothing has been measured yet.'
      : `Measured on ${adapters.join('; ')}, by version ${versions.join(', ')}, ${[...new Set([dates[0], dates.at(-1)])].join(' to ')}. In so far: ${planned.join('; ')}.`;
  const gone = lost > 0 ? ` ${lost} lines of the file have settings that no longer exist, and are left out.` : '';
  return `# Results

Written by \`npm run experiments -- table\` from [experiments/results.jsonl](../experiments/results.jsonl), a line for each run
with all its settings. The same command goes on where it was stopped.

${measured}${gone}

**These are minutes on a CPU, not ImageNet.** A small MobileNet-V1 (width 0.25, blocks 64/1 128/2 256/2 512/1) at 32 px. Every
method trains the same slim encoder, and only that one is measured. Short runs and few images favor what learns fast: read
the tables as what is seen here, not as a ranking of methods.

- *Equal epochs*: every run sees as many images. *Equal FLOPs*: every run may spend what \`sacl_xd\` does at equal epochs.
- Learning rates: of ${triedRates.join(', ')} (SGD, a batch of 256) each method has what is best for it on the emoji by the mean of kNN and linear
  accuracy, on a seed and split that no other table uses, and at that many images a run or, where they have not all been tried there, at the next
  number at which they have. Teachers have the demo's.
- FLOPs are the recorded steps' own: two a multiply-add of convolutions, linear layers and products. \`seed\`, \`disco\` and
  \`ssl_small\` learn from a teacher, trained before by \`${teacherMethod}\` on the same images, ${ratio} times as wide; its FLOPs are
  the second figure, and at equal FLOPs it has half of them. \`ssl_small\` starts from an encoder that \`seed\` trained on ${100 * distilled} % of its images, in whole epochs, one at least. In
  \`rekd\` and \`oss\` the teacher is trained along, ${ratio} times as wide too.
- Emoji: two artists' drawings of one emoji are the two views, so training knows which are twins; a fifth of the emoji, by the
  seed, is held out (drawn by number up to 2026-11-25, by name since). Classes are the 9 categories; *retrieval*: is the twin the nearest of all held-out drawings in the other
  style? Fashion-MNIST: ${count(fashion.train)} of its training and ${count(fashion.test)} of its test images, two augmentations of one image.
- *kNN*: k = 20. *Linear*: a linear layer on standardized features, ${linearOptions.epochs} epochs, its learning rate of ${linearOptions.lr.join(' and ')} chosen on a fifth of
  the training images. *Untrained*: as the seed makes them, a slice of a host as
  those of \`sacl_xd\` and \`sacl\` begin, and an encoder on its own, as all others begin. *Raw pixels*: the same measures of the pixels.
- Figures are per cent, mean ± standard deviation over the seeds (n − 1). *images/s* is the training's, by the median step, of
  the seed that was least held up.`;
}

/** Sampling error of a single figure, by the counts of test images. */
function remark(rows: readonly Row[], found: ReadonlyMap<Row, Found>): string {
  const all = rows.flatMap((row) => [...(found.get(row) as Found).lines.values()]);
  const parts = (['knn', 'top1'] as const).flatMap((measure) => {
    const some = all.filter(({ scores }) => scores?.[measure] !== undefined);
    if (some.length === 0) return [];
    const errors = some.map((line) => samplingError(line.scores?.[measure] as number, countOf(line, measure)));
    const name = measure === 'knn' ? 'kNN and linear' : 'retrieval';
    return [
      `± ${(100 * Math.max(...errors)).toFixed(1)} for ${name} (${count(countOf(some[0], measure))} ${measure === 'knn' ? 'test images' : 'pairs'})`,
    ];
  });
  return parts.length > 0
    ? `Sampling error of one run's figure, which the deviation over seeds does not hold in full: at most ${parts.join(', ')}.`
    : 'Nothing measured yet.';
}

function tableText(rows: readonly Row[], found: ReadonlyMap<Row, Found>): string | undefined {
  const of = (row: Row) => found.get(row) as Found;
  const any = rows.flatMap((row) => [...of(row).lines.values()]);
  if (any.length === 0 && rows.every((row) => of(row).errors.length === 0)) return undefined;
  const shown = measures.filter(([key]) => any.some(({ scores }) => scores?.[key] !== undefined));
  const head = ['', 'seeds', ...shown.map(([, name]) => name), 'FLOPs', 'images', 'images/s'];
  const body = rows.map((row) => {
    const { lines, errors } = of(row);
    const have = [...lines.values()];
    const [first] = have;
    const name = /^(untrained|raw pixels|teacher)/.test(row.name) ? row.name : `\`${row.name}\``;
    const status = `${have.length} of ${row.planned.length}`;
    if (!first)
      return [
        name,
        status,
        ...shown.map(() => '–'),
        errors.length > 0 ? `failed: ${cell(errors[0])}` : 'not yet',
        '–',
        '–',
      ];
    const cells = shown.map(([key]) =>
      scoreText(
        have.map(({ scores }) => scores?.[key]),
        key,
      ),
    );
    const own = first.flops > 0 ? scientific(first.flops, 2) : '–';
    const flops = first.teacherFlops ? `${own} + ${scientific(first.teacherFlops, 2)}` : own;
    const paces = have.flatMap(({ imagesPerSecond }) => imagesPerSecond ?? []);
    const pace = paces.length > 0 ? count(Math.round(Math.max(...paces))) : '–';
    return [name, status, ...cells, flops, first.images > 0 ? count(first.images) : '–', pace];
  });
  return markdown(head, body);
}

function scoreText(values: readonly (number | undefined)[], key: Measure): string {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0) return '–';
  const { mean, deviation } = spread(known);
  const factor = key === 'effectiveRank' ? 1 : 100;
  return `${(factor * mean).toFixed(1)}${deviation === undefined ? '' : ` ± ${(factor * deviation).toFixed(1)}`}`;
}

function claimsText(images: number, rows: readonly Row[], found: ReadonlyMap<Row, Found>): string[] {
  const find = (data: DataName, [table, name]: readonly [TableName, string]) => {
    const row = rows.find((each) => each.data === data && each.table === table && each.name === name);
    return row && found.get(row);
  };
  const body = claims.flatMap(({ text, published: isPublished, ahead, behind, data }) =>
    data.flatMap((name) => {
      const [a, b] = [find(name, ahead), find(name, behind)];
      const by = (measure: Measure) => a && b && differenceOf(a, b, measure);
      const [knn, linear, top1] = [by('knn'), by('linear'), by('top1')];
      if (!knn || !linear) return [];
      const verdicts = [knn, linear, top1].map((difference) => difference && verdict(difference));
      return [
        [`${text}${isPublished ? '' : ' *'}`, name, `${knn.seeds}`, ...[knn, linear, top1].map(gap), summary(verdicts)],
      ];
    }),
  );
  if (body.length === 0) return [];
  return [
    `## The paper's claims, and what is seen here: ${count(images)} images a run`,
    `Differences in points, over the seeds that both rows have, ± their standard error: the scatter of the seeds or what the
number of test images allows, whichever is more. A difference counts from two standard errors on. \`alpha\` is 0.5 where nothing
is said, \`ratio\` ${ratio}. Rows with * compare what the paper makes no claim about. With several dozen comparisons a few will pass two standard
errors by chance.`,
    markdown(['claim', 'on', 'seeds', 'kNN', 'linear', 'retrieval', 'here'], body, 2),
  ];
}

type Verdict = 'yes' | 'no' | 'open';

function verdict({ mean, error }: Difference): Verdict {
  if (Math.abs(mean) < 2 * error) return 'open';
  return mean > 0 ? 'yes' : 'no';
}

/** What the measures say together. */
function summary(verdicts: readonly (Verdict | undefined)[]): string {
  const has = (verdict: Verdict) => verdicts.includes(verdict);
  if (has('yes') && has('no')) return 'mixed';
  if (has('yes')) return 'seen';
  return has('no') ? '**contradicted**' : 'within the error';
}

function gap(difference: Difference | undefined): string {
  if (!difference) return '–';
  const { mean, error } = difference;
  return `${mean < 0 ? '−' : '+'}${Math.abs(100 * mean).toFixed(1)} ± ${(100 * error).toFixed(1)}`;
}

function publishedText(images: number, rows: readonly Row[], found: ReadonlyMap<Row, Found>): string[] {
  const ours = (data: DataName, method: string) => {
    const row = rows.find((each) => each.data === data && each.table === 'epochs' && each.name === method);
    const lines = row && [...(found.get(row) as Found).lines.values()];
    return scoreText(lines?.map(({ scores }) => scores?.linear) ?? [], 'linear');
  };
  const figure = (value: number | undefined) => value?.toFixed(2) ?? '–';
  const body = published.map(({ method, about, mobilenetV1, mobilenetV3, efficientnetB0 }) => [
    `\`${method}\`${about ? `, ${about}` : ''}`,
    ...[mobilenetV1, mobilenetV3, efficientnetB0].map(figure),
    ...dataNames.map((data) => ours(data, method)),
  ]);
  return [
    '## Beside what was published, at ImageNet scale',
    `The middle columns are not measured here: linear evaluation on ImageNet-1K, per cent, as published with SACL+XD (NeurIPS 2023), from 100
to 200 epochs of 1.28 million images at 224 px. The last two are linear evaluation of the runs above, ${count(images)} images each. No figure of one
kind can be compared with one of the other; the order of methods can.`,
    markdown(
      ['', 'MobileNet-V1', 'MobileNet-V3', 'EfficientNet-B0', ...dataNames.map((data) => `here: ${data}`)],
      body,
    ),
  ];
}

function markdown(head: readonly string[], body: readonly (readonly string[])[], left = 1): string {
  const rule = head.map((_, i) => (i < left ? '---' : '---:'));
  return [head, rule, ...body].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

const count = (value: number) => value.toLocaleString('en');
const capital = (text: string) => text[0].toUpperCase() + text.slice(1);
/** The beginning of a message, as a cell of a table. */
const cell = (message: string) => {
  const [line] = message.split('\n');
  return (line.length > 100 ? `${line.slice(0, 97)}...` : line).replaceAll('|', '\\|');
};
