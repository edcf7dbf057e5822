// Matrix product for devices with subgroups: the tiles of matmul.wgsl, with the rows of op(A) that all threads need
// alike loaded once a subgroup, a row a lane, and passed round by subgroupBroadcast.
// C = scale op(A) op(B), or C += the same; op(A) (M, K), op(B) (K, N), C (M, N).
//
// What the entry points read beyond the last column is never stored; beyond the last k, it counts as 0. No two threads
// write the same element, and every sum runs in one fixed order.

enable subgroups;

// Rows of a tile: 16, or 8 where 16 would leave much of it empty.
const ROWS: u32 = 8;
// Lanes that hold rows of the shared operand: 8, or 4 where subgroups are that small.
const SHARE: u32 = 8;
// Whether along_n and scalar take four k a turn: SwiftShader gains half from it, lavapipe only compiles longer.
const UNROLL: bool = false;
// Threads of a workgroup.
const COLUMNS: u32 = 8;

struct Params {
  M: u32, N: u32, K: u32,
  am: u32, ak: u32, // strides of op(A): of a row, of a column
  bk: u32, bn: u32, // strides of op(B)
  ldc: u32,         // row stride of C
  splits: u32,      // parts of the sum over k
  steps: u32,       // its length in each part, a multiple of 4
  accumulate: u32,  // 1 adds to what is in C
  scale: f32,
  rows: u32,        // ROWS, where it must not be a constant
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;       // op(A) (M, K), strides am and ak
@group(0) @binding(2) var<storage, read> a4: array<vec4f>;    // the same, by fours along k
@group(0) @binding(3) var<storage, read> b: array<f32>;       // op(B) (K, N), strides bk and bn
@group(0) @binding(4) var<storage, read> b4: array<vec4f>;    // the same, by fours along n or k
@group(0) @binding(5) var<storage, read_write> c: array<f32>; // (M, N), row stride ldc; or (splits, M, N)

// ROWS rows of four columns; of the last eight, nothing is left where ROWS is 8. Named members, not an array:
// SwiftShader runs arrays several times slower.
struct Tile {
  c0: vec4f, c1: vec4f, c2: vec4f, c3: vec4f, c4: vec4f, c5: vec4f, c6: vec4f, c7: vec4f,
  c8: vec4f, c9: vec4f, c10: vec4f, c11: vec4f, c12: vec4f, c13: vec4f, c14: vec4f, c15: vec4f,
}

// Adds the product of a column of ROWS and a row of four. Row r is held[r / SHARE] of lane r % SHARE.
fn multiply(tile: ptr<function, Tile>, held: vec4f, v: vec4f) {
  (*tile).c0 = fma(vec4f(subgroupBroadcast(held[0u / SHARE], 0u % SHARE)), v, (*tile).c0);
  (*tile).c1 = fma(vec4f(subgroupBroadcast(held[1u / SHARE], 1u % SHARE)), v, (*tile).c1);
  (*tile).c2 = fma(vec4f(subgroupBroadcast(held[2u / SHARE], 2u % SHARE)), v, (*tile).c2);
  (*tile).c3 = fma(vec4f(subgroupBroadcast(held[3u / SHARE], 3u % SHARE)), v, (*tile).c3);
  (*tile).c4 = fma(vec4f(subgroupBroadcast(held[4u / SHARE], 4u % SHARE)), v, (*tile).c4);
  (*tile).c5 = fma(vec4f(subgroupBroadcast(held[5u / SHARE], 5u % SHARE)), v, (*tile).c5);
  (*tile).c6 = fma(vec4f(subgroupBroadcast(held[6u / SHARE], 6u % SHARE)), v, (*tile).c6);
  (*tile).c7 = fma(vec4f(subgroupBroadcast(held[7u / SHARE], 7u % SHARE)), v, (*tile).c7);
  if (ROWS == 16u) {
    (*tile).c8 = fma(vec4f(subgroupBroadcast(held[8u / SHARE], 8u % SHARE)), v, (*tile).c8);
    (*tile).c9 = fma(vec4f(subgroupBroadcast(held[9u / SHARE], 9u % SHARE)), v, (*tile).c9);
    (*tile).c10 = fma(vec4f(subgroupBroadcast(held[10u / SHARE], 10u % SHARE)), v, (*tile).c10);
    (*tile).c11 = fma(vec4f(subgroupBroadcast(held[11u / SHARE], 11u % SHARE)), v, (*tile).c11);
    (*tile).c12 = fma(vec4f(subgroupBroadcast(held[12u / SHARE], 12u % SHARE)), v, (*tile).c12);
    (*tile).c13 = fma(vec4f(subgroupBroadcast(held[13u / SHARE], 13u % SHARE)), v, (*tile).c13);
    (*tile).c14 = fma(vec4f(subgroupBroadcast(held[14u / SHARE], 14u % SHARE)), v, (*tile).c14);
    (*tile).c15 = fma(vec4f(subgroupBroadcast(held[15u / SHARE], 15u % SHARE)), v, (*tile).c15);
  }
}

// Brings the next row into c0. Rows are stored in a loop that no compiler can unroll: a store for each would take
// lavapipe seconds to compile.
fn shift(tile: ptr<function, Tile>) {
  (*tile).c0 = (*tile).c1;
  (*tile).c1 = (*tile).c2;
  (*tile).c2 = (*tile).c3;
  (*tile).c3 = (*tile).c4;
  (*tile).c4 = (*tile).c5;
  (*tile).c5 = (*tile).c6;
  (*tile).c6 = (*tile).c7;
  if (ROWS == 16u) {
    (*tile).c7 = (*tile).c8;
    (*tile).c8 = (*tile).c9;
    (*tile).c9 = (*tile).c10;
    (*tile).c10 = (*tile).c11;
    (*tile).c11 = (*tile).c12;
    (*tile).c12 = (*tile).c13;
    (*tile).c13 = (*tile).c14;
    (*tile).c14 = (*tile).c15;
  }
}

// The rows that a lane holds; the second needs ROWS > SHARE, the last two ROWS > 2 SHARE.
fn rows_of(lane: u32) -> vec4u { return lane % SHARE + SHARE * vec4u(0u, 1u, 2u, 3u); }

// Where a workgroup's tile lies, and its part of the sum: k from begin up to end.
struct Place { m: u32, block: u32, split: u32, begin: u32, end: u32 }

fn place(group: u32) -> Place {
  let rows = (params.M + ROWS - 1u) / ROWS;
  let columns = (params.N + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let split = group / rows / columns;
  let begin = min(split * params.steps, params.K);
  return Place(group % rows * ROWS, group / rows % columns * 4u * COLUMNS, split, begin,
               begin + min(params.steps, params.K - begin));
}

// The rows of op(A) that a lane holds, at one k.
fn column_of_a(at: vec4u) -> vec4f {
  var held = vec4f(a[at.x]);
  if (ROWS > SHARE) { held.y = a[at.y]; }
  if (ROWS > 2u * SHARE) {
    held.z = a[at.z];
    held.w = a[at.w];
  }
  return held;
}

// The same at four k, of which those beyond the end are nothing: the row goes on with what is not meant.
fn columns_of_a(at: vec4u, inside: vec4<bool>) -> mat4x4f {
  var held = mat4x4f();
  held[0] = select(vec4f(), a4[at.x], inside);
  if (ROWS > SHARE) { held[1] = select(vec4f(), a4[at.y], inside); }
  if (ROWS > 2u * SHARE) {
    held[2] = select(vec4f(), a4[at.z], inside);
    held[3] = select(vec4f(), a4[at.w], inside);
  }
  return transpose(held);
}

// One thread per ROWS rows x 4 neighbouring columns x split; a workgroup's threads share the rows. Reads four
// neighbours of a row of op(B) at once: bn = 1 and bk % 4 == 0.
@compute @workgroup_size(COLUMNS)
fn along_n(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(wid.x + wid.y * num.x);
  let n = tile_at.block + 4u * li;
  var left = min(tile_at.m + rows_of(lane), vec4u(params.M - 1u)) * params.am + tile_at.begin * params.ak;
  let ldb = params.bk / 4u;
  var at = min(n, params.N - 1u) / 4u + tile_at.begin * ldb;
  var tile: Tile;
  var k = tile_at.begin;
  for (; UNROLL && k + 4u <= tile_at.end; k += 4u) {
    multiply(&tile, column_of_a(left), b4[at]);
    multiply(&tile, column_of_a(left + params.ak), b4[at + ldb]);
    multiply(&tile, column_of_a(left + 2u * params.ak), b4[at + 2u * ldb]);
    multiply(&tile, column_of_a(left + 3u * params.ak), b4[at + 3u * ldb]);
    left += 4u * params.ak;
    at += 4u * ldb;
  }
  for (; k < tile_at.end; k++) {
    multiply(&tile, column_of_a(left), b4[at]);
    left += params.ak;
    at += ldb;
  }
  store_tile(tile_at.split, tile_at.m, n, 1u, &tile);
}

// One thread per ROWS rows x 4 columns (COLUMNS apart) x split; a workgroup's threads share the rows. Reads four
// neighbours along k at once: ak = bk = 1 and am % 4 == bn % 4 == 0.
@compute @workgroup_size(COLUMNS)
fn along_k(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(wid.x + wid.y * num.x);
  let n = tile_at.block + li;
  let left = min(tile_at.m + rows_of(lane), vec4u(params.M - 1u)) * params.am / 4u;
  let columns = min(n + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.N - 1u)) * params.bn / 4u;
  var tile: Tile;
  for (var k = tile_at.begin; k < tile_at.end; k += 4u) {
    let inside = k + vec4u(0u, 1u, 2u, 3u) < vec4u(tile_at.end);
    let held = columns_of_a(left + k / 4u, inside);
    let at = columns + k / 4u;
    let none = vec4f();
    let v = transpose(mat4x4f(select(none, b4[at.x], inside), select(none, b4[at.y], inside),
                              select(none, b4[at.z], inside), select(none, b4[at.w], inside)));
    multiply(&tile, held[0], v[0]);
    multiply(&tile, held[1], v[1]);
    multiply(&tile, held[2], v[2]);
    multiply(&tile, held[3], v[3]);
  }
  store_tile(tile_at.split, tile_at.m, n, COLUMNS, &tile);
}

fn row_of_b(at: vec4u) -> vec4f { return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]); }

