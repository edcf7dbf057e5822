// Matrix product for devices with subgroups: the tiles of matmul.wgsl, with the rows of op(A) that all threads need
// alike loaded once a subgroup, a row a lane, and passed round by subgroupBroadcast.
// C = scale op(A) op(B), or C += the same; op(A) (M, K), op(B) (K, N), C (M, N).
//
// along_n reads four neighbours of a row of op(B) at once (bn = 1, bk % 4 == 0), along_k four neighbours of a column of
// op(B) and of a row of op(A) (ak = bk = 1, am % 4 == bn % 4 == 0); scalar takes any strides. What they read beyond the
// last column or row is never stored, or multiplied by nothing. Each entry point: one thread per 8 rows x 4 columns x
// split; a workgroup's threads share the rows. Nothing races, and every sum runs in one fixed order.

enable subgroups;

// Lanes that hold a row of op(A) each: 8, or 4 where subgroups are that small (each lane holds two rows).
const SHARE: u32 = 8;
// Whether along_n and scalar take four k a turn: SwiftShader gains half from it, lavapipe loses, and compiles longer.
const UNROLL: bool = false;
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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;       // op(A) (M, K), strides am and ak
@group(0) @binding(2) var<storage, read> a4: array<vec4f>;    // the same, by fours along k
@group(0) @binding(3) var<storage, read> b: array<f32>;       // op(B) (K, N), strides bk and bn
@group(0) @binding(4) var<storage, read> b4: array<vec4f>;    // the same, by fours along n or k
@group(0) @binding(5) var<storage, read_write> c: array<f32>; // (M, N), row stride ldc; or (splits, M, N)

// Eight rows of four columns. Named members, not an array: SwiftShader runs arrays several times slower.
struct Tile { c0: vec4f, c1: vec4f, c2: vec4f, c3: vec4f, c4: vec4f, c5: vec4f, c6: vec4f, c7: vec4f }

// Adds the product of a column of eight and a row of four. Lane r of lo holds row r; with SHARE 4, lane r of hi holds
// row 4 + r.
fn multiply(tile: ptr<function, Tile>, lo: f32, hi: f32, v: vec4f) {
  tile.c0 = fma(vec4f(subgroupBroadcast(lo, 0u)), v, tile.c0);
  tile.c1 = fma(vec4f(subgroupBroadcast(lo, 1u)), v, tile.c1);
  tile.c2 = fma(vec4f(subgroupBroadcast(lo, 2u)), v, tile.c2);
  tile.c3 = fma(vec4f(subgroupBroadcast(lo, 3u)), v, tile.c3);
  tile.c4 = fma(vec4f(subgroupBroadcast(hi, 4u % SHARE)), v, tile.c4);
  tile.c5 = fma(vec4f(subgroupBroadcast(hi, 5u % SHARE)), v, tile.c5);
  tile.c6 = fma(vec4f(subgroupBroadcast(hi, 6u % SHARE)), v, tile.c6);
  tile.c7 = fma(vec4f(subgroupBroadcast(hi, 7u % SHARE)), v, tile.c7);
}

// Where a workgroup's tile lies, and its part of the sum: k from begin up to end.
struct Place { m: u32, block: u32, split: u32, begin: u32, end: u32 }

