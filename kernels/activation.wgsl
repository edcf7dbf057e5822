// Elementwise activation and its gradient, recomputed from x:  y = act(x),  dx = dy act'(x).
// Tensors are flat and padded to 16 bytes; the last quad may hold padding, which is computed and never read.
// Threads: one per quad of four elements, so nothing races.

const THREADS: u32 = 64;
const ACT: u32 = 1; // 0 none, 1 relu, 2 relu6, 3 hardswish, 4 hardsigmoid, 5 silu, 6 sigmoid

alias Stored4 = vec4f; // four activations in memory: f16 with precision 'f16'

struct Params { quads: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored4>;       // (quads)
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;        // (quads)
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>; // (quads)
@group(0) @binding(4) var<storage, read_write> dx: array<vec4f>;  // (quads)

// <shared activation>
// The activation ACT and its derivative. NaN passes through. exp's argument is clamped so that it cannot overflow, and
// one exp gives both sigmoid(v) and 1 - sigmoid(v) without cancellation.
fn is_nan(v: vec4f) -> vec4<bool> { return (bitcast<vec4u>(v) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u); }
fn floored(v: vec4f) -> vec4f { return select(v, vec4f(-80.0), v < vec4f(-80.0)); }
fn decay(v: vec4f) -> vec4f { return exp(-floored(v)); }
fn ramp(v: vec4f) -> vec4f {
  return select(select(v / 6.0 + 0.5, vec4f(1.0), v >= vec4f(3.0)), vec4f(), v <= vec4f(-3.0));
}

fn activate(v: vec4f) -> vec4f {
  if (ACT == 1u) { return select(v, vec4f(), v < vec4f()); }
  if (ACT == 2u) { return select(select(v, vec4f(6.0), v > vec4f(6.0)), vec4f(), v < vec4f()); }
  if (ACT == 3u) { return v * ramp(v); }
  if (ACT == 4u) { return ramp(v); }
  if (ACT == 5u) { return floored(v) / (1.0 + decay(v)); }
  if (ACT == 6u) { return select(1.0 / (1.0 + decay(v)), v, is_nan(v)); }
  return v;
}

// d activate / d v; at a kink the derivative of the outer piece, as in PyTorch.
fn derivative(v: vec4f) -> vec4f {
  let inside = abs(v) < vec4f(3.0);
  if (ACT == 1u) { return select(vec4f(), vec4f(1.0), v > vec4f()); }
  if (ACT == 2u) { return select(vec4f(), vec4f(1.0), (v > vec4f()) & (v < vec4f(6.0))); }
  if (ACT == 3u) { return select(select(vec4f(), vec4f(1.0), v >= vec4f(3.0)), v / 3.0 + 0.5, inside); }
  if (ACT == 4u) { return select(vec4f(), vec4f(1.0 / 6.0), inside); }
  if (ACT == 0u) { return vec4f(1.0); }
  let e = decay(v);
  let s = 1.0 / (1.0 + e);
  if (ACT == 5u) { return s * (1.0 + floored(v) * (e * s)); }
  return s * (e * s);
}
// </shared>

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// One thread per quad.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.quads) { return; }
  y[i] = Stored4(activate(vec4f(x[i])));
}

// One thread per quad.
@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.quads) { return; }
  dx[i] = dy[i] * derivative(vec4f(x[i]));
}
