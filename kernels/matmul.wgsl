// Matrix product C = scale op(A) op(B), or C += scale op(A) op(B); op is the identity or the transpose.
// op(A) is (M, K), op(B) is (K, N), C is (M, N), each with strides and an offset: a transpose or a slice of columns is the
// same memory with other strides.
//
// forward is the reference, one thread per element of C. forward_register gives a thread a register tile of 8 x 4;
// forward_shared, for GPUs, a workgroup a tile of SIDE x SIDE in workgroup memory; matmul.subgroup.wgsl has the variants
// for subgroups. Split reduction: where M N is too small to occupy the device, k is cut into `splits` parts, whose
// partial results forward_sum adds up in order.
// Threads: each writes its own elements, so nothing races; every sum has one fixed order.

const THREADS: u32 = 64;
// Threads of forward_register.
const COLUMNS: u32 = 16;
// Side of forward_shared's tile, and its threads, (SIDE / 4)²: 64 and 256, or 32 and 64 for small matrices.
const SIDE: u32 = 64;
const SQUARES: u32 = 256;

// <shared slice_matrices>
alias Strided = f32;              // element of a slice: strides or lists of kept channels say where it lies
alias Kept = u32;                 // number of a kept channel in the host
const KEPT_K: bool = false;       // true where kept_k is bound; the others likewise
const KEPT_N: bool = false;
const KEPT_ROWS: bool = false;
const KEPT_COLUMNS: bool = false;
// </shared>

struct Params {
  M: u32, N: u32, K: u32,
  am: u32, ak: u32, // strides of op(A): of a row, of a column
  bk: u32, bn: u32, // strides of op(B)
  ldc: u32,         // row stride of C
  a0: u32, b0: u32, c0: u32, // offsets of the first elements: bindings are aligned to 256 bytes
  splits: u32,      // parts of the sum over k
  steps: u32,       // length of a part, a multiple of 4
  accumulate: u32,  // 1: C +=
  scale: f32,
  rows: u32,        // forward_register: 8, its tile's rows, as a uniform so that the loop over them is not unrolled
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Strided>;     // op(A) (M, K), strides am and ak
@group(0) @binding(2) var<storage, read> b: array<Strided>;     // op(B) (K, N), strides bk and bn
@group(0) @binding(3) var<storage, read_write> c: array<Strided>; // (M, N), row stride ldc; or (splits, M, N)
@group(0) @binding(4) var<storage, read> partials: array<f32>;  // (splits, M, N)
@group(0) @binding(5) var<storage, read> kept_k: array<Kept>;       // (K), optional: the kept rows of op(B)
@group(0) @binding(6) var<storage, read> kept_n: array<Kept>;       // (N), optional: its kept columns
@group(0) @binding(7) var<storage, read> kept_rows: array<Kept>;    // (M), optional: the kept rows of C
@group(0) @binding(8) var<storage, read> kept_columns: array<Kept>; // (N), optional: its kept columns

// <shared matrix_offsets>
// Offsets of rows and columns of op(B), and of rows and columns of C.
fn k_at(k: u32) -> u32 {
  if (KEPT_K) { return kept_k[k] * params.bk; }
  return k * params.bk;
}
fn n_at(n: vec4u) -> vec4u {
  if (KEPT_N) { return params.b0 + vec4u(kept_n[n.x], kept_n[n.y], kept_n[n.z], kept_n[n.w]) * params.bn; }
  return params.b0 + n * params.bn;
}
fn row_at(m: u32) -> u32 {
  if (KEPT_ROWS) { return params.c0 + kept_rows[m] * params.ldc; }
  return params.c0 + m * params.ldc;
}
fn column_at(n: u32) -> u32 {
  if (KEPT_COLUMNS) { return kept_columns[n]; }
  return n;
}
// </shared>

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// <shared workgroup_index>
// Linear index of a workgroup in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn workgroup_index(wid: vec3u, num: vec3u) -> u32 { return wid.x + wid.y * num.x; }
// </shared>

// ---- Reference

fn store(split: u32, m: u32, n: u32, v: f32) {
  if (m >= params.M || n >= params.N || split >= params.splits) { return; }
  let at = split * params.M * params.N + row_at(m) + column_at(n);
  if (params.accumulate == 1u) { c[at] += params.scale * v; } else { c[at] = params.scale * v; }
}

// One thread per element of C.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let id = thread_index(wid, num, lid);
  let m = id / params.N;
  let n = id % params.N;
  if (m >= params.M) { return; }
  let column = n_at(vec4u(n)).x;
  var sum = 0f;
  for (var k = 0u; k < params.K; k++) {
    sum = fma(a[params.a0 + m * params.am + k * params.ak], b[column + k_at(k)], sum);
  }
  store(0u, m, n, sum);
}

