import { type SettingKey, type TrainConfig, usedKeys } from '../config.js';
import { duration, figure } from './progress.js';
import { type Chart, renderChart } from './report/chart.js';
import { encodePng } from './report/png.js';

/** What an encoder, or raw pixels, score. Shares are from 0 to 1. */
export interface Score {
  name: string;
  knn?: number;
  /** Cross-style retrieval. */
  top1?: number;
  top5?: number;
  effectiveRank?: number;
}

/** A final evaluation. */
export interface Evaluation {
  /** On what, such as "381 held-out emoji". */
  on: string;
  scores: readonly Score[];
  /** Sentences that a reader needs to judge the figures. */
  notes: readonly string[];
}

export interface ReportData {
  config: TrainConfig;
  adapter: string;
  /** Images, or pairs of them, trained on. */
  images: number;
  /** Lines of metrics.jsonl. */
  metrics: readonly Readonly<Record<string, number | string>>[];
  /** C of the last step; nothing where this process made none. */
  correlation?: { size: number; data: Float32Array };
  evaluation?: Evaluation;
}

const methodNames: Record<TrainConfig['method'], string> = {
  sacl_xd: 'SACL+XD',
  sacl: 'SACL',
  xd: 'XD only',
  barlow_twins: 'Barlow Twins',
};

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
  const title = `${methodNames[config.method]} on ${escapeHtml(config.data)}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>slimgrad: ${title}</title>
<style>${style}</style>
</head>
<body>
<header>
<p class="kicker">slimgrad run report</p>
<h1>${title}</h1>
<p class="lead">${lead(data)}</p>
</header>
<main>
${tiles(data)}
${evaluation ? evaluationTable(evaluation) : ''}
<section><h2>Training</h2><div class="charts">${charts(data.metrics).map(renderChart).join('')}</div></section>
${data.correlation ? correlationSection(data.correlation) : ''}
${configSection(data)}
${config.data === 'emoji' ? attributions : ''}
</main>
<script>${script}</script>
</body>
</html>
`;
}

function lead({ config, adapter, images }: ReportData): string {
  const slim = `MobileNet-V1 at width ${figureOf(config.width)}`;
  const host =
    config.ratio > 1
      ? `The slim encoder, ${slim}, is a slice of a host ${figureOf(config.ratio)} times as wide; both are trained together.`
      : `One encoder, ${slim}.`;
  const set = `${images.toLocaleString('en')} ${config.protocol === 'paired' ? 'pairs' : 'images'}`;
  const protocol = config.protocol === 'paired' ? 'paired: two drawings of one emoji are the two views' : 'augmented';
  return `${host} ${set} of ${config.imageSize} x ${config.imageSize} pixels, protocol ${protocol}. Computed on ${escapeHtml(adapter)}.`;
}

function tiles({ config, metrics, evaluation }: ReportData): string {
  const last = metrics.at(-1);
  const seconds = stepSeconds(metrics);
  const trained = evaluation?.scores[0];
  const items: [string, string, string][] = [];
  if (trained?.knn !== undefined) items.push(['kNN accuracy', percent(trained.knn), escapeHtml(trained.name)]);
  if (trained?.top1 !== undefined) items.push(['retrieval top-1', percent(trained.top1), 'twin in the other style']);
  if (last) {
    items.push(['final loss', figure(Number(last.loss)), `after ${last.step} steps of ${config.batch}`]);
    const seen = Number(last.step) * config.batch;
    items.push(['images seen', seen.toLocaleString('en'), `${figure(Number(last.epoch) + 1)} epochs begun`]);
  }
  if (seconds) {
    items.push(['images a second', figure(config.batch / seconds), `${figure(seconds * 1000)} ms a step (median)`]);
    items.push(['training time', duration(seconds * metrics.length), 'steps x median']);
  }
  const tile = ([name, value, note]: [string, string, string]) =>
    `<div class="tile"><span>${name}</span><strong>${value}</strong><small>${note}</small></div>`;
  return `<section class="tiles">${items.map(tile).join('')}</section>`;
}

