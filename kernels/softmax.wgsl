// Softmax of rows of logits x (N, K), and the cross-entropy of targets against it.
//
//   p = softmax(x / temperature)       loss = -(scale / N) Σ_n Σ_k t_nk log p_nk
//   dx = dloss · scale / (N temperature) · (p Σ_k t_k - t)
//
// Targets t are a matrix, or 1 for one class of each row. A class that the row does not have leaves the row out: it adds
// nothing to the loss and gets no gradient.
//
// One pass over the logits, in fours, leaves for every row (m, Σ exp((x - m) / temperature), Σ t (x - m), Σ t), m the row's
// maximum: the sums are moved whenever a larger one turns up, so that no exponent is above 0. LANES threads share a row, each
// takes every LANES-th element; what they have meets in a tree of fixed order.

const THREADS: u32 = 64;
const LANES: u32 = 32;

struct Params {
  N: u32, K: u32,
  inverse: f32, // 1 / temperature
  scale: f32,   // of the loss
  half: u32,    // LANES / 2: taken from here, the tree's loop stays a loop, which compiles faster
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // (N, K)
@group(0) @binding(2) var<storage, read> classes: array<u32>;       // (N)
@group(0) @binding(3) var<storage, read> targets: array<f32>;       // (N, K)
@group(0) @binding(4) var<storage, read_write> sums_out: array<vec4f>; // (N): m, Σ exp, Σ t (x - m), Σ t
@group(0) @binding(5) var<storage, read> sums: array<vec4f>;           // (N), the same
@group(0) @binding(6) var<storage, read_write> p: array<f32>;       // (N, K)
@group(0) @binding(7) var<storage, read_write> loss: array<f32>;    // (1)
@group(0) @binding(8) var<storage, read> dloss: array<f32>;         // (1)
@group(0) @binding(9) var<storage, read_write> dx: array<f32>;      // (N, K)

var<workgroup> tree: array<vec4f, THREADS>;

// LANES threads per row.
fn row_of(wid: vec3u, num: vec3u, li: u32) -> u32 { return ((wid.x + wid.y * num.x) * THREADS + li) / LANES; }

// Four elements of a row from k on, LANES apart.
fn four(k: u32) -> vec4u { return k + LANES * vec4u(0u, 1u, 2u, 3u); }

fn load_x(at: vec4u) -> vec4f { return vec4f(x[at.x], x[at.y], x[at.z], x[at.w]); }

// Sums relative to the maximum of so far, as they are relative to m, which is no smaller.
fn moved(s: vec4f, m: f32) -> vec4f {
  let by = s.x - m;
  return vec4f(m, s.y * exp(by * params.inverse), s.z + s.w * by, s.w);
}

fn merge(a: vec4f, b: vec4f) -> vec4f {
  let m = max(a.x, b.x);
  let sum = moved(a, m) + moved(b, m);
  return vec4f(m, sum.yzw);
}

// What four more logits do to the sums; `inside` says which of them count, the others repeat one that does.
fn take(s: vec4f, v: vec4f, inside: vec4<bool>) -> vec4f {
  let m = max(s.x, max(max(v.x, v.y), max(v.z, v.w)));
  let e = select(vec4f(), exp((v - m) * params.inverse), inside);
  return moved(s, m) + vec4f(0.0, e.x + e.y + e.z + e.w, 0.0, 0.0);
}

// Merges what the threads of a row have; each gets the result.
fn meet(li: u32, value: vec4f) -> vec4f {
  if (LANES == 1u) { return value; }
  tree[li] = value;
  workgroupBarrier();
  for (var half = params.half; half > 0u; half /= 2u) {
    if (li % LANES < half) { tree[li] = merge(tree[li], tree[li + half]); }
    workgroupBarrier();
  }
  return tree[li / LANES * LANES];
}

// m and Σ exp of a row.
fn row_sums(n: u32, li: u32) -> vec4f {
  let base = n * params.K;
  var s = vec4f(x[base], 0.0, 0.0, 0.0);
  for (var k = li % LANES; k < params.K; k += 4u * LANES) {
    let at = four(k);
    s = take(s, load_x(base + min(at, vec4u(params.K - 1u))), at < vec4u(params.K));
  }
  return meet(li, s);
}

// LANES threads per row, the first writes.
@compute @workgroup_size(THREADS)
fn sums_alone(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
              @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  let s = row_sums(min(n, params.N - 1u), li);
  if (n < params.N && li % LANES == 0u) { sums_out[n] = s; }
}

// LANES threads per row, the first writes.
@compute @workgroup_size(THREADS)
fn sums_with_classes(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                     @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  let s = row_sums(min(n, params.N - 1u), li);
  if (n >= params.N || li % LANES != 0u) { return; }
  let k = classes[n];
  let has = k < params.K;
  let v = x[n * params.K + min(k, params.K - 1u)] - s.x;
  sums_out[n] = vec4f(s.xy, select(vec2f(), vec2f(v, 1.0), has));
}

// LANES threads per row, the first writes.
@compute @workgroup_size(THREADS)
fn sums_with_targets(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                     @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  let base = min(n, params.N - 1u) * params.K;
  var s = vec4f(x[base], 0.0, 0.0, 0.0);
  for (var k = li % LANES; k < params.K; k += 4u * LANES) {
    let each = four(k);
    let inside = each < vec4u(params.K);
    let at = base + min(each, vec4u(params.K - 1u));
    let v = load_x(at);
    let t = select(vec4f(), vec4f(targets[at.x], targets[at.y], targets[at.z], targets[at.w]), inside);
    s = take(s, v, inside);
    s += vec4f(0.0, 0.0, dot(t, v - s.x), t.x + t.y + t.z + t.w);
  }
  s = meet(li, s);
  if (n < params.N && li % LANES == 0u) { sums_out[n] = s; }
}

// LANES threads per row, each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn probabilities(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                 @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  if (n >= params.N) { return; }
  let s = sums[n];
  let base = n * params.K;
  for (var k = li % LANES; k < params.K; k += LANES) { p[base + k] = exp((x[base + k] - s.x) * params.inverse) / s.y; }
}

