// Matrix product for devices with subgroups: C = scale op(A) op(B), or C += the same; op(A) (M, K), op(B) (K, N), C (M, N).
// Reference: forward of matmul.wgsl, where splits are explained.
//
// Register tiles as in matmul.wgsl, with the rows of op(A) that all threads need loaded once per subgroup, a row per lane,
// and passed on by subgroupBroadcast. Columns beyond the last are computed and not stored; beyond the last k, elements
// count as 0. Threads: each writes its own elements, so nothing races; every sum has one fixed order.

enable subgroups;

// Rows of a tile: 16, or 8 where 16 would leave much of it empty.
const ROWS: u32 = 8;
// Lanes that hold rows of op(A): 8, or 4 where subgroups are that small.
const SHARE: u32 = 8;
// Threads of a workgroup.
const COLUMNS: u32 = 8;

// <shared slice_matrices>
alias Strided = f32;              // element of a slice: strides or lists of kept channels say where it lies
alias Kept = u32;                 // number of a kept channel in the host
const KEPT_K: bool = false;       // true where kept_k is bound; the others likewise
const KEPT_N: bool = false;
const KEPT_ROWS: bool = false;
const KEPT_COLUMNS: bool = false;
// </shared>
alias Strided4 = vec4f;

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
  rows: u32,        // ROWS as a uniform, so that the loop over them is not unrolled
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Strided>;   // op(A) (M, K), strides am and ak
@group(0) @binding(2) var<storage, read> a4: array<Strided4>; // a in vectors of four along k
@group(0) @binding(3) var<storage, read> b: array<Strided>;   // op(B) (K, N), strides bk and bn
@group(0) @binding(4) var<storage, read> b4: array<Strided4>; // b in vectors of four along n or k
@group(0) @binding(5) var<storage, read_write> c: array<Strided>; // (M, N), row stride ldc; or (splits, M, N)
@group(0) @binding(6) var<storage, read> kept_k: array<Kept>;       // (K), optional: the kept rows of op(B)
@group(0) @binding(7) var<storage, read> kept_n: array<Kept>;       // (N), optional: its kept columns
@group(0) @binding(8) var<storage, read> kept_rows: array<Kept>;    // (M), optional: the kept rows of C
@group(0) @binding(9) var<storage, read> kept_columns: array<Kept>; // (N), optional: its kept columns

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

// <shared workgroup_index>
// Linear index of a workgroup in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn workgroup_index(wid: vec3u, num: vec3u) -> u32 { return wid.x + wid.y * num.x; }
// </shared>

// <shared gather_operands>
// Elements at four offsets of op(A) and of op(B).
fn gather_a(at: vec4u) -> vec4f { return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]); }
fn gather_b(at: vec4u) -> vec4f { return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]); }
// </shared>

// ---- Register tile

// <shared subgroup_tile>
// A thread's tile: ROWS rows of two vectors of four columns. Where ROWS is 8, r8 to r15 are unused and compiled away.
// Named members, not arrays: SwiftShader runs arrays several times slower.
struct Row { left: vec4f, right: vec4f }

struct Tile {
  r0: Row, r1: Row, r2: Row, r3: Row, r4: Row, r5: Row, r6: Row, r7: Row,
  r8: Row, r9: Row, r10: Row, r11: Row, r12: Row, r13: Row, r14: Row, r15: Row,
}

// Operands of two steps of the reduction: left and right columns u0 and v0 of the first, u1 and v1 of the second.
struct Two { u0: vec4f, v0: vec4f, u1: vec4f, v1: vec4f }

fn add2(row: Row, w: vec2f, by: Two) -> Row {
  return Row(fma(vec4f(w.y), by.u1, fma(vec4f(w.x), by.u0, row.left)),
             fma(vec4f(w.y), by.v1, fma(vec4f(w.x), by.v0, row.right)));
}

