// Line charts as SVG.
import { figure } from '../system/figures.js';

/** A line of a chart: y over x, both of one length. */
interface Series {
  name: string;
  x: readonly number[];
  y: readonly number[];
}

export interface Chart {
  title: string;
  /** What the figure shows, in a sentence. */
  caption: string;
  xLabel: string;
  series: readonly Series[];
  /** Logarithmic y axis. */
  log?: boolean;
  /** Values that the y axis must reach. */
  include?: readonly number[];
}

const frame = { width: 560, height: 250, left: 52, right: 14, top: 14, bottom: 34 } as const;
/** More points than this do not show; buckets of steps are averaged. */
const mostPoints = 240;

/** A chart as a figure of inline SVG; colors come from the page's --s0, --s1, ... and currentColor. */
export function renderChart({ title, caption, xLabel, series, log = false, include = [] }: Chart): string {
  const { width, height, left, right, top, bottom } = frame;
  const usable = series.map((s) => downsample(s, log)).filter((s) => s.x.length > 0);
  if (usable.length === 0) return '';
  const x = span(usable.flatMap((s) => s.x));
  const raw = span([...usable.flatMap((s) => s.y), ...include]);
  const y = log ? logTicks(raw) : linearTicks(raw);
  const u = log ? Math.log10 : (v: number) => v;
  const px = (v: number) => left + ((v - x.min) / (x.max - x.min || 1)) * (width - left - right);
  const py = (v: number) => height - bottom - ((u(v) - u(y.min)) / (u(y.max) - u(y.min))) * (height - top - bottom);
  const n = (v: number) => v.toFixed(1);

  const grid = y.ticks.map(
    (t) =>
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${n(py(t))}" y2="${n(py(t))}"/>` +
      `<text class="tick" x="${left - 7}" y="${n(py(t) + 3.5)}" text-anchor="end">${tickText(t)}</text>`,
  );
  const below = linearTicks(x, true).ticks.filter((t) => t >= x.min && t <= x.max);
  const across = below.map(
    (t) => `<text class="tick" x="${n(px(t))}" y="${height - bottom + 16}" text-anchor="middle">${tickText(t)}</text>`,
  );
  const lines = usable.map((s, i) => {
    const points = s.x.map((v, j) => `${n(px(v))},${n(py(s.y[j]))}`);
    const single =
      points.length === 1 ? `<circle r="3" cx="${n(px(s.x[0]))}" cy="${n(py(s.y[0]))}" fill="var(--s${i})"/>` : '';
    return `<polyline points="${points.join(' ')}" stroke="var(--s${i})"/>${single}`;
  });
  const legend = usable.map((s, i) => {
    const last = figure(s.y[s.y.length - 1]);
    return `<span><i style="background:var(--s${i})"></i>${s.name} <b>${last}</b></span>`;
  });
  const data = JSON.stringify({
    x,
    frame,
    series: usable.map((s) => ({ name: s.name, x: s.x, y: s.y.map((v) => Number(v.toPrecision(4))) })),
  }).replaceAll('<', '\\u003c');
  return `<figure class="chart">
<figcaption><h3>${title}</h3><p>${caption}</p></figcaption>
<div class="legend">${legend.join('')}</div>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
${grid.join('')}${across.join('')}
<text class="tick" x="${width - right}" y="${height - 4}" text-anchor="end">${xLabel}</text>
<g class="lines">${lines.join('')}</g><line class="cursor" y1="${top}" y2="${height - bottom}"/>
</svg>
<script type="application/json">${data}</script>
</figure>`;
}

/** The finite points (positive ones on a logarithmic axis), averaged over buckets where there are too many. */
function downsample({ name, x, y }: Series, log: boolean): Series {
  const keep = x.map((_, i) => i).filter((i) => Number.isFinite(y[i]) && (!log || y[i] > 0));
  const size = Math.ceil(keep.length / mostPoints);
  const mean = (values: number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
  const buckets = Array.from({ length: Math.ceil(keep.length / Math.max(1, size)) }, (_, b) =>
    keep.slice(b * size, (b + 1) * size),
  );
  return {
    name,
    x: buckets.map((bucket) => Number(mean(bucket.map((i) => x[i])).toFixed(2))),
    y: buckets.map((bucket) => mean(bucket.map((i) => y[i]))),
  };
}

interface Ticks {
  min: number;
  max: number;
  ticks: number[];
}

/** The least and the greatest of many. */
export function span(values: readonly number[]): { min: number; max: number } {
  return values.reduce((s, v) => ({ min: Math.min(s.min, v), max: Math.max(s.max, v) }), {
    min: Number.POSITIVE_INFINITY,
    max: Number.NEGATIVE_INFINITY,
  });
}

/** Four to eight round numbers that cover [min, max]. */
function linearTicks({ min, max }: { min: number; max: number }, whole = false): Ticks {
  const room = max - min || Math.abs(max) || 1;
  const rough = 10 ** Math.floor(Math.log10(room / 4));
  const step = Math.max([1, 2, 5, 10].map((f) => f * rough).find((s) => room / s <= 6) ?? rough, whole ? 1 : 0);
  const first = Math.floor(min / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(max / step - 1e-9));
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  return { min: ticks[0], max: ticks[ticks.length - 1], ticks };
}

/** Powers of ten, with 2 and 5 between where there are few. */
function logTicks({ min, max }: { min: number; max: number }): Ticks {
  const decades = Math.log10(max / min);
  const factors = decades > 4 ? [1] : decades > 1.5 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  const all: number[] = [];
  for (let e = Math.floor(Math.log10(min)) - 1; e <= Math.ceil(Math.log10(max)); e++) {
    for (const f of factors) all.push(Number((f * 10 ** e).toPrecision(3)));
  }
  const low = all.findLastIndex((t) => t <= min);
  const high = all.findIndex((t) => t >= max);
  const every = Math.max(1, Math.ceil((high - low) / 8));
  const ticks = all.slice(low, Math.max(high, low + 1) + 1);
  return { min: ticks[0], max: ticks[ticks.length - 1], ticks: ticks.filter((_, i) => i % every === 0) };
}

function tickText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential().replace('e+', 'e');
  return String(Number(value.toPrecision(3)));
}
