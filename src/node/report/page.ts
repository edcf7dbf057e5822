// The frame of every report: one HTML file with its style and script inside, which loads nothing from the network. What the
// sections show is not known here; they come as HTML.

/** The parts of a page. */
export interface Page {
  title: string;
  /** The line above the heading. */
  kicker: string;
  /** HTML, as is `main`. */
  lead: string;
  main: string;
}

/** Marks where sections of later evaluations are inserted. */
export const resultsHere = '<!-- results -->';

/** A page in one file that loads nothing from the network. `title` must be escaped already. */
export function renderPage({ title, kicker, lead, main }: Page): string {
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
<p class="kicker">${kicker}</p>
<h1>${title}</h1>
<p class="lead">${lead}</p>
</header>
<main>
${main}
</main>
<script>${script}</script>
</body>
</html>
`;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/**
 * A table that scrolls by itself where the page is narrower, by keyboard too. Like all header cells, the first must not be empty.
 *
 * @param label escaped already; names the region and the table to screen readers
 */
export function scrollTable(label: string, kind: string, heads: readonly string[], rows: readonly string[]): string {
  return `<div class="scroll" role="region" aria-label="${label}" tabindex="0"><table${kind && ` class="${kind}"`}>
<thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead>
<tbody>${rows.join('')}</tbody></table></div>`;
}

export const style = `
:root { color-scheme: light dark; --ground: #fbfaf8; --card: #fff; --ink: #1d2128; --soft: #626a76; --line: #e4e1db;
  --dot0: 58%; --dot1: 46%; --accent: #0b6e6e; --wash: #0b6e6e1f; --s0: #0b6e6e; --s1: #d0552b; --s2: #5b5fc7; --s3: #b08900; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --card: #1b1f26; --ink: #e8e6e1; --soft: #98a1ae;
  --line: #2c323c; --dot0: 78%; --dot1: 64%; --accent: #4fc4bd; --wash: #4fc4bd2b; --s0: #4fc4bd; --s1: #ff8a5c; --s2: #9d9ff5; --s3: #e3be4b; } }
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
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 16px; margin-top: 18px; align-items: start; }
.card { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 15px 16px; min-width: 0; }
.card p { color: var(--soft); font-size: 13px; margin: 0 0 10px; }
.confusion table { min-width: 0; width: auto; font-size: 12.5px; }
.confusion th, .confusion td { padding: 0 6px; height: 27px; min-width: 31px; text-align: center; border: 0; }
.confusion tbody th { text-align: right; max-width: 150px; overflow: hidden; text-overflow: ellipsis; }
.confusion thead th { vertical-align: bottom; height: auto; padding: 0 0 6px; }
.confusion thead span { display: inline-block; writing-mode: vertical-rl; transform: rotate(180deg); max-height: 130px; overflow: hidden; }
.confusion td { border: 1px solid var(--line); font-variant-numeric: tabular-nums; }
.confusion .right { background: color-mix(in srgb, var(--s0) calc(var(--share) * 62%), transparent); }
.confusion .wrong { background: color-mix(in srgb, var(--s1) calc(var(--share) * 120%), transparent); }
.confusion .recall { border: 0; color: var(--soft); text-align: right; }
.confusion img { width: 100%; max-width: 512px; height: auto; aspect-ratio: 1; image-rendering: pixelated; border: 1px solid var(--line); }
.pairs { margin: 12px 0 0; padding-left: 22px; font-size: 13px; columns: 2 230px; column-gap: 26px; }
.pairs em { font-style: normal; color: var(--accent); }
summary { cursor: pointer; color: var(--soft); font-size: 13px; }
.plain { min-width: 0; width: auto; font-size: 13px; }
.plain th, .plain td { padding: 4px 18px 4px 0; white-space: normal; vertical-align: top; }
details { margin-top: 12px; }
.map .dots { fill: none; stroke-opacity: .82; }
.map .names { font-size: 13px; text-anchor: middle; font-weight: 600; fill: var(--ink); paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.map .legend { margin-top: 10px; }
.map .legend i { width: 10px; height: 10px; border-radius: 1px; }
.map .legend .round { border-radius: 50%; }
.columns { display: flex; flex-wrap: wrap; gap: 6px 36px; padding: 3px; }
.found { display: grid; grid-template-columns: repeat(3, max-content); gap: 5px 14px; align-items: center; }
.found span { color: var(--soft); font-size: 13px; }
.found div { display: flex; gap: 3px; }
.found img { width: 42px; height: 42px; border-radius: 6px; box-sizing: border-box; border: 1px solid var(--line); opacity: .55; }
.found div:nth-child(3n + 1) img, .found .hit { opacity: 1; }
.found .hit { outline: 3px solid var(--accent); outline-offset: -1px; }
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