// Adds two outer products, each of a column of ROWS and a row of eight. Row r is held[r / SHARE] of lane r % SHARE and
// reaches all lanes by subgroupBroadcast. Two steps at once load and store the tile's sums half as often.
fn multiply2(tile: ptr<function, Tile>, held: mat4x2f, by: Two) {
  (*tile).r0 = add2((*tile).r0, subgroupBroadcast(held[0u / SHARE], 0u % SHARE), by);
  (*tile).r1 = add2((*tile).r1, subgroupBroadcast(held[1u / SHARE], 1u % SHARE), by);
  (*tile).r2 = add2((*tile).r2, subgroupBroadcast(held[2u / SHARE], 2u % SHARE), by);
  (*tile).r3 = add2((*tile).r3, subgroupBroadcast(held[3u / SHARE], 3u % SHARE), by);
  (*tile).r4 = add2((*tile).r4, subgroupBroadcast(held[4u / SHARE], 4u % SHARE), by);
  (*tile).r5 = add2((*tile).r5, subgroupBroadcast(held[5u / SHARE], 5u % SHARE), by);
  (*tile).r6 = add2((*tile).r6, subgroupBroadcast(held[6u / SHARE], 6u % SHARE), by);
  (*tile).r7 = add2((*tile).r7, subgroupBroadcast(held[7u / SHARE], 7u % SHARE), by);
  if (ROWS == 16u) {
    (*tile).r8 = add2((*tile).r8, subgroupBroadcast(held[8u / SHARE], 8u % SHARE), by);
    (*tile).r9 = add2((*tile).r9, subgroupBroadcast(held[9u / SHARE], 9u % SHARE), by);
    (*tile).r10 = add2((*tile).r10, subgroupBroadcast(held[10u / SHARE], 10u % SHARE), by);
    (*tile).r11 = add2((*tile).r11, subgroupBroadcast(held[11u / SHARE], 11u % SHARE), by);
    (*tile).r12 = add2((*tile).r12, subgroupBroadcast(held[12u / SHARE], 12u % SHARE), by);
    (*tile).r13 = add2((*tile).r13, subgroupBroadcast(held[13u / SHARE], 13u % SHARE), by);
    (*tile).r14 = add2((*tile).r14, subgroupBroadcast(held[14u / SHARE], 14u % SHARE), by);
    (*tile).r15 = add2((*tile).r15, subgroupBroadcast(held[15u / SHARE], 15u % SHARE), by);
  }
}

// Four steps of the reduction, of the left columns only.
fn add4(row: Row, w: vec4f, v: mat4x4f) -> Row {
  let half = fma(vec4f(w.y), v[1], fma(vec4f(w.x), v[0], row.left));
  return Row(fma(vec4f(w.w), v[3], fma(vec4f(w.z), v[2], half)), row.right);
}

// Adds four outer products, each of a column of ROWS and a row of four. Rows are held as in multiply2.
fn multiply4(tile: ptr<function, Tile>, held: mat4x4f, v: mat4x4f) {
  (*tile).r0 = add4((*tile).r0, subgroupBroadcast(held[0u / SHARE], 0u % SHARE), v);
  (*tile).r1 = add4((*tile).r1, subgroupBroadcast(held[1u / SHARE], 1u % SHARE), v);
  (*tile).r2 = add4((*tile).r2, subgroupBroadcast(held[2u / SHARE], 2u % SHARE), v);
  (*tile).r3 = add4((*tile).r3, subgroupBroadcast(held[3u / SHARE], 3u % SHARE), v);
  (*tile).r4 = add4((*tile).r4, subgroupBroadcast(held[4u / SHARE], 4u % SHARE), v);
  (*tile).r5 = add4((*tile).r5, subgroupBroadcast(held[5u / SHARE], 5u % SHARE), v);
  (*tile).r6 = add4((*tile).r6, subgroupBroadcast(held[6u / SHARE], 6u % SHARE), v);
  (*tile).r7 = add4((*tile).r7, subgroupBroadcast(held[7u / SHARE], 7u % SHARE), v);
  if (ROWS == 16u) {
    (*tile).r8 = add4((*tile).r8, subgroupBroadcast(held[8u / SHARE], 8u % SHARE), v);
    (*tile).r9 = add4((*tile).r9, subgroupBroadcast(held[9u / SHARE], 9u % SHARE), v);
    (*tile).r10 = add4((*tile).r10, subgroupBroadcast(held[10u / SHARE], 10u % SHARE), v);
    (*tile).r11 = add4((*tile).r11, subgroupBroadcast(held[11u / SHARE], 11u % SHARE), v);
    (*tile).r12 = add4((*tile).r12, subgroupBroadcast(held[12u / SHARE], 12u % SHARE), v);
    (*tile).r13 = add4((*tile).r13, subgroupBroadcast(held[13u / SHARE], 13u % SHARE), v);
    (*tile).r14 = add4((*tile).r14, subgroupBroadcast(held[14u / SHARE], 14u % SHARE), v);
    (*tile).r15 = add4((*tile).r15, subgroupBroadcast(held[15u / SHARE], 15u % SHARE), v);
  }
}

