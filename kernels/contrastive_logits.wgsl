// The first column of similarities, q_n · own_n of q and own (N, D), in rows that lie `ld` apart: what is left for the matmul
// kernel are the columns q · queueᵀ beside it. Backward: dq = dlogit own, to which the queue's part is added; down likewise, with q
// in the place of own.
// LANES threads share a row, each takes every LANES-th element; their sums meet in a tree of fixed order.

const THREADS: u32 = 64;
const LANES: u32 = 32;

struct Params {
  N: u32, D: u32,
  ld: u32,   // row stride of logits and dlogits
  half: u32, // LANES / 2: taken from here, the tree's loop stays a loop, which compiles faster
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;            // (N, D)
@group(0) @binding(2) var<storage, read> own: array<f32>;          // (N, D)
@group(0) @binding(3) var<storage, read> dlogits: array<f32>;      // (N, ld)
@group(0) @binding(4) var<storage, read_write> logits: array<f32>; // (N, ld)
@group(0) @binding(5) var<storage, read_write> dq: array<f32>;     // (N, D)

var<workgroup> tree: array<f32, THREADS>;

// LANES threads per row.
fn row_of(wid: vec3u, num: vec3u, li: u32) -> u32 { return ((wid.x + wid.y * num.x) * THREADS + li) / LANES; }

// LANES threads per row, the first writes.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  let base = min(n, params.N - 1u) * params.D;
  var sum = 0f;
  for (var i = li % LANES; i < params.D; i += LANES) { sum += q[base + i] * own[base + i]; }
  if (LANES > 1u) {
    tree[li] = sum;
    workgroupBarrier();
    for (var half = params.half; half > 0u; half /= 2u) {
      if (li % LANES < half) { tree[li] += tree[li + half]; }
      workgroupBarrier();
    }
    sum = tree[li];
  }
  if (n < params.N && li % LANES == 0u) { logits[n * params.ld] = sum; }
}

// LANES threads per row, each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  if (n >= params.N) { return; }
  let g = dlogits[n * params.ld];
  for (var i = li % LANES; i < params.D; i += LANES) { dq[n * params.D + i] = g * own[n * params.D + i]; }
}