/** Median time between steps: breaks between a stop and its continuation do not count. */
function stepSeconds(metrics: ReportData['metrics']): number | undefined {
  const times = metrics.map((m) => Date.parse(String(m.time)) / 1000);
  const gaps = times.slice(1).map((t, i) => t - times[i]);
  return gaps.filter((gap) => gap > 0).sort((a, b) => a - b)[Math.floor(gaps.length / 2)];
}

function evaluationTable({ on, scores, notes }: Evaluation): string {
  const columns = [
    ['kNN accuracy', (s: Score) => s.knn],
    ['retrieval top-1', (s: Score) => s.top1],
    ['retrieval top-5', (s: Score) => s.top5],
  ] as const;
  const used = columns.filter(([, of]) => scores.some((s) => of(s) !== undefined));
  const isRanked = scores.some((s) => s.effectiveRank !== undefined);
  const bar = (value: number | undefined) =>
    value === undefined
      ? '<td>–</td>'
      : `<td class="bar"><span style="width:${(value * 100).toFixed(1)}%"></span><b>${percent(value)}</b></td>`;
  const rows = scores.map((s, i) => {
    const rank = isRanked
      ? `<td class="number">${s.effectiveRank === undefined ? '–' : figure(s.effectiveRank)}</td>`
      : '';
    return `<tr class="${i === 0 ? 'first' : ''}"><th scope="row">${escapeHtml(s.name)}</th>${used.map(([, of]) => bar(of(s))).join('')}${rank}</tr>`;
  });
  const heads = [...used.map(([name]) => name), ...(isRanked ? ['effective rank'] : [])];
  return `<section><h2>Evaluation</h2><p>On ${escapeHtml(on)}.</p><div class="scroll"><table class="scores">
<thead><tr><th></th>${heads.map((h) => `<th scope="col">${h}</th>`).join('')}</tr></thead>
<tbody>${rows.join('')}</tbody></table></div>${notes.map((n) => `<p class="note">${escapeHtml(n)}</p>`).join('')}</section>`;
}

function charts(metrics: ReportData['metrics']): Chart[] {
  const x = metrics.map((m) => Number(m.step));
  const has = (key: string) => metrics.some((m) => typeof m[key] === 'number');
  const series = (key: string, name: string) => ({ name, x, y: metrics.map((m) => Number(m[key] ?? Number.NaN)) });
  const parts = [
    ['loss', 'loss'],
    ['sacl', 'SACL'],
    ['xd', 'XD'],
  ].filter(([key]) => has(key));
  const ofPairs = (kind: string) =>
    Object.entries(pairs)
      .filter(([pair]) => has(`${kind}.${pair}`))
      .map(([pair, name]) => series(`${kind}.${pair}`, name));
  const losses = metrics.flatMap((m) => parts.map(([key]) => Number(m[key])).filter((v) => v > 0));
  const wide = Math.max(...losses) > 4 * Math.min(...losses);
  return [
    {
      title: 'Loss',
      caption: 'What is minimised, and its parts before they are weighed.',
      xLabel: 'step',
      series: parts.map(([key, name]) => series(key, name)),
      log: wide,
      include: wide ? [] : [0],
    },
    {
      title: 'On the diagonal',
      caption: 'Mean of C<sub>ii</sub>. At 1 the two views of a picture agree in every dimension.',
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
      title: 'Learning rate',
      caption: 'Linear warm-up, then a cosine to 0.',
      xLabel: 'step',
      series: [series('lr', 'learning rate')],
      include: [0],
    },
  ];
}

/** Largest side of the picture: bigger matrices show, of each block of entries, the one of largest magnitude. */
const pictureSide = 512;