// Moves the next row into r0. Rows are stored in a loop whose bound is a uniform, so that it is not unrolled: separate
// stores of the rows would take lavapipe seconds to compile.
fn shift(tile: ptr<function, Tile>) {
  (*tile).r0 = (*tile).r1;
  (*tile).r1 = (*tile).r2;
  (*tile).r2 = (*tile).r3;
  (*tile).r3 = (*tile).r4;
  (*tile).r4 = (*tile).r5;
  (*tile).r5 = (*tile).r6;
  (*tile).r6 = (*tile).r7;
  if (ROWS == 16u) {
    (*tile).r7 = (*tile).r8;
    (*tile).r8 = (*tile).r9;
    (*tile).r9 = (*tile).r10;
    (*tile).r10 = (*tile).r11;
    (*tile).r11 = (*tile).r12;
    (*tile).r12 = (*tile).r13;
    (*tile).r13 = (*tile).r14;
    (*tile).r14 = (*tile).r15;
  }
}

// Rows that a lane holds: the second exists where ROWS > SHARE, the last two where ROWS > 2 SHARE.
fn rows_of(lane: u32) -> vec4u { return lane % SHARE + SHARE * vec4u(0u, 1u, 2u, 3u); }
// </shared>

// A workgroup's tile: its first row, its first column, its split, and the split's k from begin up to end.
struct Place { m: u32, block: u32, split: u32, begin: u32, end: u32 }

// Offsets of the rows of op(A) that a lane holds.
fn rows_at(at: Place, lane: u32) -> vec4u {
  return params.a0 + min(at.m + rows_of(lane), vec4u(params.M - 1u)) * params.am;
}

// Offsets of four columns of op(B), COLUMNS apart from n on.
fn columns_at(n: u32) -> vec4u {
  return n_at(min(n + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.N - 1u)));
}

// The workgroup's tile among tiles of `width` columns.
fn place(group: u32, width: u32) -> Place {
  let rows = (params.M + ROWS - 1u) / ROWS;
  let columns = (params.N + width - 1u) / width;
  let split = group / rows / columns;
  let begin = min(split * params.steps, params.K);
  return Place(group % rows * ROWS, group / rows % columns * width, split, begin,
               begin + min(params.steps, params.K - begin));
}

// The rows of op(A) that a lane holds, at k and k + next; next is 0 at the end, and the second then counts as 0.
fn two_of_a(at: vec4u, next: u32) -> mat4x2f {
  let more = f32(next);
  let beyond = at + next * params.ak;
  var held = mat4x2f();
  held[0] = vec2f(a[at.x], more * a[beyond.x]);
  if (ROWS > SHARE) { held[1] = vec2f(a[at.y], more * a[beyond.y]); }
  if (ROWS > 2u * SHARE) {
    held[2] = vec2f(a[at.z], more * a[beyond.z]);
    held[3] = vec2f(a[at.w], more * a[beyond.w]);
  }
  return held;
}

// ---- Entry points, by how op(B) is read

// One thread per ROWS rows x two groups of 4 neighboring columns x split; a workgroup's threads share the rows. Vector
// loads along n: bn = 1 and bk % 4 == b0 % 4 == 0.
@compute @workgroup_size(COLUMNS)
fn forward_along_n(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(workgroup_index(wid, num), 8u * COLUMNS);
  let n = tile_at.block + 4u * lid;
  let ldb = params.bk / 4u;
  var row = rows_at(tile_at, lane) + tile_at.begin * params.ak;
  var at = (params.b0 + min(n + vec2u(0u, 4u * COLUMNS), vec2u(params.N - 1u))) / 4u + tile_at.begin * ldb;
  var tile: Tile;
  for (var k = tile_at.begin; k < tile_at.end; k += 2u) {
    let next = select(0u, 1u, k + 1u < tile_at.end);
    let beyond = at + next * ldb;
    multiply2(&tile, two_of_a(row, next), Two(b4[at.x], b4[at.y], b4[beyond.x], b4[beyond.y]));
    row += 2u * params.ak;
    at += 2u * ldb;
  }
  store_tile(tile_at, n, 1u, true, &tile);
}

// One thread per ROWS rows x 8 columns, COLUMNS apart, x split; a workgroup's threads share the rows. Any strides.
@compute @workgroup_size(COLUMNS)
fn forward_any(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
               @builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(workgroup_index(wid, num), 8u * COLUMNS);
  let n = tile_at.block + lid;
  var row = rows_at(tile_at, lane) + tile_at.begin * params.ak;
  let left = columns_at(n);
  let right = columns_at(n + 4u * COLUMNS);
  var tile: Tile;
  for (var k = tile_at.begin; k < tile_at.end; k += 2u) {
    let next = select(0u, 1u, k + 1u < tile_at.end);
    let at = k_at(k);
    let beyond = k_at(k + next);
    multiply2(&tile, two_of_a(row, next),
              Two(gather_b(left + at), gather_b(right + at), gather_b(left + beyond), gather_b(right + beyond)));
    row += 2u * params.ak;
  }
  store_tile(tile_at, n, COLUMNS, true, &tile);
}

