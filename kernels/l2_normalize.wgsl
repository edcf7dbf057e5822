// L2 normalization of the rows of x (N, D), and its gradient:
//   y = x / s,  s = max(|x|, eps)        dx = (dy - y (y · dy)) / s
// A row shorter than eps gets no gradient, which would be 1 / eps times dy.
// Threads: LANES per row, each takes every LANES-th element, so nothing races.

const THREADS: u32 = 64;
const LANES: u32 = 32;

alias Strided = f32; // element of a view whose rows are ld apart

struct Params {
  N: u32, D: u32,
  ld: u32,   // row stride of `rows`
  eps: f32,
  half: u32, // LANES / 2, for reduce_row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // (N, D)
@group(0) @binding(2) var<storage, read> dy: array<f32>;         // (N, D)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;    // (N, D)
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;   // (N, D)
@group(0) @binding(5) var<storage, read_write> rows: array<Strided>; // (N, D), ld between rows

alias Reduced = vec2f; // what reduce_row combines: x · x and x · dy
fn merge(u: vec2f, v: vec2f) -> vec2f { return u + v; }

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

// LANES threads per row; each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  let base = min(n, params.N - 1u) * params.D;
  var sum = 0f;
  for (var i = lid % LANES; i < params.D; i += LANES) { sum += x[base + i] * x[base + i]; }
  let s = max(sqrt(reduce_row(lid, vec2f(sum, 0.0)).x), params.eps);
  if (n >= params.N) { return; }
  for (var i = lid % LANES; i < params.D; i += LANES) { y[base + i] = x[base + i] / s; }
}

// forward in place, of a view.
@compute @workgroup_size(THREADS)
fn in_place(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  let base = min(n, params.N - 1u) * params.ld;
  var sum = 0f;
  for (var i = lid % LANES; i < params.D; i += LANES) { sum += rows[base + i] * rows[base + i]; }
  let s = max(sqrt(reduce_row(lid, vec2f(sum, 0.0)).x), params.eps);
  if (n >= params.N) { return; }
  for (var i = lid % LANES; i < params.D; i += LANES) { rows[base + i] /= s; }
}

// LANES threads per row; each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  let base = min(n, params.N - 1u) * params.D;
  var sum = vec2f();
  for (var i = lid % LANES; i < params.D; i += LANES) {
    let v = x[base + i];
    sum += v * vec2f(v, dy[base + i]);
  }
  let sums = reduce_row(lid, sum); // x · x, x · dy
  let s = sqrt(sums.x);
  let live = s > params.eps;
  let r = select(0.0, 1.0 / s, live);
  let share = sums.y * r * r;
  if (n >= params.N) { return; }
  for (var i = lid % LANES; i < params.D; i += LANES) { dx[base + i] = r * (dy[base + i] - share * x[base + i]); }
}
