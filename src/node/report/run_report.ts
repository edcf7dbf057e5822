// report.html of a run.
import { methods } from '../../config/methods.js';
import { type SettingKey, type TrainConfig, usedKeys } from '../../config/settings.js';
import { flopText } from '../../cost/text.js';
import type { RunCost } from '../../train/cost.js';
import type { Evaluation } from '../eval/scores.js';
import { duration, figure, percent } from '../system/figures.js';
import { type Chart, renderChart, span } from './chart.js';
import { type Correlation, correlationSection } from './correlation.js';
import { costSection } from './cost.js';
import { foundSection } from './found.js';
import { stepSeconds } from './pace.js';
import { escapeHtml, renderPage, resultsHere } from './page.js';
import { figures, noteLines, scoreTable } from './scores.js';
import { scoreNames } from './verdict.js';

export interface ReportData {
  config: TrainConfig;
  adapter: string;
  /** Images, or pairs of them, trained on. */
  images: number;
  /** Lines of metrics.jsonl. */
  metrics: readonly Readonly<Record<string, number | string>>[];
  /** C of the last step; nothing where this process made none. */
  correlation?: Correlation;
  evaluation?: Evaluation;
  /** What the run computes. */
  cost?: RunCost;
  /** What its scores say, in a sentence. */
  verdict?: string;
}

/** Names of the pairs of views that are correlated. */
const pairs: Record<string, string> = {
  live: 'z<sup>A</sup>, z<sup>B</sup>',
  frozenA: 'z<sup>A</sup>, frozen',
  frozenB: 'z<sup>B</sup>, frozen',
  features: 'features',
};

/** The page of a run: one file that asks the network for nothing. */
export function renderReport(data: ReportData): string {
  const { config, evaluation } = data;
  const main = [
    evaluation?.found ? foundSection(evaluation.found) : '',
    tiles(data),
    evaluation ? evaluationSection(evaluation) : '',
    resultsHere,
    `<section><h2>Training</h2>${data.verdict ? `<p>${escapeHtml(data.verdict)}</p>` : ''}<div class="charts">${charts(data.metrics).map(renderChart).join('')}</div></section>`,
    data.correlation ? correlationSection(data.correlation, methods[config.method].compared) : '',
    data.cost ? costSection(data.cost, stepSeconds(data.metrics)) : '',
    configSection(data),
    config.data === 'emoji' ? attributions : '',
  ];
  return renderPage({
    title: `${methods[config.method].title} on ${escapeHtml(config.data)}`,
    kicker: 'slimgrad run report',
    lead: lead(data),
    main: main.join('\n'),
  });
}

/** Who is trained. */
function whoText({ method, ratio, encoder, width, init }: TrainConfig): string {
  const slim = `${encoder} at width ${figureOf(width)}`;
  const { networks, teacher } = methods[method];
  const wide = `a host ${figureOf(ratio)} times as wide; both are trained together`;
  const start = init === null ? '' : ` Training started from ${escapeHtml(init)}.`;
  if (networks === 'sliced') return `The slim encoder, ${slim}, is a slice of ${wide}.${start}`;
  if (networks === 'two') return `The slim encoder, ${slim}, learns from ${wide}.${start}`;
  return teacher ? `The encoder, ${slim}, learns from a frozen teacher.${start}` : `One encoder, ${slim}.${start}`;
}

function lead({ config, adapter, images }: ReportData): string {
  const who = whoText(config);
  const set = `${images.toLocaleString('en')} ${config.protocol === 'paired' ? 'pairs' : 'images'}`;
  const protocol = config.protocol === 'paired' ? 'paired: two drawings of one emoji are the two views' : 'augmented';
  return `${who} ${set} of ${config.imageSize} x ${config.imageSize} pixels, protocol ${protocol}. Computed on ${escapeHtml(adapter)}.`;
}

function tiles({ config, metrics, evaluation, cost }: ReportData): string {
  const last = metrics.at(-1);
  const seconds = stepSeconds(metrics);
  const trained = evaluation?.scores[0];
  const items: [string, string, string][] = [];
  if (trained?.knn !== undefined) items.push(['kNN accuracy', percent(trained.knn), escapeHtml(trained.name)]);
  if (trained?.combinedMirrored !== undefined)
    items.push(['copies found', percent(trained.combinedMirrored), 'cropped, rotated, recolored, mirrored']);
  if (trained?.top1 !== undefined) items.push(['retrieval top-1', percent(trained.top1), 'twin in the other style']);
  if (last) {
    items.push(['final loss', figure(Number(last.loss)), `after ${last.step} steps of ${config.batch}`]);
    const seen = Number(last.step) * config.batch;
    items.push(['images seen', seen.toLocaleString('en'), `${figure(Number(last.epoch) + 1)} epochs begun`]);
  }
  if (last && cost) {
    const [value, unit] = flopText(Number(last.step) * cost.step.flops).split(' ');
    items.push([`${unit} computed`, value, `${flopText(cost.step.flops)} a step`]);
  }
  if (seconds) {
    items.push(['images a second', figure(config.batch / seconds), `${figure(seconds * 1000)} ms a step (median)`]);
    items.push(['training time', duration(seconds * metrics.length), 'steps x median']);
  }
  const tile = ([name, value, note]: [string, string, string]) =>
    `<div class="tile"><span>${name}</span><strong>${value}</strong><small>${note}</small></div>`;
  return `<section class="tiles">${items.map(tile).join('')}</section>`;
}

