// Cross-correlation loss of two batches of embeddings and its gradient, except for the matrix products, which are
// matmul.wgsl's. N batch, D embedding; A, B (N, D) standardized by column, C = Aᵀ B / N (D, D), c its diagonal.
//
//   L = s (Σ_i (c_i - 1)² + lambda Σ_{i≠j} C_ij²)       G = dL/dC       T_A = B Gᵀ
//   dz = r / N · (T - A · R),   R_i = (1/N) Σ_n A_ni T_ni,   r = 1 / sd
//
// Gram form:   Σ C_ij² = Σ gram_A · gram_B / N²,   T_A = 2s (lambda/N gram_B A + B · ((1 - lambda) c - 1)),
//              gram_A = A Aᵀ (N, N)
// Direct form: C is computed in panels of rows, which are replaced by those of G and multiplied.
// T is linear in the loss, so the terms of several losses are added into one T before the one correction by R.
// Threads: each entry point says what a thread or a workgroup owns; nothing else writes it, so nothing races.

const COLUMNS: u32 = 16; // columns of a workgroup
const ROWS: u32 = 4;     // threads of a column
const THREADS: u32 = 64; // COLUMNS · ROWS; also of the elementwise passes

// <shared slice_channels>
alias Strided = f32;       // element of a slice: strides or a list of kept channels say where it lies
alias Kept = u32;          // number of a kept channel in the host
const KEPT: bool = false;  // true where `kept` is bound
// </shared>

