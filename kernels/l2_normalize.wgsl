// Rows of length one: y = x / s, s = max(|x|, eps), for every row of x (N, D).
// Backward: dx = (dy - y (y · dy)) / s. A row shorter than eps gets no gradient: it would be 1 / eps times too large to use.
// LANES threads share a row, each takes every LANES-th element; their sums meet in a tree of fixed order.

const THREADS: u32 = 64;
const LANES: u32 = 32;

alias Strided = f32; // of a view: rows and columns lie where strides or keep-lists say

struct Params {
  N: u32, D: u32,
  ld: u32,   // row stride of in_place's rows
  eps: f32,
  half: u32, // LANES / 2: taken from here, the tree's loop stays a loop, which compiles faster
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // (N, D)
@group(0) @binding(2) var<storage, read> dy: array<f32>;         // (N, D)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;    // (N, D)
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;   // (N, D)
@group(0) @binding(5) var<storage, read_write> rows: array<Strided>; // (N, D), row stride ld

var<workgroup> tree: array<vec2f, THREADS>;

// Sum over the threads of a row; each gets the result.
fn row_sum(li: u32, value: vec2f) -> vec2f {
  if (LANES == 1u) { return value; }
  tree[li] = value;
  workgroupBarrier();
  for (var half = params.half; half > 0u; half /= 2u) {
    if (li % LANES < half) { tree[li] += tree[li + half]; }
    workgroupBarrier();
  }
  return tree[li / LANES * LANES];
}

// LANES threads per row.
fn row_of(wid: vec3u, num: vec3u, li: u32) -> u32 { return ((wid.x + wid.y * num.x) * THREADS + li) / LANES; }

// LANES threads per row, each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  let base = min(n, params.N - 1u) * params.D;
  var sum = 0f;
  for (var i = li % LANES; i < params.D; i += LANES) { sum += x[base + i] * x[base + i]; }
  let s = max(sqrt(row_sum(li, vec2f(sum, 0.0)).x), params.eps);
  if (n >= params.N) { return; }
  for (var i = li % LANES; i < params.D; i += LANES) { y[base + i] = x[base + i] / s; }
}

// As forward, in place.
@compute @workgroup_size(THREADS)
fn in_place(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  let base = min(n, params.N - 1u) * params.ld;
  var sum = 0f;
  for (var i = li % LANES; i < params.D; i += LANES) { sum += rows[base + i] * rows[base + i]; }
  let s = max(sqrt(row_sum(li, vec2f(sum, 0.0)).x), params.eps);
  if (n >= params.N) { return; }
  for (var i = li % LANES; i < params.D; i += LANES) { rows[base + i] /= s; }
}

// LANES threads per row, each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  let base = min(n, params.N - 1u) * params.D;
  var sum = vec2f();
  for (var i = li % LANES; i < params.D; i += LANES) {
    let v = x[base + i];
    sum += v * vec2f(v, dy[base + i]);
  }
  let sums = row_sum(li, sum); // x · x, x · dy
  let s = sqrt(sums.x);
  let live = s > params.eps;
  let r = select(0.0, 1.0 / s, live);
  let share = sums.y * r * r;
  if (n >= params.N) { return; }
  for (var i = li % LANES; i < params.D; i += LANES) { dx[base + i] = r * (dy[base + i] - share * x[base + i]); }
}
