import { readFileSync } from 'node:fs';
import type { Device } from '../src/runtime/device.js';
import type { Kernel } from '../src/runtime/kernel.js';
import { Plan } from '../src/runtime/plan.js';
import { tensor } from '../src/tensor/tensor.js';
import { measure } from './measure.js';

/** The adapter's ceilings, each by the best of several shapes of a kernel, and the least that a pass of its own takes. */
export interface Roofline {
  /** Multiply-adds out of registers, two operations each. */
  readonly gflops: number;
  readonly fmaShape: string;
  /** Bytes read and written by a copy of `copyBytes` from one buffer to another. */
  readonly gbps: number;
  readonly copyShape: string;
  readonly copyBytes: number;
  /** A pass with one workgroup that does next to nothing: in every time of a single dispatch. */
  readonly passMs: number;
}

const code = readFileSync(new URL('../../bench/roofline.wgsl', import.meta.url), 'utf8'); // seen from build/bench
const trips = 256; // TRIPS of the kernel
const threads = 64;
const names = [...code.matchAll(/^fn (\w+)\(@builtin/gm)].map(([, name]) => name);
const kernel: Kernel = {
  stem: 'roofline',
  code,
  consts: {},
  params: { size: 0, fields: {} },
  step: { size: 0, fields: {} },
  buffers: { x: { binding: 0, type: 'read-only-storage' }, y: { binding: 1, type: 'storage' } },
  entries: Object.fromEntries(names.map((name) => [name, ['x', 'y']])),
};

/** The fewest milliseconds that an entry point took on x and y of these many bytes. */
async function time(
  device: Device,
  entry: string,
  workgroups: number,
  xBytes: number,
  yBytes: number,
): Promise<number> {
  using plan = new Plan(device, { label: 'roofline' });
  const x = device.buffer('roofline.x', xBytes);
  device.write(x, new Float32Array([0.5, 0.25, 0.125, 0.75]));
  const [from, to] = [tensor(x, 'x', [xBytes / 4]), tensor(plan.slot('roofline.y', yBytes), 'y', [yBytes / 4])];
  plan.dispatch(kernel, entry, { params: {}, bindings: { x: from, y: to }, workgroups, bytes: xBytes + yBytes });
  try {
    await plan.compile();
    const cost = await measure(plan, () => 'all', { take: 'fastest', least: 5, span: 40, limit: 500 });
    return cost.get('all')?.ms ?? Number.NaN;
  } finally {
    device.free(x);
  }
}

/** Measures the ceilings; about two seconds. */
export async function roofline(device: Device): Promise<Roofline> {
  const best = { gflops: 0, fmaShape: '', gbps: 0, copyShape: '' };
  for (const fmaShape of names.filter((name) => !name.startsWith('copy'))) {
    let groups = threads;
    let ms = 0;
    // a GPU needs far more threads than a CPU before all of it is busy
    for (; ms < 5 && groups <= 65536; groups *= 4) {
      ms = await time(device, fmaShape, groups, 16, groups * threads * 16);
      const gflops = (2 * groups * threads * trips * 32) / ms / 1e6;
      if (gflops > best.gflops) Object.assign(best, { gflops, fmaShape });
    }
  }
  const copyBytes = Math.min(2 ** 27, device.limits.maxStorageBufferBindingSize);
  for (const [copyShape, each] of Object.entries({ copy: 16, copy_apart: 64, copy_along: 64 })) {
    const ms = await time(device, copyShape, copyBytes / each / threads, copyBytes, copyBytes);
    const gbps = (2 * copyBytes) / ms / 1e6;
    if (gbps > best.gbps) Object.assign(best, { gbps, copyShape });
  }
  const passMs = await time(device, 'copy', 1, threads * 16, threads * 16);
  return { ...best, copyBytes, passMs };
}