struct Params {
  N: u32, D: u32,
  ldz: u32,         // row stride of z
  first: u32,       // direct form: first row of C in this panel
  count: u32,       // elementwise passes: elements; measure: partial sums
  accumulate: u32,  // combine, diagonal_term: 1 adds to the output
  row: u32,         // measure: row of metrics to write
  lambda: f32,
  scale: f32,       // s; in gradients times the term's weight
  factor: f32,      // measure: from a partial sum to Σ C_ij²
  subtract: f32,    // measure: 1 where the partial sums include the diagonal
  weight: f32,      // combine: the matrix's weight
  eps: f32,
  half: u32,        // THREADS / 2 as a uniform, so that compilers do not unroll the reduction loop
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> z: array<Strided>;             // (N, D), row stride ldz
@group(0) @binding(2) var<storage, read_write> a_out: array<f32>;       // (N, D)
@group(0) @binding(3) var<storage, read_write> r_out: array<f32>;       // (D)
@group(0) @binding(4) var<storage, read> a: array<f32>;                 // (N, D)
@group(0) @binding(5) var<storage, read> b: array<f32>;                 // (N, D)
@group(0) @binding(6) var<storage, read> r: array<f32>;                 // (D)
@group(0) @binding(7) var<storage, read_write> c_out: array<f32>;       // (D)
@group(0) @binding(8) var<storage, read> c: array<f32>;                 // (D)
@group(0) @binding(9) var<storage, read> gram_a: array<f32>;            // (N, N)
@group(0) @binding(10) var<storage, read> gram_b: array<f32>;           // (N, N)
@group(0) @binding(11) var<storage, read_write> gram_out: array<f32>;   // (N, N)
@group(0) @binding(12) var<storage, read_write> panel: array<f32>;      // (rows, D): rows of C, then of G
@group(0) @binding(13) var<storage, read_write> t_out: array<f32>;      // (N, D)
@group(0) @binding(14) var<storage, read> t: array<f32>;                // (N, D)
@group(0) @binding(15) var<storage, read_write> dz: array<f32>;         // (N, D)
@group(0) @binding(16) var<storage, read_write> partial_out: array<f32>; // (count)
@group(0) @binding(17) var<storage, read> partial: array<f32>;          // (count)
@group(0) @binding(18) var<storage, read_write> metrics: array<vec4f>;  // (rows): loss, on, off, mean of c
@group(0) @binding(19) var<storage, read> dloss: array<f32>;              // (1)
@group(0) @binding(20) var<storage, read> kept: array<Kept>;            // (D), optional: the kept columns of z

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// <shared workgroup_index>
// Linear index of a workgroup in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn workgroup_index(wid: vec3u, num: vec3u) -> u32 { return wid.x + wid.y * num.x; }
// </shared>

var<workgroup> tree: array<vec4f, THREADS>;

// Sum over the ROWS threads of a column, which are COLUMNS apart; every thread gets the result.
fn column_sum(lid: u32, value: f32) -> f32 {
  workgroupBarrier();
  tree[lid].x = value;
  workgroupBarrier();
  var sum = 0f;
  for (var row = 0u; row < ROWS; row++) { sum += tree[row * COLUMNS + lid % COLUMNS].x; }
  return sum;
}

// Tree reduction in workgroup memory; tree[0] holds the sum.
fn tree_sum(lid: u32, value: vec4f) {
  tree[lid] = value;
  workgroupBarrier();
  for (var half = params.half; half > 0u; half /= 2u) {
    if (lid < half) { tree[lid] += tree[lid + half]; }
    workgroupBarrier();
  }
}

// ---- Standardization

// A = (z - mean) / sqrt(var + eps) per column, r = 1 / sqrt(var + eps), or 0 for a (nearly) constant column, whose
// gradient would be noise times a large r. ROWS threads per column: two passes over its rows, and one that writes.
@compute @workgroup_size(THREADS)
fn standardize(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
               @builtin(local_invocation_index) lid: u32) {
  let column = workgroup_index(wid, num) * COLUMNS + lid % COLUMNS;
  let row = lid / COLUMNS;
  let at = min(column, params.D - 1u);
  var source = at;
  if (KEPT) { source = kept[at]; }
  let shift = z[source];
  var sum = 0f;
  for (var n = row; n < params.N; n += ROWS) { sum += z[n * params.ldz + source] - shift; }
  let mean = shift + column_sum(lid, sum) / f32(params.N);
  var squares = 0f;
  for (var n = row; n < params.N; n += ROWS) {
    let d = z[n * params.ldz + source] - mean;
    squares += d * d;
  }
  let variance = column_sum(lid, squares) / f32(params.N);
  let rstd = 1.0 / sqrt(variance + params.eps);
  if (column >= params.D) { return; }
  for (var n = row; n < params.N; n += ROWS) { a_out[n * params.D + at] = (z[n * params.ldz + source] - mean) * rstd; }
  if (row == 0u) { r_out[at] = select(rstd, 0.0, variance < 1e-8); }
}

// c_i = (1/N) Σ_n A_ni B_ni. ROWS threads per column; the first writes.
@compute @workgroup_size(THREADS)
fn diagonal(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) lid: u32) {
  let column = workgroup_index(wid, num) * COLUMNS + lid % COLUMNS;
  let row = lid / COLUMNS;
  let at = min(column, params.D - 1u);
  var sum = 0f;
  for (var n = row; n < params.N; n += ROWS) { sum += a[n * params.D + at] * b[n * params.D + at]; }
  let total = column_sum(lid, sum) / f32(params.N);
  if (column < params.D && row == 0u) { c_out[at] = total; }
}

// ---- Loss

// Partial sums of gram_A · gram_B. One workgroup per partial sum, over a range that does not depend on THREADS.
@compute @workgroup_size(THREADS)
fn gram_product(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                @builtin(local_invocation_index) lid: u32) {
  var sum = 0f;
  let chunk = (params.N * params.N + num.x - 1u) / num.x;
  let end = min((wid.x + 1u) * chunk, params.N * params.N);
  for (var i = wid.x * chunk + lid; i < end; i += THREADS) { sum += gram_a[i] * gram_b[i]; }
  tree_sum(lid, vec4f(sum, 0.0, 0.0, 0.0));
  if (lid == 0u) { partial_out[wid.x] = tree[0].x; }
}

