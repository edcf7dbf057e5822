// The bench as one page to share: a file that asks the network for nothing.
import { stepText } from '../src/cost/text.js';
import type { Row } from './layer.js';
import { excess } from './ops_table.js';
import type { Roofline } from './roofline.js';
import type { StepReport } from './step.js';
import { digits, mebibytes, percent } from './table.js';

/** All that one run measured. */
export interface Measured {
  readonly slimgrad: string;
  readonly date: string;
  readonly adapter: {
    readonly name: string;
    readonly driver: string;
    readonly software: boolean;
    readonly subgroupSize: number;
    readonly cores: number;
    readonly load: number;
  };
  readonly roofline: Roofline;
  readonly take: string;
  readonly batch: number;
  readonly ops: readonly Row[];
  readonly excess: Readonly<Record<string, Partial<Record<string, number>>>>;
  readonly steps: readonly StepReport[];
}

/** The page. */
export function renderBench(measured: Measured): string {
  const { adapter, roofline, ops, steps, slimgrad, date, take, batch } = measured;
  const wrong = ops.filter((row) => row.wrong);
  const where = [
    adapter.driver,
    adapter.software ? 'a software adapter' : '',
    `subgroups ${adapter.subgroupSize || 'none'}`,
    adapter.cores === 1 ? 'one core' : `${adapter.cores} cores`,
    `load ${adapter.load.toFixed(1)} at the start`,
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>slimgrad bench: ${escapeHtml(adapter.name)}</title>
<style>${style}</style>
</head>
<body>
<header>
<p class="kicker">slimgrad ${escapeHtml(slimgrad)} bench, ${escapeHtml(date.slice(0, 16).replace('T', ' '))} UTC</p>
<h1>${escapeHtml(adapter.name)}</h1>
<p>${escapeHtml(where.filter(Boolean).join(', '))}. Every answer was compared with f64 before its time was taken; times are
the ${take} over rounds in turns.</p>
${wrong.map((row) => `<p class="wrong">WRONG: ${escapeHtml(`${row.stem} ${row.layer}, ${row.pass}`)}, error ${row.error}</p>`).join('')}
</header>
<main>
<section class="tiles">
${tile('multiply-add peak', `${digits(roofline.gflops)} GFLOP/s`, 'out of registers, measured in this run')}
${tile('copy bandwidth', `${digits(roofline.gbps)} GB/s`, `read and written, ${mebibytes(roofline.copyBytes)}`)}
${tile('a pass', `${digits(1000 * roofline.passMs)} µs`, 'in every time below')}
${steps.map((step) => tile(`step: ${escapeHtml(step.name)}`, `${digits(step.stepMs)} ms`, `${digits(step.imagesPerSecond)} images/s`)).join('\n')}
</section>
<section><h2>Under the roofline</h2>
<p>One point a pass of a dense layer at batch ${batch}: how many operations it does for each byte that it must move, and how many a second.
No point can lie above the lines, but for what caches lend.</p>
${rooflinePlot(measured)}</section>
${steps.map((step) => stepSection(step)).join('\n')}
<section><h2>Kernels</h2>
<p>Slim columns: time over the dense time and, in brackets, that over the ratio of the work (1 is ideal).</p>
<div class="scroll">${kernelTable(ops, roofline)}</div></section>
<section><h2>Slim against dense</h2>
<p>Time ratio over work ratio, geometric mean over the layers at 2/3 and 1/2 of their channels.</p>
<div class="scroll">${excessTable(measured.excess)}</div></section>
</main>
</body>
</html>
`;
}

function tile(name: string, value: string, note: string): string {
  return `<div class="tile"><span>${name}</span><strong>${value}</strong><small>${note}</small></div>`;
}

const frame = { width: 760, height: 380, left: 56, right: 16, top: 16, bottom: 44 } as const;
const hues = ['--s0', '--s1', '--s2', '--s3', '--s4', '--s5', '--s6', '--s7'];

function rooflinePlot({ ops, roofline }: Measured): string {
  const points = ops.flatMap(({ stem, layer, pass, widths: [dense], wrong }) =>
    wrong || dense.macs === 0 || dense.bytes === 0
      ? []
      : [
          {
            stem,
            text: `${stem} ${layer}, ${pass}`,
            x: (2 * dense.macs) / dense.bytes,
            y: (2 * dense.macs) / dense.ms / 1e6,
          },
        ],
  );
  if (points.length === 0) return '';
  const stems = [...new Set(points.map(({ stem }) => stem))];
  const { gflops, gbps } = roofline;
  const ridge = gflops / gbps;
  const x = decades([...points.map((point) => point.x), ridge]);
  const y = decades([...points.map((point) => point.y), gflops]);
  const { width, height, left, right, top, bottom } = frame;
  const px = (v: number) => (left + ((Math.log10(v) - x.low) / (x.high - x.low)) * (width - left - right)).toFixed(1);
  const py = (v: number) =>
    (height - bottom - ((Math.log10(v) - y.low) / (y.high - y.low)) * (height - top - bottom)).toFixed(1);
  const start = Math.max(10 ** x.low, 10 ** y.low / gbps);
  const roof = [
    [start, start * gbps],
    [ridge, gflops],
    [10 ** x.high, gflops],
  ];
  const grid = [
    ...powers(x).map(
      (v) =>
        `<line class="grid" x1="${px(v)}" x2="${px(v)}" y1="${top}" y2="${height - bottom}"/>` +
        `<text class="tick" x="${px(v)}" y="${height - bottom + 16}" text-anchor="middle">${v}</text>`,
    ),
    ...powers(y).map(
      (v) =>
        `<line class="grid" x1="${left}" x2="${width - right}" y1="${py(v)}" y2="${py(v)}"/>` +
        `<text class="tick" x="${left - 8}" y="${Number(py(v)) + 4}" text-anchor="end">${v}</text>`,
    ),
  ];
  const dots = points.map(
    ({ stem, text, x: intensity, y: speed }) =>
      `<circle cx="${px(intensity)}" cy="${py(speed)}" r="4.5" fill="var(${hueOf(stems, stem)})"><title>${escapeHtml(text)}: ` +
      `${digits(speed)} GFLOP/s, ${percent(speed / Math.min(gflops, intensity * gbps))} of the roof</title></circle>`,
  );
  const legend = stems.map((stem) => `<span><i style="background:var(${hueOf(stems, stem)})"></i>${stem}</span>`);
  return `<figure><div class="legend">${legend.join('')}</div>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="GFLOP/s over operations a byte, with the adapter's ceilings">
${grid.join('')}
<polyline class="roof" points="${roof.map(([a, b]) => `${px(a)},${py(b)}`).join(' ')}"/>
${dots.join('\n')}
<text class="tick" x="${width - right}" y="${height - 8}" text-anchor="end">operations a byte</text>
<text class="tick" x="${left}" y="${top - 4}">GFLOP/s</text>
</svg></figure>`;
}

const hueOf = (names: readonly string[], name: string) => hues[names.indexOf(name) % hues.length];

/** Whole powers of ten around positive values, by their exponents. */
function decades(values: readonly number[]): { low: number; high: number } {
  return {
    low: Math.floor(Math.log10(Math.min(...values))),
    high: Math.ceil(Math.log10(Math.max(...values)) + 1e-9),
  };
}

function powers({ low, high }: { low: number; high: number }): number[] {
  return Array.from({ length: high - low + 1 }, (_, i) => Number(`1e${low + i}`));
}

function stepSection(step: StepReport): string {
  const { stats } = step;
  const facts = [
    `${digits(step.stepMs)} ms a step of ${step.config.batch} x 2 views, ${digits(step.imagesPerSecond)} images/s`,
    `computes ${stepText(step.ledger)}`,
    `first step after ${digits(step.firstStepMs / 1000)} s, of which ${digits(step.openMs / 1000)} s to a compiled plan (the driver may have cached shaders)`,
    `${stats.dispatches} dispatches of ${stats.pipelines} pipelines, ${digits(step.jsMicrosecondsADispatch)} µs of JavaScript each`,
    `${mebibytes(stats.heldBytes)} between kernels, ${(stats.heldBytes / stats.peakBytes).toFixed(2)}x what is live at once; ${mebibytes(step.allocatedBytes)} in all; largest binding ${mebibytes(stats.largestBinding)}`,
    `each dispatch in a pass of its own: ${digits(step.profileMs)} ms, where the roofline allows ${digits(step.rooflineMs)} ms`,
  ];
  return `<section><h2>Training step: ${escapeHtml(step.name)}</h2>
<ul>${facts.map((fact) => `<li>${escapeHtml(fact)}</li>`).join('')}</ul>
<div class="pair"><div class="scroll">${shareTable('kernel', step.kernels, step.profileMs)}</div>
<div class="scroll">${shareTable('phase', step.phases, step.profileMs)}</div></div></section>`;
}

function shareTable(head: string, shares: StepReport['kernels'], whole: number): string {
  const most = Math.max(...shares.map(({ ms }) => ms));
  const rows = shares
    .toSorted((a, b) => b.ms - a.ms)
    .map(
      ({ name, ms, macs, rooflineMs, dispatches }) =>
        `<tr><th scope="row">${escapeHtml(name || '(none)')}</th><td>${dispatches}</td><td class="bar">` +
        `<span style="width:${((100 * ms) / most).toFixed(1)}%"></span><b>${digits(ms)} ms</b></td><td>${percent(ms / whole)}</td>` +
        `<td>${macs > 0 ? digits((2 * macs) / ms / 1e6) : ''}</td><td>${digits(rooflineMs)} ms</td></tr>`,
    );
  const heads = [head, 'dispatches', 'time', 'share', 'GFLOP/s', 'roofline'];
  return table(heads, rows);
}

function kernelTable(ops: readonly Row[], { gflops, gbps }: Roofline): string {
  const rows = ops.map(({ stem, layer, pass, variant, widths: [dense, ...slims], wrong }) => {
    const head = `<th scope="row">${escapeHtml(`${stem} ${layer}`)}</th><td class="text">${pass}</td>`;
    if (wrong) return `<tr>${head}<td class="wrong" colspan="9">WRONG</td></tr>`;
    const [flops, bytes] = [(2 * dense.macs) / dense.ms / 1e6, dense.bytes / dense.ms / 1e6];
    const cells = [
      digits(dense.ms),
      dense.macs > 0 ? digits(flops) : '',
      dense.macs > 0 ? percent(flops / gflops) : '',
      digits(bytes),
      percent(bytes / gbps),
      ...[0, 1, 2].map((i) =>
        slims[i] ? `${(slims[i].ms / dense.ms).toFixed(2)} (${excess(slims[i], dense).toFixed(2)})` : '',
      ),
    ];
    return `<tr>${head}${cells.map((cell) => `<td>${cell}</td>`).join('')}<td class="text">${escapeHtml(variant)}</td></tr>`;
  });
  const heads = [
    'layer',
    'pass',
    'ms',
    'GFLOP/s',
    'of peak',
    'GB/s',
    'of copy',
    'slim 2/3',
    'slim 1/2',
    'by list',
    'variant',
  ];
  return table(heads, rows);
}

function excessTable(excesses: Measured['excess']): string {
  const passes = [...new Set(Object.values(excesses).flatMap((row) => Object.keys(row)))];
  const rows = Object.entries(excesses).map(
    ([name, row]) =>
      `<tr><th scope="row">${escapeHtml(name)}</th>${passes.map((pass) => `<td>${row[pass]?.toFixed(2) ?? ''}</td>`).join('')}</tr>`,
  );
  return table(['kernel', ...passes], rows);
}

function table(heads: readonly string[], rows: readonly string[]): string {
  return `<table><thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead><tbody>${rows.join('\n')}</tbody></table>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

const style = `
:root{color-scheme:light dark;--ink:#1c2330;--soft:#5d6778;--line:#e1e5ec;--paper:#fbfcfe;--card:#fff;--bar:#cfe0ff;
--s0:#2f6fed;--s1:#e2702b;--s2:#1f9d70;--s3:#b3439b;--s4:#c29a14;--s5:#5b54c9;--s6:#12919e;--s7:#c23b4a}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf2;--soft:#98a3b6;--line:#2b3342;--paper:#11151c;--card:#181e28;--bar:#24406f;
--s0:#74a2ff;--s1:#ff9d5c;--s2:#55cfa0;--s3:#e684d1;--s4:#e5c04d;--s5:#a39dff;--s6:#5acbd6;--s7:#ff7d8a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
header,main{max-width:1120px;margin:0 auto;padding:0 20px}
header{padding-top:36px}
.kicker{margin:0;color:var(--soft);font-size:13px}
h1{margin:2px 0 8px;font-size:26px;line-height:1.25;overflow-wrap:anywhere}
h2{margin:40px 0 6px;font-size:19px}
p{margin:0 0 12px;max-width:75ch}
ul{margin:0 0 16px;padding-left:20px}
.wrong{color:var(--s7);font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin-top:20px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tile span,.tile small{display:block;color:var(--soft);font-size:12.5px}
.tile strong{display:block;font-size:21px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
svg{width:100%;height:auto;display:block}
.grid{stroke:var(--line)}
.tick{fill:var(--soft);font-size:11.5px}
@media (max-width:600px){.tick{font-size:20px}circle{r:7px}}
.roof{fill:none;stroke:var(--ink);stroke-width:1.5}
circle{fill-opacity:.85}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:12.5px;margin-bottom:6px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:50%;margin-right:6px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,540px),1fr));gap:20px;align-items:start}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:4px 7px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td.text{text-align:left}
thead th{color:var(--soft);font-weight:500}
tbody th{font-weight:500}
td.bar{position:relative;min-width:110px;text-align:left}
td.bar span{position:absolute;left:6px;top:4px;bottom:4px;background:var(--bar);border-radius:3px}
td.bar b{position:relative;font-weight:500;padding-left:4px}
`;