// Second pass of a split reduction, one thread per element of C: adds up the partial results in the order of the splits.
@compute @workgroup_size(THREADS)
fn forward_sum(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
               @builtin(local_invocation_index) lid: u32) {
  let id = thread_index(wid, num, lid);
  let m = id / params.N;
  if (m >= params.M) { return; }
  var sum = 0f;
  for (var split = 0u; split < params.splits; split++) { sum += partials[split * params.M * params.N + id]; }
  store(0u, m, id % params.N, sum);
}

// ---- Register tile

// <shared register_tile>
// A thread's tile of eight rows and four columns. Named members, not an array: SwiftShader runs arrays several times slower.
struct Tile { c0: vec4f, c1: vec4f, c2: vec4f, c3: vec4f, c4: vec4f, c5: vec4f, c6: vec4f, c7: vec4f }

// Adds the outer product of a column of eight (lo, hi) and a row of four.
fn multiply(tile: ptr<function, Tile>, lo: vec4f, hi: vec4f, v: vec4f) {
  (*tile).c0 = fma(vec4f(lo.x), v, (*tile).c0);
  (*tile).c1 = fma(vec4f(lo.y), v, (*tile).c1);
  (*tile).c2 = fma(vec4f(lo.z), v, (*tile).c2);
  (*tile).c3 = fma(vec4f(lo.w), v, (*tile).c3);
  (*tile).c4 = fma(vec4f(hi.x), v, (*tile).c4);
  (*tile).c5 = fma(vec4f(hi.y), v, (*tile).c5);
  (*tile).c6 = fma(vec4f(hi.z), v, (*tile).c6);
  (*tile).c7 = fma(vec4f(hi.w), v, (*tile).c7);
}

// Moves the next row into c0. Rows are stored in a loop whose bound is a uniform, so that it is not unrolled: eight
// separate stores would take lavapipe long to compile.
fn shift(tile: ptr<function, Tile>) {
  (*tile).c0 = (*tile).c1;
  (*tile).c1 = (*tile).c2;
  (*tile).c2 = (*tile).c3;
  (*tile).c3 = (*tile).c4;
  (*tile).c4 = (*tile).c5;
  (*tile).c5 = (*tile).c6;
  (*tile).c6 = (*tile).c7;
}
// </shared>

// <shared gather_operands>
// Elements at four offsets of op(A) and of op(B).
fn gather_a(at: vec4u) -> vec4f { return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]); }
fn gather_b(at: vec4u) -> vec4f { return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]); }
// </shared>

fn store_row(split: u32, m: u32, n: u32, apart: u32, v: vec4f) {
  store(split, m, n, v.x);
  store(split, m, n + apart, v.y);
  store(split, m, n + 2u * apart, v.z);
  store(split, m, n + 3u * apart, v.w);
}