// One thread per ROWS rows x 4 columns, COLUMNS apart, x split; a workgroup's threads share the rows. Vector loads along k:
// ak = bk = 1, and am, a0, bn, b0 multiples of 4.
@compute @workgroup_size(COLUMNS)
fn forward_along_k4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                    @builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(workgroup_index(wid, num), 4u * COLUMNS);
  let n = tile_at.block + lid;
  let row = rows_at(tile_at, lane) / 4u;
  let columns = columns_at(n) / 4u;
  let none = vec4f();
  var tile: Tile;
  for (var k = tile_at.begin; k < tile_at.end; k += 4u) {
    // Beyond the end a row has elements of the next one, which count as 0.
    let inside = k + vec4u(0u, 1u, 2u, 3u) < vec4u(tile_at.end);
    let left = row + k / 4u;
    var held = mat4x4f();
    held[0] = select(none, a4[left.x], inside);
    if (ROWS > SHARE) { held[1] = select(none, a4[left.y], inside); }
    if (ROWS > 2u * SHARE) {
      held[2] = select(none, a4[left.z], inside);
      held[3] = select(none, a4[left.w], inside);
    }
    let at = columns + k / 4u;
    let v = transpose(mat4x4f(select(none, b4[at.x], inside), select(none, b4[at.y], inside),
                              select(none, b4[at.z], inside), select(none, b4[at.w], inside)));
    multiply4(&tile, held, v);
  }
  store_tile(tile_at, n, COLUMNS, false, &tile);
}

// forward_along_k4 for rows that start anywhere: ak = bk = 1. Four k per iteration, as one would load a cache line for each.
@compute @workgroup_size(COLUMNS)
fn forward_along_k(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(workgroup_index(wid, num), 4u * COLUMNS);
  let n = tile_at.block + lid;
  let row = rows_at(tile_at, lane);
  let columns = columns_at(n);
  let none = vec4f();
  var tile: Tile;
  for (var k = tile_at.begin; k < tile_at.end; k += 4u) {
    let each = k + vec4u(0u, 1u, 2u, 3u);
    let inside = each < vec4u(tile_at.end);
    let at = min(each, vec4u(params.K - 1u));
    let b_at = vec4u(k_at(at.x), k_at(at.y), k_at(at.z), k_at(at.w));
    var held = mat4x4f();
    held[0] = select(none, gather_a(row.x + at), inside);
    if (ROWS > SHARE) { held[1] = select(none, gather_a(row.y + at), inside); }
    if (ROWS > 2u * SHARE) {
      held[2] = select(none, gather_a(row.z + at), inside);
      held[3] = select(none, gather_a(row.w + at), inside);
    }
    let v = transpose(mat4x4f(select(none, gather_b(columns.x + b_at), inside),
                              select(none, gather_b(columns.y + b_at), inside),
                              select(none, gather_b(columns.z + b_at), inside),
                              select(none, gather_b(columns.w + b_at), inside)));
    multiply4(&tile, held, v);
  }
  store_tile(tile_at, n, COLUMNS, false, &tile);
}

// ---- Stores

fn store_tile(at: Place, n: u32, apart: u32, both: bool, tile: ptr<function, Tile>) {
  if (at.split >= params.splits) { return; }
  for (var r = 0u; r < min(params.rows, params.M - at.m); r++) {
    let row = at.split * params.M * params.N + row_at(at.m + r);
    store_row(row, n, apart, (*tile).r0.left);
    if (both) { store_row(row, n + 4u * COLUMNS, apart, (*tile).r0.right); }
    shift(tile);
  }
}

fn store_row(row: u32, n: u32, apart: u32, v: vec4f) {
  store(row, n, v.x);
  store(row, n + apart, v.y);
  store(row, n + 2u * apart, v.z);
  store(row, n + 3u * apart, v.w);
}

fn store(row: u32, n: u32, v: f32) {
  if (n >= params.N) { return; }
  let at = row + column_at(n);
  if (params.accumulate == 1u) { c[at] += params.scale * v; } else { c[at] = params.scale * v; }
}
