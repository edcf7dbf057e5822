// An op of your own from WGSL of your own: GELU in its tanh form, forward and backward, on the tape like any other op.
//
//   node own_kernel.ts [NUMBER …]    GELU of the numbers and its slopes, as JSON (Node 24 on)

import { kernel } from 'slimgrad/kernel';
import { numel, openDevice, record, transient } from 'slimgrad/node';
import type { Tape, Tensor } from 'slimgrad/node';

const gelu = kernel(
  /* wgsl */ `
    const THREADS: u32 = 64;

    struct Params { n: u32 }

    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @group(0) @binding(3) var<storage, read> dy: array<f32>;
    @group(0) @binding(4) var<storage, read_write> dx: array<f32>;

    const C = 0.7978845608028654; // √(2/π)
    const CUBIC = 0.044715;

    // far out, where tanh of some drivers overflows, it is ±1 anyway
    fn bend(v: f32) -> f32 { return tanh(clamp(C * (v + CUBIC * v * v * v), -15.0, 15.0)); }

    fn element(wid: vec3u, num: vec3u, lane: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lane; }

    @compute @workgroup_size(THREADS)
    fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
               @builtin(local_invocation_index) lane: u32) {
      let i = element(wid, num, lane);
      if (i >= params.n) { return; }
      y[i] = 0.5 * x[i] * (1.0 + bend(x[i]));
    }

    @compute @workgroup_size(THREADS)
    fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                @builtin(local_invocation_index) lane: u32) {
      let i = element(wid, num, lane);
      if (i >= params.n) { return; }
      let v = x[i];
      let t = bend(v);
      dx[i] = dy[i] * 0.5 * (1.0 + t + v * (1.0 - t * t) * C * (1.0 + 3.0 * CUBIC * v * v));
    }
  `,
  { name: 'gelu' },
);

/** GELU(x), tanh form, any shape. */
export function geluOf(tape: Tape, x: Tensor): Tensor {
  const n = numel(x.shape);
  const common = { params: { n }, workgroups: Math.ceil(n / gelu.consts.THREADS.value) };
  const y = transient(tape.plan, 'gelu.y', x.shape);
  tape.plan.dispatch(gelu, 'forward', { ...common, bindings: { x, y }, bytes: x.bytes + y.bytes });
  return tape.record('gelu', [x], y, (dy) => {
    const dx = transient(tape.plan, 'gelu.dx', x.shape);
    tape.plan.dispatch(gelu, 'backward', { ...common, bindings: { x, dy, dx }, bytes: x.bytes + dy.bytes + dx.bytes });
    return [dx];
  });
}

const given = process.argv.slice(2).map(Number);
const numbers = given.length > 0 ? given : [-2, -1, 0, 1, 2];
const device = await openDevice();
const x = device.parameter([numbers.length], numbers);
const step = await record(device, (tape) => {
  const y = geluOf(tape, x);
  tape.backward(y);
  return { y };
});
step.run();
console.log(JSON.stringify({ y: [...(await step.read('y'))], dx: [...(await x.grad.read())] }));
device.dispose();
