// Squared distance of a from a constant t, n elements each, and its gradient:
//   loss = scale Σ (a - t)²        da = dloss · 2 scale (a - t)
// Split reduction: `partial_sums` sums `parts` parts of `chunk` elements, `forward` adds up their results.
// Threads: LANES per part, each takes every LANES-th element; one writes, so nothing races.

const THREADS: u32 = 64;
const LANES: u32 = 32;

struct Params {
  n: u32,
  chunk: u32, // elements of a part
  parts: u32,
  scale: f32,
  half: u32,  // LANES / 2, for reduce_row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;                 // (n)
@group(0) @binding(2) var<storage, read> t: array<f32>;                 // (n)
@group(0) @binding(3) var<storage, read_write> partial_out: array<f32>; // (parts)
@group(0) @binding(4) var<storage, read> partial: array<f32>;           // (parts): partial_out, read only
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;        // (1)
@group(0) @binding(6) var<storage, read> dloss: array<f32>;             // (1)
@group(0) @binding(7) var<storage, read_write> da: array<f32>;          // (n)

alias Reduced = f32; // what reduce_row combines: a row is a part
fn merge(u: f32, v: f32) -> f32 { return u + v; }

// <shared reduce_row>
var<workgroup> tree: array<Reduced, THREADS>;

// Tree reduction in workgroup memory over the LANES threads of a row, in a fixed order; every thread gets the result.
// params.half is LANES / 2 as a uniform, so that compilers do not unroll the loop, which would be slow to compile.
fn reduce_row(lid: u32, value: Reduced) -> Reduced {
  if (LANES == 1u) { return value; }
  tree[lid] = value;
  workgroupBarrier();
  for (var half = params.half; half > 0u; half /= 2u) {
    if (lid % LANES < half) { tree[lid] = merge(tree[lid], tree[lid + half]); }
    workgroupBarrier();
  }
  return tree[lid / LANES * LANES];
}
// </shared>

// <shared row_index>
// Index of the row that a thread works on: LANES consecutive threads share a row.
fn row_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return ((wid.x + wid.y * num.x) * THREADS + lid) / LANES; }
// </shared>

// LANES threads per part; the first writes.
@compute @workgroup_size(THREADS)
fn partial_sums(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                @builtin(local_invocation_index) lid: u32) {
  let part = row_index(wid, num, lid);
  let end = min((part + 1u) * params.chunk, params.n);
  var sum = 0f;
  for (var i = part * params.chunk + lid % LANES; i < end; i += LANES) {
    let d = a[i] - t[i];
    sum += d * d;
  }
  let total = reduce_row(lid, sum);
  if (part < params.parts && lid % LANES == 0u) { partial_out[part] = total; }
}

// LANES threads in all; each adds up every LANES-th part, the first writes.
@compute @workgroup_size(THREADS)
fn forward(@builtin(local_invocation_index) lid: u32) {
  let count = select(0u, params.parts, lid < LANES);
  var sum = 0f;
  for (var part = lid; part < count; part += LANES) { sum += partial[part]; }
  let total = reduce_row(lid, sum);
  if (lid == 0u) { loss[0] = params.scale * total; }
}

// LANES threads per part; each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let part = row_index(wid, num, lid);
  let end = min((part + 1u) * params.chunk, params.n);
  let factor = 2.0 * params.scale * dloss[0];
  for (var i = part * params.chunk + lid % LANES; i < end; i += LANES) { da[i] = factor * (a[i] - t[i]); }
}
