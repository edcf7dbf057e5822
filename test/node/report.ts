import { inflateSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { presets } from '../../src/config/presets.js';
import { parseConfig } from '../../src/config/settings.js';
import { runCost } from '../../src/cost/run.js';
import { renderChart } from '../../src/node/report/chart.js';
import { encodePng } from '../../src/node/report/png.js';
import { type ReportData, renderReport } from '../../src/node/report/run_report.js';

const steps = Array.from({ length: 900 }, (_, i) => i + 1);

function data(more: Partial<ReportData> = {}): ReportData {
  const size = 5;
  return {
    config: parseConfig({ ...presets.twins, out: 'runs/<b>&"\'' }),
    adapter: 'llvm<script>alert(1)</script>',
    images: 1525,
    metrics: steps.map((step) => ({
      step,
      epoch: Math.floor(step / 11),
      lr: 0.01 / step,
      loss: 100 / step,
      sacl: 120 / step,
      xd: 80 / step,
      'onDiagonal.live': 1 - 1 / step,
      'offDiagonal.live': 1000 / step,
      time: new Date(1.8e12 + step * 250).toISOString(),
    })),
    correlation: { size, data: Float32Array.from({ length: 25 }, (_, i) => (i % 6 === 0 ? 0.8 : -0.1)) },
    evaluation: {
      on: '381 held-out <emoji>',
      scores: [
        { name: 'slim encoder, trained', knn: 0.5312, top1: 0.2, top5: 0.36, effectiveRank: 21.4 },
        { name: 'raw pixels', knn: 0.55, top1: 0.44, top5: 0.56 },
      ],
      notes: ['Raw pixels are ahead.'],
    },
    ...more,
  };
}

test('the page asks the network for nothing, and escapes what it is given', () => {
  const page = renderReport(data());
  assert.not.match(page, /(src|href|url|@import)\s*[=(]?\s*["']?(https?:|\/\/)/);
  assert.not.match(page, '<script>alert');
  assert.match(page, 'llvm&#60;script&#62;alert(1)');
  assert.match(page, 'runs/&#60;b&#62;&#38;&#34;&#39;');
  assert.match(page, '381 held-out &#60;emoji&#62;');
});

test('the page tells what the run computes, where that is known', () => {
  const config = parseConfig({ ...presets.twins, steps: 900 });
  const cost = runCost(config, 1525);
  const { step } = cost;
  const page = renderReport(data({ config, cost }));
  const whole = step.flops / 1e9;
  for (const part of [
    `<span>TFLOP computed</span><strong>${((900 * whole) / 1000).toFixed(2)}</strong><small>${whole.toFixed(2)} GFLOP a step</small>`,
    `At the median step that is ${(4 * whole).toFixed(2)} GFLOP a second`,
    '<th scope="row">frozen slim</th>',
    `${((100 * step.parts[0].forward) / step.flops).toFixed(1)} %`,
  ])
    assert.ok(page.includes(part), part);
  assert.not.match(renderReport(data()), 'FLOP');
});

test('every table scrolls in a region that the keyboard reaches, and no header cell is empty', () => {
  const page = renderReport(data({ cost: runCost(parseConfig({ ...presets.twins, steps: 900 }), 1525) }));
  const tables = page.match(/<table/g) ?? [];
  const regions = page.match(/<div class="scroll" role="region" aria-label="[^"]+" tabindex="0"><table/g) ?? [];
  assert.is(tables.length, 2);
  assert.is(regions.length, tables.length);
  assert.not.match(page, /<th[^>]*>\s*<\/th>/);
});

test('the page tells scores, times, settings and whose images these are', () => {
  const page = renderReport(data());
  for (const part of [
    '53.1 %',
    '21.4',
    'Raw pixels are ahead.',
    '250 ms a step',
    '64/1 128/2 256/2 512/1',
    '115,200',
  ]) {
    assert.ok(page.includes(part), part);
  }
  assert.match(page, /Noto Emoji[\s\S]*Apache[\s\S]*Twemoji[\s\S]*CC BY 4\.0/);
  const photos = renderReport(data({ config: parseConfig({ data: 'photos' }) }));
  assert.not.match(photos, 'Twemoji');
});

test('a run without steps, evaluation or variance still has a page', () => {
  const page = renderReport(
    data({ metrics: [], evaluation: undefined, correlation: { size: 1, data: new Float32Array(1) } }),
  );
  assert.match(page, 'Configuration');
  assert.not.match(page, /NaN|undefined|Infinity/);
});

test('PNG: signature, size and pixels can be read back', () => {
  const pixels = Uint8Array.from({ length: 3 * 2 * 4 }, (_, i) => i * 10);
  const png = encodePng(pixels, 3, 2);
  assert.is(png.subarray(1, 4).toString(), 'PNG');
  assert.equal([png.readUInt32BE(16), png.readUInt32BE(20)], [3, 2]);
  // The standard's own example: an empty IEND.
  assert.is(png.subarray(-12).toString('hex'), '0000000049454e44ae426082');
  const at = png.indexOf('IDAT');
  const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
  assert.equal([...rows], [0, ...pixels.subarray(0, 12), 0, ...pixels.subarray(12)]);
});

test('the image of a large correlation matrix keeps its diagonal', () => {
  const size = 1030;
  const large = new Float32Array(size * size);
  for (let i = 0; i < size; i++) large[i * (size + 1)] = 1;
  const page = renderReport(data({ correlation: { size, data: large } }));
  const [, base64] = /data:image\/png;base64,([^"]+)/.exec(page) ?? [];
  const png = Buffer.from(base64, 'base64');
  const side = png.readUInt32BE(16);
  assert.is(side, 344);
  const at = png.indexOf('IDAT');
  const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
  for (let i = 0; i < side; i++) {
    const row = rows.subarray(i * (1 + side * 4) + 1, (i + 1) * (1 + side * 4));
    assert.is(row[i * 4 + 3], 255, `row ${i}: on the diagonal`);
    assert.is(row[((i + 5) % side) * 4 + 3], 0, `row ${i}: off it`);
  }
});

test('charts draw every finite point within the frame, on either axis', () => {
  for (const log of [false, true]) {
    for (const y of [[1, 1, 1], [1e-6, 1, 1e6], [3, Number.NaN, 5], [0, 2, 4], [7]]) {
      const x = y.map((_, i) => i + 1);
      const svg = renderChart({ title: 't', caption: 'c', xLabel: 'step', series: [{ name: 's', x, y }], log });
      assert.not.match(svg, /NaN|Infinity|undefined/);
      const usable = y.filter((v) => Number.isFinite(v) && (!log || v > 0));
      const [, points] = /points="([^"]*)"/.exec(svg) ?? [];
      const pairs = points.split(' ').map((pair) => pair.split(',').map(Number));
      assert.is(pairs.length, usable.length);
      for (const [px, py] of pairs) assert.ok(px >= 0 && px <= 560 && py >= 0 && py <= 250, `${log} ${y}: ${px},${py}`);
      assert.ok((svg.match(/class="grid"/g) ?? []).length >= 2, `${log} ${y}: no grid`);
    }
  }
  assert.is(renderChart({ title: 't', caption: 'c', xLabel: 'x', series: [] }), '');
});

test.run();
