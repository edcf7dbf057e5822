import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

function bench(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['bench/run.mjs', ...args], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
    );
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

test('the bench refuses what it does not know, and a report that it could not write', async () => {
  for (const [args, code, message] of [
    [['--stp'], 2, /unknown flag '--stp': did you mean '--step'/],
    [['--filter', 'gemm'], 2, /--filter: expected one of conv2d,.*got 'gemm'/],
    [['--batch', 'many'], 2, /--batch: expected a whole number/],
    [['--json', 'no/such/folder/bench.json'], 1, /cannot write no\/such\/folder\/bench.json: no such file or folder/],
  ] as const) {
    const result = await bench(...args);
    assert.is(result.code, code, result.output);
    assert.match(result.output, message);
  }
});

test.run();