// One thread per ROWS rows x 4 columns (COLUMNS apart) x split; a workgroup's threads share the rows. Any strides.
@compute @workgroup_size(COLUMNS)
fn scalar(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(wid.x + wid.y * num.x);
  let n = tile_at.block + li;
  var left = min(tile_at.m + rows_of(lane), vec4u(params.M - 1u)) * params.am + tile_at.begin * params.ak;
  let ldb = params.bk;
  var at = min(n + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.N - 1u)) * params.bn + tile_at.begin * ldb;
  var tile: Tile;
  var k = tile_at.begin;
  for (; UNROLL && k + 4u <= tile_at.end; k += 4u) {
    multiply(&tile, column_of_a(left), row_of_b(at));
    multiply(&tile, column_of_a(left + params.ak), row_of_b(at + ldb));
    multiply(&tile, column_of_a(left + 2u * params.ak), row_of_b(at + 2u * ldb));
    multiply(&tile, column_of_a(left + 3u * params.ak), row_of_b(at + 3u * ldb));
    left += 4u * params.ak;
    at += 4u * ldb;
  }
  for (; k < tile_at.end; k++) {
    multiply(&tile, column_of_a(left), row_of_b(at));
    left += params.ak;
    at += ldb;
  }
  store_tile(tile_at.split, tile_at.m, n, COLUMNS, &tile);
}

fn store_tile(split: u32, m: u32, n: u32, apart: u32, tile: ptr<function, Tile>) {
  if (split >= params.splits) { return; }
  for (var r = 0u; r < min(params.rows, params.M - m); r++) {
    let at = split * params.M * params.N + (m + r) * params.ldc;
    store(at, n, (*tile).c0.x);
    store(at, n + apart, (*tile).c0.y);
    store(at, n + 2u * apart, (*tile).c0.z);
    store(at, n + 3u * apart, (*tile).c0.w);
    shift(tile);
  }
}

fn store(row: u32, n: u32, v: f32) {
  if (n >= params.N) { return; }
  if (params.accumulate == 1u) { c[row + n] += params.scale * v; } else { c[row + n] = params.scale * v; }
}