function correlationSection({ size, data }: NonNullable<ReportData['correlation']>): string {
  const block = Math.ceil(size / pictureSide);
  const side = Math.ceil(size / block);
  const pixels = new Uint8Array(side * side * 4);
  let on = 0;
  let off = 0;
  for (let i = 0; i < size; i++) {
    on += data[i * size + i] / size;
    for (let j = 0; j < size; j++) if (j !== i) off += Math.abs(data[i * size + j]) / (size * (size - 1) || 1);
  }
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) pixels.set(colourOf(strongest(data, size, block, y, x)), (y * side + x) * 4);
  }
  const uri = `data:image/png;base64,${encodePng(pixels, side, side).toString('base64')}`;
  const scaled = block > 1 ? ` Each pixel is the strongest of ${block} x ${block} entries.` : '';
  return `<section><h2>Correlation matrix</h2><div class="correlation">
<img src="${uri}" width="${side}" height="${side}" alt="Cross-correlation of the ${size} dimensions of the two views">
<div><p>C of z<sup>A</sup> (host) and z<sup>B</sup> (slim) over the last batch, ${size} x ${size}: row i, column j is the
correlation of dimension i of one view with dimension j of the other.${scaled}</p>
<div class="scale"><span>−1</span><i></i><span>1</span></div>
<p>A method that works draws a clean diagonal on an empty ground.</p>
<dl><dt>mean on the diagonal</dt><dd>${figure(on)}</dd><dt>mean magnitude off it</dt><dd>${figure(off)}</dd></dl>
${renderChart(diagonalChart(size, data))}
</div></div></section>`;
}

/** C_ii from the largest down: which share of the dimensions agrees between the views. */
function diagonalChart(size: number, data: Float32Array): Chart {
  const diagonal = Array.from({ length: size }, (_, i) => data[i * size + i]).sort((a, b) => b - a);
  return {
    title: 'The diagonal, sorted',
    caption: 'C<sub>ii</sub> of every dimension, the most invariant first.',
    xLabel: 'rank of the dimension',
    series: [{ name: 'C<sub>ii</sub>, least', x: diagonal.map((_, i) => i + 1), y: diagonal }],
    include: [0, 1],
  };
}

function strongest(data: Float32Array, size: number, block: number, y: number, x: number): number {
  let best = 0;
  for (let i = y * block; i < Math.min(size, (y + 1) * block); i++) {
    for (let j = x * block; j < Math.min(size, (x + 1) * block); j++) {
      if (Math.abs(data[i * size + j]) > Math.abs(best)) best = data[i * size + j];
    }
  }
  return best;
}

/** Red above 0 and blue below, more opaque the stronger: the page's ground shows through, light or dark. */
function colourOf(c: number): [number, number, number, number] {
  const alpha = Math.round(255 * Math.min(1, Math.abs(c)));
  return c > 0 ? [214, 64, 44, alpha] : [42, 111, 214, alpha];
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
  if (typeof value === 'object' && value !== null) return value.map((block) => block.join('/')).join(' ');
  return typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value);
}

const attributions = `<section><h2>Pictures</h2><p class="note">Emoji artwork: Noto Emoji, © Google, under the
Apache License 2.0; Twemoji, © Twitter, Inc and other contributors, under CC BY 4.0. Both as packed by
emoji-datasource.</p></section>`;