function evaluationSection(evaluation: Evaluation): string {
  const { on, notes } = evaluation;
  return `<section><h2>Evaluation</h2><p>On ${escapeHtml(on)}.</p>${scoreTable(evaluation)}${noteLines(notes)}${figures(evaluation)}</section>`;
}

const rank = 'effectiveRank.';

function charts(metrics: ReportData['metrics']): Chart[] {
  const x = metrics.map((m) => Number(m.step));
  const has = (key: string) => metrics.some((m) => typeof m[key] === 'number');
  const series = (key: string, name: string) => ({ name, x, y: metrics.map((m) => Number(m[key] ?? Number.NaN)) });
  const parts = [
    ['loss', 'loss'],
    ['sacl', 'SACL'],
    ['xd', 'XD'],
    ['contrast', 'contrast'],
    ['distillation', 'distillation'],
    ['teacher', 'of the teacher'],
    ['predictA', 'view A predicts B'],
    ['predictB', 'view B predicts A'],
  ].filter(([key]) => has(key));
  const ofPairs = (kind: string) =>
    Object.entries(pairs)
      .filter(([pair]) => has(`${kind}.${pair}`))
      .map(([pair, name]) => series(`${kind}.${pair}`, name));
  const losses = metrics.flatMap((m) => parts.map(([key]) => Number(m[key])).filter((v) => v > 0));
  const ranked = [...new Set(metrics.flatMap((m) => Object.keys(m)))].filter((key) => key.startsWith(rank));
  const { min, max } = span(losses);
  const wide = max > 4 * min;
  return [
    {
      title: 'Loss',
      caption: 'What is minimized, and its parts, unweighed.',
      xLabel: 'step',
      series: parts.map(([key, name]) => series(key, name)),
      log: wide,
      include: wide ? [] : [0],
    },
    {
      title: 'On the diagonal',
      caption: 'Mean of C<sub>ii</sub>. At 1 the two views of an image agree in every dimension.',
      xLabel: 'step',
      series: ofPairs('onDiagonal'),
      include: [0, 1],
    },
    {
      title: 'Off the diagonal',
      caption: 'Sum of C<sub>ij</sub>² over i ≠ j. At 0 no dimension repeats another.',
      xLabel: 'step',
      series: ofPairs('offDiagonal'),
      log: true,
    },
    {
      title: 'Effective rank',
      caption:
        'How many directions a batch of embeddings, or of features, fills, at the end of each epoch. 1 is collapse.',
      xLabel: 'step',
      series: ranked.map((key) => series(key, key.slice(rank.length))),
      include: [1],
    },
    ...(has('score.copies')
      ? [
          {
            title: 'On held-out images',
            caption:
              'Share of edited copies whose original is the nearest and, with labels, that kNN classifies right.',
            xLabel: 'step',
            series: Object.entries(scoreNames)
              .filter(([key]) => has(key))
              .map(([key, name]) => series(key, name)),
            include: [0],
          },
        ]
      : []),
    {
      title: 'Learning rate',
      caption: 'Linear warm-up, then a cosine to 0.',
      xLabel: 'step',
      series: [series('lr', 'learning rate')],
      include: [0],
    },
  ];
}

function configSection({ config, adapter, metrics }: ReportData): string {
  const times = [metrics[0]?.time, metrics.at(-1)?.time].map((time) => String(time ?? '').replace(/\.\d+/, ''));
  const rows: (readonly [string, string])[] = [
    ...usedKeys(config).map((key) => [key, settingText(config[key])] as const),
    ['adapter', adapter],
    ['first step', times[0]],
    ['last step', times[1]],
  ];
  const cells = rows.map(([key, value]) => `<div><dt>${escapeHtml(key)}</dt><dd>${escapeHtml(value)}</dd></div>`);
  return `<section><h2>Configuration</h2><dl class="config">${cells.join('')}</dl></section>`;
}

function settingText(value: TrainConfig[SettingKey]): string {
  if (typeof value === 'object' && value !== null)
    return value.map((part) => (typeof part === 'number' ? String(part) : part.join('/'))).join(' ');
  return typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value);
}

const attributions = `<section><h2>Images</h2><p class="note">Emoji artwork: Noto Emoji, © Google, under the
Apache License 2.0; Twemoji, © Twitter, Inc and other contributors, under CC BY 4.0. Both as packed by
emoji-datasource.</p></section>`;

function figureOf(value: number): string {
  return String(Number(value.toPrecision(4)));
}
