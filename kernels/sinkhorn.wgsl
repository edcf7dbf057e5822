// Sinkhorn and Knopp's iteration on scores s (N, P), as in SwAV: codes q = exp(s / epsilon) whose columns are scaled to the same
// sum, then the rows, again and again, the rows last and to 1. In logarithms, so that nothing overflows or vanishes:
//
//   g_p = log Σ_n exp(s_np / epsilon - f_n)      f_n = log Σ_p exp(s_np / epsilon - g_p)      q_np = exp(s_np / epsilon - g_p - f_n)
//
// with f = 0 at first. Constant factors of all rows or all columns cancel, so 1/N and 1/P are left out.
// A sum of exponentials is kept as (m, Σ exp(v - m)), m the largest v so far, and moved whenever a larger one turns up; it takes
// four elements at a time. f stays in two parts, m and the sum's logarithm: taken off one by one, they leave rows that add up to 1
// however large the scores.

const THREADS: u32 = 64;  // COLUMNS · ROWS
const COLUMNS: u32 = 16;  // columns pass: columns a workgroup,
const ROWS: u32 = 4;      // and threads that share one
const LANES: u32 = 32;    // rows pass: threads that share a row

struct Params {
  N: u32, P: u32,
  inverse: f32, // 1 / epsilon
  half: u32,    // LANES / 2: taken from here, the tree's loop stays a loop, which compiles faster
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> s: array<f32>;           // (N, P)
@group(0) @binding(2) var<storage, read> f: array<vec2f>;         // (N): f = x + y
@group(0) @binding(3) var<storage, read> g: array<f32>;           // (P)
@group(0) @binding(4) var<storage, read_write> f_out: array<vec2f>; // (N), the same
@group(0) @binding(5) var<storage, read_write> g_out: array<f32>; // (P)
@group(0) @binding(6) var<storage, read_write> q: array<f32>;     // (N, P)

var<workgroup> tree: array<vec2f, THREADS>;

fn four(from_first: u32, apart: u32) -> vec4u { return from_first + apart * vec4u(0u, 1u, 2u, 3u); }

// The sum with four more elements; `inside` says which of them count, the others repeat one that does.
fn take(sum: vec2f, v: vec4f, inside: vec4<bool>) -> vec2f {
  let m = max(sum.x, max(max(v.x, v.y), max(v.z, v.w)));
  let e = select(vec4f(), exp(v - m), inside);
  return vec2f(m, sum.y * exp(sum.x - m) + e.x + e.y + e.z + e.w);
}

fn merge(a: vec2f, b: vec2f) -> vec2f {
  let m = max(a.x, b.x);
  return vec2f(m, a.y * exp(a.x - m) + b.y * exp(b.x - m));
}

// An element of s / epsilon, less what its row has.
fn lifted(at: u32, n: u32) -> f32 { return s[at] * params.inverse - f[n].x - f[n].y; }

// ROWS threads per column, the first writes.
@compute @workgroup_size(THREADS)
fn columns(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32) {
  let column = (wid.x + wid.y * num.x) * COLUMNS + li % COLUMNS;
  let row = li / COLUMNS;
  let p = min(column, params.P - 1u);
  var sum = vec2f(lifted(p, 0u), 0.0);
  for (var n = row; n < params.N; n += 4u * ROWS) {
    let each = four(n, ROWS);
    let i = min(each, vec4u(params.N - 1u));
    let at = i * params.P + p;
    let v = vec4f(lifted(at.x, i.x), lifted(at.y, i.y), lifted(at.z, i.z), lifted(at.w, i.w));
    sum = take(sum, v, each < vec4u(params.N));
  }
  if (ROWS > 1u) {
    tree[li] = sum;
    workgroupBarrier();
    for (var other = 1u; other < ROWS; other++) {
      if (row == 0u) { sum = merge(sum, tree[other * COLUMNS + li]); }
    }
  }
  if (column < params.P && row == 0u) { g_out[column] = sum.x + log(sum.y); }
}

// LANES threads per row, the first writes.
@compute @workgroup_size(THREADS)
fn rows(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
        @builtin(local_invocation_index) li: u32) {
  let n = ((wid.x + wid.y * num.x) * THREADS + li) / LANES;
  let base = min(n, params.N - 1u) * params.P;
  var sum = vec2f(s[base] * params.inverse - g[0], 0.0);
  for (var p = li % LANES; p < params.P; p += 4u * LANES) {
    let each = four(p, LANES);
    let i = min(each, vec4u(params.P - 1u));
    let at = base + i;
    let v = vec4f(s[at.x], s[at.y], s[at.z], s[at.w]) * params.inverse - vec4f(g[i.x], g[i.y], g[i.z], g[i.w]);
    sum = take(sum, v, each < vec4u(params.P));
  }
  if (LANES > 1u) {
    tree[li] = sum;
    workgroupBarrier();
    for (var half = params.half; half > 0u; half /= 2u) {
      if (li % LANES < half) { tree[li] = merge(tree[li], tree[li + half]); }
      workgroupBarrier();
    }
    sum = tree[li];
  }
  if (n < params.N && li % LANES == 0u) { f_out[n] = vec2f(sum.x, log(sum.y)); }
}

// LANES threads per row, each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn codes(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
         @builtin(local_invocation_index) li: u32) {
  let n = ((wid.x + wid.y * num.x) * THREADS + li) / LANES;
  if (n >= params.N) { return; }
  let own = f[n];
  for (var p = li % LANES; p < params.P; p += LANES) {
    q[n * params.P + p] = exp(s[n * params.P + p] * params.inverse - g[p] - own.x - own.y);
  }
}
