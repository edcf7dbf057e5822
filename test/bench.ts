import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

let script = 'bench/run.mjs';

/** Runs the bench: the first time as a user does, which builds it, then what was built. */
function bench(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], (error, stdout, stderr) => {
      script = 'build/bench/main.mjs';
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr });
    });
  });
}

test('the bench checks answers, times dense and slim, and writes what it measured', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'slimgrad-bench-'));
  try {
    const file = join(folder, 'bench.json');
    const { code, output } = await bench('--quick', '--filter', 'pool', '--json', file);
    assert.is(code, 0, output);
    const { adapter, roofline, ops, excess } = JSON.parse(readFileSync(file, 'utf8'));
    assert.ok(output.includes(adapter.name));
    assert.ok(roofline.gflops > 0 && roofline.gbps > 0 && roofline.passMs > 0, JSON.stringify(roofline));
    assert.equal(
      ops.map(({ stem, pass }: { stem: string; pass: string }) => `${stem} ${pass}`),
      ['pool forward', 'pool backward'],
    );
    for (const { error, wrong, widths } of ops) {
      assert.ok(error <= 1e-5 && !wrong, output);
      assert.equal(
        widths.map(({ share }: { share: number }) => share),
        [1, 2 / 3, 1 / 2],
      );
      for (const { ms, bytes } of widths) assert.ok(ms > 0 && bytes > 0, JSON.stringify(widths));
    }
    assert.ok(excess.pool.forward > 0 && excess.pool.backward > 0, JSON.stringify(excess));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a report holds what was measured, in one page that asks the network for nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'slimgrad-bench-'));
  try {
    const { code, output } = await bench('--quick', '--report', join(folder, 'new'));
    assert.is(code, 0, output);
    const { ops, steps, excess, adapter, roofline } = JSON.parse(readFileSync(join(folder, 'new/bench.json'), 'utf8'));
    const page = readFileSync(join(folder, 'new/bench.html'), 'utf8');
    assert.ok(page.includes(`<h1>${adapter.name}</h1>`));
    assert.not.match(page, /(src|href)=|https?:|@import|url\(/);
    for (const { stem, layer, pass, widths } of ops) {
      assert.ok(page.includes(`${stem} ${layer}</th><td class="text">${pass}<`), `${stem} ${layer}, ${pass}`);
      for (const { ms, macs, bytes } of widths) assert.ok(ms > 0 && macs + bytes > 0, `${stem} ${layer}`);
    }
    for (const stem of Object.keys(excess)) assert.ok(page.includes(`<th scope="row">${stem}</th>`), stem);
    const points = ops.filter(
      ({ widths: [dense] }: { widths: { macs: number; bytes: number }[] }) => dense.macs * dense.bytes,
    );
    assert.is(page.split('<circle').length - 1, points.length);
    assert.ok(roofline.gflops > 0 && points.length > 10);
    for (const { name, profileMs, rooflineMs, kernels, phases } of steps) {
      for (const shares of [kernels, phases])
        for (const [key, whole] of [
          ['ms', profileMs],
          ['rooflineMs', rooflineMs],
        ] as const) {
          const sum = shares.reduce((total: number, share: Record<string, number>) => total + share[key], 0);
          assert.ok(Math.abs(sum / whole - 1) < 1e-6, `${name}: ${key} of the parts ${sum}, of all ${whole}`);
        }
      assert.ok(page.includes(`Training step: ${name}`), name);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a step of any encoder is predicted before it is taken, and holds just that', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'slimgrad-bench-'));
  try {
    const file = join(folder, 'bench.json');
    const encoder = ['--encoder', 'resnet20', '--image-size', '16', '--batch', '4'];
    const { code, output } = await bench('--step', ...encoder, '--json', file);
    assert.is(code, 0, output);
    const [{ name, stepMs, stats, predictedBytes, allocatedBytes }] = JSON.parse(readFileSync(file, 'utf8')).steps;
    assert.is(name, 'resnet20 1.5x-1x, 16 px');
    assert.ok(stepMs > 0 && stats.dispatches > 100);
    const rest = allocatedBytes - predictedBytes;
    assert.ok(rest > 0 && rest < 1.5e6, `${rest} bytes besides: 16 images of 64 pixels a side, uniforms, read-backs`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the bench refuses what it does not know, and a report that it could not write', async () => {
  for (const [args, code, message] of [
    [['--stp'], 2, /unknown flag '--stp': did you mean '--step'/],
    [['--filter', 'gemm'], 2, /--filter: expected one of conv2d,.*got 'gemm'/],
    [['--batch', 'many'], 2, /--batch: expected a whole number/],
    [['--report', '/dev/null/x'], 1, /cannot make the folder \/dev\/null\/x/],
    [['--report', 'r', '--filter', 'add'], 2, /--report: cannot be combined with --filter/],
    [['--tune'], 2, /--tune: only valid with --step/],
    [['--encoder', 'resnet18'], 2, /--encoder: only valid with --step/],
    [['--step', '--encoder', 'resnet_18'], 2, /--encoder: expected one of .*Did you mean 'resnet18'/],
    [['--step', '--image-size', '64'], 2, /--image-size: only valid with --encoder/],
    [['--step', '--encoder', 'mobilenet_v3_large', '--image-size', '15'], 2, /imageSize .*total stride, 16, got 15/],
    [['--json', 'no/such/folder/bench.json'], 1, /cannot write no\/such\/folder\/bench.json: no such file or folder/],
  ] as const) {
    const result = await bench(...args);
    assert.is(result.code, code, result.output);
    assert.match(result.output, message);
  }
});

test.run();
