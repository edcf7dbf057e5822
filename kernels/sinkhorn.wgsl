// Sinkhorn-Knopp iterations on scores s (N, T), as in SwAV: q = exp(s / epsilon), columns scaled to equal sums, then rows,
// repeatedly; rows last, to a sum of 1. In logarithms, so that nothing overflows or underflows:
//
//   g_t = log Σ_n exp(s_nt / epsilon - f_n)      f_n = log Σ_t exp(s_nt / epsilon - g_t)
//   q_nt = exp(s_nt / epsilon - g_t - f_n)
//
// with f = 0 at first. Constant factors of all rows or all columns cancel, so 1/N and 1/T are left out.
// Online log-sum-exp: a sum of exponentials is (m, Σ exp(v - m)) with m the largest v so far, rescaled when a larger one
// appears, four elements at a time. f is stored in two parts, m and the logarithm of the sum: subtracted one by one, they
// give rows that add up to 1 however large the scores are.
// N batch, T prototypes. Threads: ROWS per column or LANES per row; one writes each result, so nothing races.

const THREADS: u32 = 64;  // COLUMNS · ROWS
const COLUMNS: u32 = 16;  // columns of a workgroup, in `columns`
const ROWS: u32 = 4;      // threads of a column
const LANES: u32 = 32;    // threads of a row, in `rows` and `codes`

struct Params {
  N: u32, T: u32,
  inverse: f32, // 1 / epsilon
  half: u32,    // LANES / 2, for reduce_row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> s: array<f32>;           // (N, T)
@group(0) @binding(2) var<storage, read> f: array<vec2f>;         // (N): f = x + y
@group(0) @binding(3) var<storage, read> g: array<f32>;           // (T)
@group(0) @binding(4) var<storage, read_write> f_out: array<vec2f>; // (N): f, written
@group(0) @binding(5) var<storage, read_write> g_out: array<f32>; // (T)
@group(0) @binding(6) var<storage, read_write> q: array<f32>;     // (N, T)

// Four indices from `begin` on.
fn four(begin: u32, apart: u32) -> vec4u { return begin + apart * vec4u(0u, 1u, 2u, 3u); }

// The sum with four more elements; those not `inside` repeat an element and add nothing.
fn take(sum: vec2f, v: vec4f, inside: vec4<bool>) -> vec2f {
  let m = max(sum.x, max(max(v.x, v.y), max(v.z, v.w)));
  let e = select(vec4f(), exp(v - m), inside);
  return vec2f(m, sum.y * exp(sum.x - m) + e.x + e.y + e.z + e.w);
}

alias Reduced = vec2f; // what reduce_row combines: online sums of exponentials
fn merge(a: vec2f, b: vec2f) -> vec2f {
  let m = max(a.x, b.x);
  return vec2f(m, a.y * exp(a.x - m) + b.y * exp(b.x - m));
}

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

// <shared workgroup_index>
// Linear index of a workgroup in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn workgroup_index(wid: vec3u, num: vec3u) -> u32 { return wid.x + wid.y * num.x; }
// </shared>

// s / epsilon - f.
fn lifted(at: u32, n: u32) -> f32 { return s[at] * params.inverse - f[n].x - f[n].y; }

// ROWS threads per column; the first adds up theirs in order and writes.
@compute @workgroup_size(THREADS)
fn columns(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let column = workgroup_index(wid, num) * COLUMNS + lid % COLUMNS;
  let row = lid / COLUMNS;
  let t = min(column, params.T - 1u);
  var sum = vec2f(lifted(t, 0u), 0.0);
  for (var n = row; n < params.N; n += 4u * ROWS) {
    let each = four(n, ROWS);
    let i = min(each, vec4u(params.N - 1u));
    let at = i * params.T + t;
    let v = vec4f(lifted(at.x, i.x), lifted(at.y, i.y), lifted(at.z, i.z), lifted(at.w, i.w));
    sum = take(sum, v, each < vec4u(params.N));
  }
  if (ROWS > 1u) {
    tree[lid] = sum;
    workgroupBarrier();
    for (var other = 1u; other < ROWS; other++) {
      if (row == 0u) { sum = merge(sum, tree[other * COLUMNS + lid]); }
    }
  }
  if (column < params.T && row == 0u) { g_out[column] = sum.x + log(sum.y); }
}

// LANES threads per row; the first writes.
@compute @workgroup_size(THREADS)
fn rows(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
        @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  let base = min(n, params.N - 1u) * params.T;
  var sum = vec2f(s[base] * params.inverse - g[0], 0.0);
  for (var t = lid % LANES; t < params.T; t += 4u * LANES) {
    let each = four(t, LANES);
    let i = min(each, vec4u(params.T - 1u));
    let at = base + i;
    let v = vec4f(s[at.x], s[at.y], s[at.z], s[at.w]) * params.inverse - vec4f(g[i.x], g[i.y], g[i.z], g[i.w]);
    sum = take(sum, v, each < vec4u(params.T));
  }
  sum = reduce_row(lid, sum);
  if (n < params.N && lid % LANES == 0u) { f_out[n] = vec2f(sum.x, log(sum.y)); }
}

// LANES threads per row; each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn codes(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
         @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  if (n >= params.N) { return; }
  let own = f[n];
  for (var t = lid % LANES; t < params.T; t += LANES) {
    q[n * params.T + t] = exp(s[n * params.T + t] * params.inverse - g[t] - own.x - own.y);
  }
}