// Partial sums of C_ij², i≠j, over a panel. One workgroup per partial sum, as in gram_product.
@compute @workgroup_size(THREADS)
fn panel_square(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                @builtin(local_invocation_index) lid: u32) {
  var sum = 0f;
  let chunk = (params.count + num.x - 1u) / num.x;
  let end = min((wid.x + 1u) * chunk, params.count);
  for (var i = wid.x * chunk + lid; i < end; i += THREADS) {
    let v = select(panel[i], 0.0, i / params.D + params.first == i % params.D);
    sum += v * v;
  }
  tree_sum(lid, vec4f(sum, 0.0, 0.0, 0.0));
  if (lid == 0u) { partial_out[wid.x] = tree[0].x; }
}

// C is replaced by G = dL/dC: 2 s lambda C_ij off the diagonal, 2 s (C_ii - 1) on it. One thread per element.
@compute @workgroup_size(THREADS)
fn panel_gradient(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.count) { return; }
  let on = i / params.D + params.first == i % params.D;
  panel[i] = 2.0 * params.scale * select(params.lambda * panel[i], panel[i] - 1.0, on);
}

// One workgroup: tree reduction of the partial sums and of the diagonal; thread 0 writes a row of metrics.
@compute @workgroup_size(THREADS)
fn measure(@builtin(local_invocation_index) lid: u32) {
  var sum = vec4f();
  for (var i = lid; i < params.count; i += THREADS) { sum.x += partial[i]; }
  for (var i = lid; i < params.D; i += THREADS) {
    let v = c[i];
    sum += vec4f(0.0, v * v, (1.0 - v) * (1.0 - v), v);
  }
  tree_sum(lid, sum);
  if (lid == 0u) {
    let off = tree[0].x * params.factor - params.subtract * tree[0].y;
    let loss = params.scale * (tree[0].z + params.lambda * off);
    metrics[params.row] = vec4f(loss, tree[0].z, off, tree[0].w / f32(params.D));
  }
}

// ---- Gradient

// gram_out (+)= weight · gram_A. One thread per element.
@compute @workgroup_size(THREADS)
fn combine(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.N * params.N) { return; }
  let v = params.weight * gram_a[i];
  if (params.accumulate == 1u) { gram_out[i] += v; } else { gram_out[i] = v; }
}

// T (+)= 2s B · ((1 - lambda) c - 1). ROWS threads per column; each writes its rows.
@compute @workgroup_size(THREADS)
fn diagonal_term(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                 @builtin(local_invocation_index) lid: u32) {
  let column = workgroup_index(wid, num) * COLUMNS + lid % COLUMNS;
  if (column >= params.D) { return; }
  let d = 2.0 * params.scale * ((1.0 - params.lambda) * c[column] - 1.0);
  for (var n = lid / COLUMNS; n < params.N; n += ROWS) {
    let i = n * params.D + column;
    let v = b[i] * d;
    if (params.accumulate == 1u) { t_out[i] += v; } else { t_out[i] = v; }
  }
}

// dz = r / N · (T - A · R). ROWS threads per column; each writes its rows.
@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let column = workgroup_index(wid, num) * COLUMNS + lid % COLUMNS;
  let row = lid / COLUMNS;
  let at = min(column, params.D - 1u);
  var sum = 0f;
  for (var n = row; n < params.N; n += ROWS) { sum += a[n * params.D + at] * t[n * params.D + at]; }
  let R = column_sum(lid, sum) / f32(params.N);
  if (column >= params.D) { return; }
  let scale = r[at] / f32(params.N);
  for (var n = row; n < params.N; n += ROWS) {
    let i = n * params.D + at;
    dz[i] = scale * (t[i] - a[i] * R);
  }
}

// dz *= dL. One thread per element.
@compute @workgroup_size(THREADS)
fn chain(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
         @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.count) { return; }
  dz[i] *= dloss[0];
}