function figureOf(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const style = `
:root { color-scheme: light dark; --ground: #fbfaf8; --card: #fff; --ink: #1d2128; --soft: #626a76; --line: #e4e1db;
  --accent: #0b6e6e; --wash: #0b6e6e1f; --s0: #0b6e6e; --s1: #d0552b; --s2: #5b5fc7; --s3: #b08900; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --card: #1b1f26; --ink: #e8e6e1; --soft: #98a1ae;
  --line: #2c323c; --accent: #4fc4bd; --wash: #4fc4bd2b; --s0: #4fc4bd; --s1: #ff8a5c; --s2: #9d9ff5; --s3: #e3be4b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 40px 28px 64px; background: var(--ground); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 34px; line-height: 1.15; letter-spacing: -.02em; margin: 2px 0 10px; }
h2 { font-size: 19px; letter-spacing: -.01em; margin: 44px 0 8px; }
h3 { font-size: 15px; margin: 0; }
p { margin: 0 0 10px; max-width: 76ch; }
.kicker { color: var(--accent); font-weight: 600; letter-spacing: .06em; text-transform: uppercase; font-size: 12px; margin: 0; }
.lead { color: var(--soft); font-size: 16px; }
.note, small { color: var(--soft); font-size: 13px; }
.note { margin-top: 8px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px; margin-top: 28px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 13px 16px; display: grid; }
.tile span { color: var(--soft); font-size: 13px; }
.tile strong { font-size: 26px; line-height: 1.3; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; min-width: 560px; }
th, td { text-align: left; padding: 9px 14px 9px 0; border-bottom: 1px solid var(--line); font-weight: 400; white-space: nowrap; }
thead th { color: var(--soft); font-size: 13px; }
.first th, .first b { font-weight: 650; }
.bar { position: relative; width: 22%; }
.bar span { position: absolute; inset: 5px auto 5px 0; background: var(--wash); border-left: 2px solid var(--accent); border-radius: 0 4px 4px 0; }
.bar b { position: relative; padding-left: 9px; font-weight: 450; }
.number, .bar b, dd, .legend b { font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 16px; }
.chart { position: relative; margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 15px 16px 8px; }
.chart p { color: var(--soft); font-size: 13px; margin: 0 0 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; min-height: 21px; }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; vertical-align: middle; margin-right: 6px; }
.legend b { font-weight: 600; }
svg { display: block; width: 100%; height: auto; color: var(--ink); }
polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.grid { stroke: var(--line); stroke-width: 1; }
.tick { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.cursor { stroke: var(--soft); stroke-dasharray: 3 3; visibility: hidden; }
sup, sub { font-size: .72em; line-height: 0; }
.correlation { display: grid; grid-template-columns: minmax(0, 512px) minmax(220px, 1fr); gap: 28px; align-items: start; }
.correlation .chart { margin-top: 18px; }
.correlation img { width: 100%; height: auto; aspect-ratio: 1; image-rendering: pixelated; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
.scale { display: flex; gap: 10px; align-items: center; margin: 14px 0; font-size: 13px; color: var(--soft); }
.scale i { flex: 0 1 240px; height: 10px; border-radius: 5px; background: linear-gradient(90deg, rgb(42 111 214),
  rgb(42 111 214 / 0), rgb(214 64 44 / 0), rgb(214 64 44)); border: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.config { display: block; columns: 3 250px; column-gap: 32px; font-size: 13.5px; }
.config div { display: flex; justify-content: space-between; gap: 16px; padding: 4px 0; border-bottom: 1px solid var(--line);
  break-inside: avoid; }
.config dd { text-align: right; }
@media (max-width: 960px) { .correlation { grid-template-columns: 1fr; } }
@media (max-width: 720px) { body { padding: 24px 16px; } }
`;

/** Shows the values under the pointer in each chart's legend. */
const script = `
for (const chart of document.querySelectorAll('.chart')) {
  const { x, frame, series } = JSON.parse(chart.querySelector('script').textContent);
  const svg = chart.querySelector('svg'), cursor = chart.querySelector('.cursor');
  const values = [...chart.querySelectorAll('.legend b')], last = values.map((b) => b.textContent);
  const show = (v) => (Math.abs(v) >= 1e-3 && Math.abs(v) < 1e5) || v === 0 ? String(+v.toPrecision(3)) : v.toExponential(1);
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * frame.width - frame.left) / (frame.width - frame.left - frame.right);
    const at = x.min + Math.min(1, Math.max(0, share)) * (x.max - x.min);
    let near = 0;
    series.forEach((s, i) => {
      const j = s.x.reduce((best, v, k) => (Math.abs(v - at) < Math.abs(s.x[best] - at) ? k : best), 0);
      values[i].textContent = show(s.y[j]);
      near = s.x[j];
    });
    const px = frame.left + (near - x.min) / (x.max - x.min || 1) * (frame.width - frame.left - frame.right);
    cursor.setAttribute('x1', px); cursor.setAttribute('x2', px); cursor.style.visibility = 'visible';
  });
  svg.addEventListener('pointerleave', () => { cursor.style.visibility = 'hidden'; values.forEach((b, i) => { b.textContent = last[i]; }); });
}
`;
