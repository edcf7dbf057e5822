// Softmax of rows of logits x (N, L), and cross-entropy of targets against it:
//
//   p = softmax(x / temperature)       loss = -(scale / N) Σ_n Σ_l t_nl log p_nl
//   dx = dloss · scale / (N temperature) · (p Σ_l t_nl - t)
//
// Targets t are a matrix (N, L), or one class per row, whose t is 1. A row whose class is not in 0 .. L - 1 is ignored: it
// adds nothing to the loss and gets no gradient.
//
// Online softmax: one pass over the logits, four at a time, gives (m, Σ exp((x - m) / temperature), Σ t (x - m), Σ t) of a
// row with m its maximum; the sums are rescaled when a larger m appears, so that no exponent is above 0.
// N rows, L logits of a row. Threads: LANES per row, each takes every LANES-th element, so nothing races.

const THREADS: u32 = 64;
const LANES: u32 = 32;

struct Params {
  N: u32, L: u32,
  inverse: f32, // 1 / temperature
  scale: f32,   // of the loss
  half: u32,    // LANES / 2, for reduce_row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // (N, L)
@group(0) @binding(2) var<storage, read> classes: array<u32>;       // (N)
@group(0) @binding(3) var<storage, read> targets: array<f32>;       // (N, L)
@group(0) @binding(4) var<storage, read_write> sums_out: array<vec4f>; // (N): m, Σ exp, Σ t (x - m), Σ t
@group(0) @binding(5) var<storage, read> sums: array<vec4f>;           // (N): sums_out, read only
@group(0) @binding(6) var<storage, read_write> p: array<f32>;       // (N, L)
@group(0) @binding(7) var<storage, read_write> loss: array<f32>;    // (1)
@group(0) @binding(8) var<storage, read> dloss: array<f32>;         // (1)
@group(0) @binding(9) var<storage, read_write> dx: array<f32>;      // (N, L)

// <shared row_index>
// Index of the row that a thread works on: LANES consecutive threads share a row.
fn row_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return ((wid.x + wid.y * num.x) * THREADS + lid) / LANES; }
// </shared>

// ---- Online sums of a row

// Four columns from l on, LANES apart.
fn four(l: u32) -> vec4u { return l + LANES * vec4u(0u, 1u, 2u, 3u); }

fn gather_x(at: vec4u) -> vec4f { return vec4f(x[at.x], x[at.y], x[at.z], x[at.w]); }

// Sums relative to the maximum so far, rescaled to m, which is no smaller.
fn moved(s: vec4f, m: f32) -> vec4f {
  let by = s.x - m;
  return vec4f(m, s.y * exp(by * params.inverse), s.z + s.w * by, s.w);
}

alias Reduced = vec4f; // what reduce_row combines: online sums
fn merge(a: vec4f, b: vec4f) -> vec4f {
  let m = max(a.x, b.x);
  let sum = moved(a, m) + moved(b, m);
  return vec4f(m, sum.yzw);
}

// The sums with four more logits; those not `inside` repeat a logit and add nothing.
fn take(s: vec4f, v: vec4f, inside: vec4<bool>) -> vec4f {
  let m = max(s.x, max(max(v.x, v.y), max(v.z, v.w)));
  let e = select(vec4f(), exp((v - m) * params.inverse), inside);
  return moved(s, m) + vec4f(0.0, e.x + e.y + e.z + e.w, 0.0, 0.0);
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

// m and Σ exp of a row.
fn row_sums(n: u32, lid: u32) -> vec4f {
  let base = n * params.L;
  var s = vec4f(x[base], 0.0, 0.0, 0.0);
  for (var l = lid % LANES; l < params.L; l += 4u * LANES) {
    let at = four(l);
    s = take(s, gather_x(base + min(at, vec4u(params.L - 1u))), at < vec4u(params.L));
  }
  return reduce_row(lid, s);
}

// ---- Forward

// LANES threads per row; the first writes.
@compute @workgroup_size(THREADS)
fn sums_alone(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
              @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  let s = row_sums(min(n, params.N - 1u), lid);
  if (n < params.N && lid % LANES == 0u) { sums_out[n] = s; }
}

// LANES threads per row; the first writes.
@compute @workgroup_size(THREADS)
fn sums_with_classes(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                     @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  let s = row_sums(min(n, params.N - 1u), lid);
  if (n >= params.N || lid % LANES != 0u) { return; }
  let l = classes[n];
  let has = l < params.L;
  let v = x[n * params.L + min(l, params.L - 1u)] - s.x;
  sums_out[n] = vec4f(s.xy, select(vec2f(), vec2f(v, 1.0), has));
}

// LANES threads per row; the first writes.
@compute @workgroup_size(THREADS)
fn sums_with_targets(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                     @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  let base = min(n, params.N - 1u) * params.L;
  var s = vec4f(x[base], 0.0, 0.0, 0.0);
  for (var l = lid % LANES; l < params.L; l += 4u * LANES) {
    let each = four(l);
    let inside = each < vec4u(params.L);
    let at = base + min(each, vec4u(params.L - 1u));
    let v = gather_x(at);
    let t = select(vec4f(), vec4f(targets[at.x], targets[at.y], targets[at.z], targets[at.w]), inside);
    s = take(s, v, inside);
    s += vec4f(0.0, 0.0, dot(t, v - s.x), t.x + t.y + t.z + t.w);
  }
  s = reduce_row(lid, s);
  if (n < params.N && lid % LANES == 0u) { sums_out[n] = s; }
}

// LANES threads per row; each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn probabilities(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                 @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  if (n >= params.N) { return; }
  let s = sums[n];
  let base = n * params.L;
  for (var l = lid % LANES; l < params.L; l += LANES) { p[base + l] = exp((x[base + l] - s.x) * params.inverse) / s.y; }
}

// LANES threads in all; each adds up every LANES-th row's loss, the first writes.
@compute @workgroup_size(THREADS)
fn mean_loss(@builtin(local_invocation_index) lid: u32) {
  let count = select(0u, params.N, lid < LANES);
  var sum = 0f;
  for (var n = lid; n < count; n += LANES) {
    let s = sums[n];
    sum += s.w * log(s.y) - s.z * params.inverse;
  }
  // merge adds where both maxima are equal
  let total = reduce_row(lid, vec4f(0.0, 0.0, sum, 0.0)).z;
  if (lid == 0u) { loss[0] = params.scale / f32(params.N) * total; }
}

// ---- Gradient of the logits

// LANES threads per row; each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn backward_input_classes(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                          @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  if (n >= params.N) { return; }
  let s = sums[n];
  let factor = dloss[0] * params.scale * params.inverse / f32(params.N);
  let own = classes[n];
  let base = n * params.L;
  for (var l = lid % LANES; l < params.L; l += LANES) {
    let share = s.w / s.y * exp((x[base + l] - s.x) * params.inverse);
    dx[base + l] = factor * (share - select(0.0, 1.0, l == own));
  }
}

// LANES threads per row; each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn backward_input_targets(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                          @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  if (n >= params.N) { return; }
  let s = sums[n];
  let factor = dloss[0] * params.scale * params.inverse / f32(params.N);
  let base = n * params.L;
  for (var l = lid % LANES; l < params.L; l += LANES) {
    let share = s.w / s.y * exp((x[base + l] - s.x) * params.inverse);
    dx[base + l] = factor * (share - targets[base + l]);
  }
}