// One thread per 8 rows x 4 columns, COLUMNS apart, x split.
@compute @workgroup_size(COLUMNS)
fn forward_register(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                    @builtin(local_invocation_index) lid: u32) {
  let rows = (params.M + 7u) / 8u;
  let columns = (params.N + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let group = workgroup_index(wid, num);
  let m = group % rows * 8u;
  let n = group / rows % columns * 4u * COLUMNS + lid;
  let split = group / rows / columns;

  let begin = min(split * params.steps, params.K);
  let end = begin + min(params.steps, params.K - begin);
  let first_a = params.a0 + begin * params.ak;
  var lo = min(m + vec4u(0u, 1u, 2u, 3u), vec4u(params.M - 1u)) * params.am + first_a;
  var hi = min(m + vec4u(4u, 5u, 6u, 7u), vec4u(params.M - 1u)) * params.am + first_a;
  let at = n_at(min(n + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.N - 1u)));
  var tile: Tile;
  for (var k = begin; k < end; k++) {
    multiply(&tile, gather_a(lo), gather_a(hi), gather_b(at + k_at(k)));
    lo += params.ak;
    hi += params.ak;
  }

  for (var r = 0u; r < min(params.rows, params.M - m); r++) {
    store_row(split, m + r, n, COLUMNS, tile.c0);
    shift(&tile);
  }
}

// ---- Shared-memory tile

// Operands of one step of a tile: 16 columns of SIDE rows, and 16 rows of SIDE columns, in vectors of four.
var<workgroup> left: array<vec4f, SIDE * 4u>;
var<workgroup> right: array<vec4f, SIDE * 4u>;

// One workgroup per SIDE x SIDE elements of C x split; one thread per 4 x 4 of them. Neighboring threads load along
// whichever dimension of an operand is contiguous.
@compute @workgroup_size(SQUARES)
fn forward_shared(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let rows = (params.M + SIDE - 1u) / SIDE;
  let columns = (params.N + SIDE - 1u) / SIDE;
  let group = workgroup_index(wid, num);
  let m = group % rows * SIDE;
  let n = group / rows % columns * SIDE;
  let split = group / rows / columns;

  let begin = min(split * params.steps, params.K);
  let end = begin + min(params.steps, params.K - begin);
  let quarter = SIDE / 4u;
  let fast = lid % quarter;
  let slow = lid / quarter;
  let four = vec4u(0u, 1u, 2u, 3u);

  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  for (var k = begin; k < end; k += 16u) {
    for (var e = lid; e < 16u * quarter; e += SQUARES) {
      let k_of_a = select(e / quarter, e % 16u, params.ak == 1u);
      let row = select(e % quarter, e / 16u, params.ak == 1u);
      let a_at = min(m + row * 4u + four, vec4u(params.M - 1u)) * params.am;
      let ka = params.a0 + min(k + k_of_a, params.K - 1u) * params.ak;
      left[k_of_a * quarter + row] = select(vec4f(), gather_a(a_at + ka), k + k_of_a < end);
      let k_of_b = select(e / quarter, e % 16u, params.bk == 1u);
      let column = select(e % quarter, e / 16u, params.bk == 1u);
      let b_at = n_at(min(n + column * 4u + four, vec4u(params.N - 1u)));
      let kb = k_at(min(k + k_of_b, params.K - 1u));
      right[k_of_b * quarter + column] = select(vec4f(), gather_b(b_at + kb), k + k_of_b < end);
    }
    workgroupBarrier();
    for (var j = 0u; j < 16u; j++) {
      let r = left[j * quarter + slow];
      let v = right[j * quarter + fast];
      c0 = fma(vec4f(r.x), v, c0);
      c1 = fma(vec4f(r.y), v, c1);
      c2 = fma(vec4f(r.z), v, c2);
      c3 = fma(vec4f(r.w), v, c3);
    }
    workgroupBarrier();
  }

  store_row(split, m + slow * 4u, n + fast * 4u, 1u, c0);
  store_row(split, m + slow * 4u + 1u, n + fast * 4u, 1u, c1);
  store_row(split, m + slow * 4u + 2u, n + fast * 4u, 1u, c2);
  store_row(split, m + slow * 4u + 3u, n + fast * 4u, 1u, c3);
}