// LANES threads in all: each adds up every LANES-th row's loss, the first writes.
@compute @workgroup_size(THREADS)
fn mean_loss(@builtin(local_invocation_index) li: u32) {
  let count = select(0u, params.N, li < LANES);
  var sum = 0f;
  for (var n = li; n < count; n += LANES) {
    let s = sums[n];
    sum += s.w * log(s.y) - s.z * params.inverse;
  }
  // between equal maxima a merge is an addition
  let total = meet(li, vec4f(0.0, 0.0, sum, 0.0)).z;
  if (li == 0u) { loss[0] = params.scale / f32(params.N) * total; }
}

// LANES threads per row, each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn gradient_of_classes(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                       @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  if (n >= params.N) { return; }
  let s = sums[n];
  let factor = dloss[0] * params.scale * params.inverse / f32(params.N);
  let own = classes[n];
  let base = n * params.K;
  for (var k = li % LANES; k < params.K; k += LANES) {
    let share = s.w / s.y * exp((x[base + k] - s.x) * params.inverse);
    dx[base + k] = factor * (share - select(0.0, 1.0, k == own));
  }
}

// LANES threads per row, each writes every LANES-th element.
@compute @workgroup_size(THREADS)
fn gradient_of_targets(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                       @builtin(local_invocation_index) li: u32) {
  let n = row_of(wid, num, li);
  if (n >= params.N) { return; }
  let s = sums[n];
  let factor = dloss[0] * params.scale * params.inverse / f32(params.N);
  let base = n * params.K;
  for (var k = li % LANES; k < params.K; k += LANES) {
    let share = s.w / s.y * exp((x[base + k] - s.x) * params.inverse);
    dx[base + k] = factor * (share - targets[base + k]);
  }
}
