// First column of contrastive logits: the similarity of each query with its own key, and its gradient.
//   logits[n, 0] = q_n · own_n        dq_n = dlogits[n, 0] own_n
// q and own are (N, D); rows of logits and dlogits are `ld` apart. The other columns, q · queueᵀ, and their part of dq,
// which is added to this one, are products of matmul.wgsl. The gradient of own is the same with q in its place.
// Threads: LANES per row, each takes every LANES-th element; one writes, so nothing races.

const THREADS: u32 = 64;
const LANES: u32 = 32;

struct Params {
  N: u32, D: u32,
  ld: u32,   // row stride of logits and dlogits
  half: u32, // LANES / 2, for reduce_row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;            // (N, D)
@group(0) @binding(2) var<storage, read> own: array<f32>;          // (N, D)
@group(0) @binding(3) var<storage, read> dlogits: array<f32>;      // (N, ld)
@group(0) @binding(4) var<storage, read_write> logits: array<f32>; // (N, ld)
@group(0) @binding(5) var<storage, read_write> dq: array<f32>;     // (N, D)

alias Reduced = f32; // what reduce_row combines
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

// LANES threads per row; the first writes.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  let base = min(n, params.N - 1u) * params.D;
  var sum = 0f;
  for (var i = lid % LANES; i < params.D; i += LANES) { sum += q[base + i] * own[base + i]; }
  let total = reduce_row(lid, sum);
  if (n < params.N && lid % LANES == 0u) { logits[n * params.ld] = total; }
}

// LANES threads per row; each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  if (n >= params.N) { return; }
  let g = dlogits[n * params.ld];
  for (var i = lid % LANES; i < params.D; i += LANES) { dq[n * params.D + i] = g * own[n * params.D + i]; }
}
