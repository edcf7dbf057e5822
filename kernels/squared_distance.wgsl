// The squared distance of a from a constant t, n elements each: loss = scale Σ (a - t)², da = dloss · 2 scale (a - t).
// The sum falls into `parts` of `chunk` elements, whose results a second dispatch adds up. LANES threads share a part, each
// takes every LANES-th element; their sums meet in a tree of fixed order.

const THREADS: u32 = 64;
const LANES: u32 = 32;

struct Params {
  n: u32,
  chunk: u32, // elements a part
  parts: u32,
  scale: f32,
  half: u32,  // LANES / 2: taken from here, the tree's loop stays a loop, which compiles faster
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;              // (n)
@group(0) @binding(2) var<storage, read> t: array<f32>;              // (n)
@group(0) @binding(3) var<storage, read_write> partial_out: array<f32>; // (parts)
@group(0) @binding(4) var<storage, read> partial: array<f32>;        // (parts), the same
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;     // (1)
@group(0) @binding(6) var<storage, read> dloss: array<f32>;          // (1)
@group(0) @binding(7) var<storage, read_write> da: array<f32>;       // (n)

var<workgroup> tree: array<f32, THREADS>;

// Sum over the LANES threads of a part; each gets the result.
fn lane_sum(li: u32, value: f32) -> f32 {
  if (LANES == 1u) { return value; }
  tree[li] = value;
  workgroupBarrier();
  for (var half = params.half; half > 0u; half /= 2u) {
    if (li % LANES < half) { tree[li] += tree[li + half]; }
    workgroupBarrier();
  }
  return tree[li / LANES * LANES];
}

// LANES threads per part, the first writes.
@compute @workgroup_size(THREADS)
fn partial_sums(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                @builtin(local_invocation_index) li: u32) {
  let part = ((wid.x + wid.y * num.x) * THREADS + li) / LANES;
  let end = min((part + 1u) * params.chunk, params.n);
  var sum = 0f;
  for (var i = part * params.chunk + li % LANES; i < end; i += LANES) {
    let d = a[i] - t[i];
    sum += d * d;
  }
  let total = lane_sum(li, sum);
  if (part < params.parts && li % LANES == 0u) { partial_out[part] = total; }
}

// LANES threads in all: each adds up every LANES-th part, the first writes.
@compute @workgroup_size(THREADS)
fn forward(@builtin(local_invocation_index) li: u32) {
  let count = select(0u, params.parts, li < LANES);
  var sum = 0f;
  for (var part = li; part < count; part += LANES) { sum += partial[part]; }
  let total = lane_sum(li, sum);
  if (li == 0u) { loss[0] = params.scale * total; }
}

// LANES threads per part, each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) li: u32) {
  let part = ((wid.x + wid.y * num.x) * THREADS + li) / LANES;
  let end = min((part + 1u) * params.chunk, params.n);
  let factor = 2.0 * params.scale * dloss[0];
  for (var i = part * params.chunk + li % LANES; i < end; i += LANES) { da[i] = factor * (a[i] - t[i]); }
}