fn place(group: u32) -> Place {
  let rows = (params.M + 7u) / 8u;
  let columns = (params.N + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let split = group / rows / columns;
  let begin = min(split * params.steps, params.K);
  return Place(group % rows * 8u, group / rows % columns * 4u * COLUMNS, split, begin,
               begin + min(params.steps, params.K - begin));
}

fn column_of_a(at: u32) -> vec4f {
  let s = params.ak;
  return vec4f(a[at], a[at + s], a[at + 2u * s], a[at + 3u * s]);
}

@compute @workgroup_size(COLUMNS)
fn along_n(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(wid.x + wid.y * num.x);
  let n = tile_at.block + 4u * li;
  let lo = min(tile_at.m + lane % SHARE, params.M - 1u) * params.am;
  let hi = min(tile_at.m + lane % SHARE + 4u, params.M - 1u) * params.am;
  let ldb = params.bk / 4u;
  var at = min(n, params.N - 1u) / 4u + tile_at.begin * ldb;
  var tile: Tile;
  var k = tile_at.begin;
  for (; UNROLL && k + 4u <= tile_at.end; k += 4u) {
    let r = column_of_a(lo + k * params.ak);
    let s = select(column_of_a(hi + k * params.ak), r, SHARE == 8u);
    multiply(&tile, r.x, s.x, b4[at]);
    multiply(&tile, r.y, s.y, b4[at + ldb]);
    multiply(&tile, r.z, s.z, b4[at + 2u * ldb]);
    multiply(&tile, r.w, s.w, b4[at + 3u * ldb]);
    at += 4u * ldb;
  }
  for (; k < tile_at.end; k++) {
    let r = a[lo + k * params.ak];
    let s = select(a[hi + k * params.ak], r, SHARE == 8u);
    multiply(&tile, r, s, b4[at]);
    at += ldb;
  }
  store_tile(tile_at.split, tile_at.m, n, 1u, &tile);
}

@compute @workgroup_size(COLUMNS)
fn along_k(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(wid.x + wid.y * num.x);
  let n = tile_at.block + li;
  let lo = min(tile_at.m + lane % SHARE, params.M - 1u) * params.am / 4u;
  let hi = min(tile_at.m + lane % SHARE + 4u, params.M - 1u) * params.am / 4u;
  let columns = min(n + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.N - 1u)) * params.bn / 4u;
  var tile: Tile;
  for (var k = tile_at.begin; k < tile_at.end; k += 4u) {
    // beyond the end lies whatever the row goes on with
    let inside = k + vec4u(0u, 1u, 2u, 3u) < vec4u(tile_at.end);
    let r = select(vec4f(), a4[lo + k / 4u], inside);
    let s = select(select(vec4f(), a4[hi + k / 4u], inside), r, SHARE == 8u);
    let at = columns + k / 4u;
    let none = vec4f();
    let v = transpose(mat4x4f(select(none, b4[at.x], inside), select(none, b4[at.y], inside),
                              select(none, b4[at.z], inside), select(none, b4[at.w], inside)));
    multiply(&tile, r.x, s.x, v[0]);
    multiply(&tile, r.y, s.y, v[1]);
    multiply(&tile, r.z, s.z, v[2]);
    multiply(&tile, r.w, s.w, v[3]);
  }
  store_tile(tile_at.split, tile_at.m, n, COLUMNS, &tile);
}

fn row_of_b(at: vec4u) -> vec4f { return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]); }

@compute @workgroup_size(COLUMNS)
fn scalar(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile_at = place(wid.x + wid.y * num.x);
  let n = tile_at.block + li;
  let lo = min(tile_at.m + lane % SHARE, params.M - 1u) * params.am;
  let hi = min(tile_at.m + lane % SHARE + 4u, params.M - 1u) * params.am;
  let ldb = params.bk;
  var at = min(n + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.N - 1u)) * params.bn + tile_at.begin * ldb;
  var tile: Tile;
  var k = tile_at.begin;
  for (; UNROLL && k + 4u <= tile_at.end; k += 4u) {
    let r = column_of_a(lo + k * params.ak);
    let s = select(column_of_a(hi + k * params.ak), r, SHARE == 8u);
    multiply(&tile, r.x, s.x, row_of_b(at));
    multiply(&tile, r.y, s.y, row_of_b(at + ldb));
    multiply(&tile, r.z, s.z, row_of_b(at + 2u * ldb));
    multiply(&tile, r.w, s.w, row_of_b(at + 3u * ldb));
    at += 4u * ldb;
  }
  for (; k < tile_at.end; k++) {
    let r = a[lo + k * params.ak];
    let s = select(a[hi + k * params.ak], r, SHARE == 8u);
    multiply(&tile, r, s, row_of_b(at));
    at += ldb;
  }
  store_tile(tile_at.split, tile_at.m, n, COLUMNS, &tile);
}

fn store_tile(split: u32, m: u32, n: u32, apart: u32, tile: ptr<function, Tile>) {
  store_row(split, m, n, apart, tile.c0);
  store_row(split, m + 1u, n, apart, tile.c1);
  store_row(split, m + 2u, n, apart, tile.c2);
  store_row(split, m + 3u, n, apart, tile.c3);
  store_row(split, m + 4u, n, apart, tile.c4);
  store_row(split, m + 5u, n, apart, tile.c5);
  store_row(split, m + 6u, n, apart, tile.c6);
  store_row(split, m + 7u, n, apart, tile.c7);
}

fn store_row(split: u32, m: u32, n: u32, apart: u32, v: vec4f) {
  if (m >= params.M || split >= params.splits) { return; }
  let at = split * params.M * params.N + m * params.ldc;
  store(at, n, v.x);
  store(at, n + apart, v.y);
  store(at, n + 2u * apart, v.z);
  store(at, n + 3u * apart, v.w);
}

fn store(row: u32, n: u32, v: f32) {
  if (n >= params.N) { return; }
  if (params.accumulate == 1u) { c[row + n] += params.scale * v; } else { c[row + n] = params.scale * v; }
}
