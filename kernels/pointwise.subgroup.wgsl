// Pointwise (1x1) convolution, NCHW, for devices with subgroups: the tiles of pointwise.wgsl, with the operand that
// all threads need alike loaded once a subgroup, a row a lane, and passed round by subgroupBroadcast.
// N batch, I input channels, O output channels, P pixels of one plane.
//
// forward4 and forward also compute backward_input: dx is dy times the transposed weight, so bind x = dy, y = dx and
// swap I with O and row with column. The *4 entry points read four pixels at once and need P % 4 == 0.
// All sums run in one fixed order; nothing is shared between workgroups.

enable subgroups;

// Rows of a tile: 16, or 8 where 16 would leave much of it empty.
const ROWS: u32 = 8;
// Lanes that hold rows of the shared operand: 8, or 4 where subgroups are that small.
const SHARE: u32 = 8;
// Whether forward takes four input channels a turn: SwiftShader gains half from it, lavapipe only compiles longer.
const UNROLL: bool = false;
const THREADS: u32 = 32;
// Threads of backward_weight; all of them share the same rows.
const COLUMNS: u32 = 8;

struct Params {
  N: u32, I: u32, O: u32, P: u32,
  row: u32, column: u32, // strides of the weight, or of what backward_weight writes: per output, per input channel
  splits: u32,           // backward_weight: parts of the sum over pixels
  steps: u32,            // backward_weight: groups of four pixels in a part
  accumulate: u32,       // backward_weight: 1 adds to what is there
  rows: u32,             // ROWS, where it must not be a constant
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // (N, I, P)
@group(0) @binding(2) var<storage, read> x4: array<vec4f>;         // (N, I, P / 4)
@group(0) @binding(3) var<storage, read> weight: array<f32>;       // (O, I), strides row and column
@group(0) @binding(4) var<storage, read_write> y: array<f32>;      // (N, O, P)
@group(0) @binding(5) var<storage, read_write> y4: array<vec4f>;   // (N, O, P / 4)
@group(0) @binding(6) var<storage, read> dy: array<f32>;           // (N, O, P)
@group(0) @binding(7) var<storage, read> dy4: array<vec4f>;        // (N, O, P / 4)
@group(0) @binding(8) var<storage, read_write> dweight: array<f32>; // (O, I), as the weight; or (splits, O, I)

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

fn weights(at: vec4u) -> vec4f {
  var held = vec4f(weight[at.x]);
  if (ROWS > SHARE) { held.y = weight[at.y]; }
  if (ROWS > 2u * SHARE) {
    held.z = weight[at.z];
    held.w = weight[at.w];
  }
  return held;
}

// One thread per ROWS output channels x 4 neighbouring pixels of one plane; a workgroup's threads share the channels.
@compute @workgroup_size(THREADS)
fn forward4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let plane = params.P / 4u;
  let total = params.N * plane;
  let rows = (params.O + ROWS - 1u) / ROWS;
  let group = wid.x + wid.y * num.x;
  let o = group % rows * ROWS;
  let id = group / rows * THREADS + li;
  let n = min(id, total - 1u) / plane;
  let p = min(id, total - 1u) % plane;

  var w = min(o + rows_of(lane), vec4u(params.O - 1u)) * params.row;
  var at = n * params.I * plane + p;
  var tile: Tile;
  var i = 0u;
  for (; UNROLL && i + 4u <= params.I; i += 4u) {
    let w1 = w + params.column;
    let w2 = w1 + params.column;
    let w3 = w2 + params.column;
    multiply(&tile, weights(w), x4[at]);
    multiply(&tile, weights(w1), x4[at + plane]);
    multiply(&tile, weights(w2), x4[at + 2u * plane]);
    multiply(&tile, weights(w3), x4[at + 3u * plane]);
    w = w3 + params.column;
    at += 4u * plane;
  }
  for (; i < params.I; i++) {
    multiply(&tile, weights(w), x4[at]);
    w += params.column;
    at += plane;
  }

  if (id >= total) { return; }
  for (var r = 0u; r < min(params.rows, params.O - o); r++) {
    y4[(n * params.O + o + r) * plane + p] = tile.c0;
    shift(&tile);
  }
}

// As forward4, for planes of any size: the four pixels are neighbours among the pixels of all images.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let total = params.N * params.P;
  let rows = (params.O + ROWS - 1u) / ROWS;
  let group = wid.x + wid.y * num.x;
  let o = group % rows * ROWS;
  let id = (group / rows * THREADS + li) * 4u;
  let pixel = min(id + vec4u(0u, 1u, 2u, 3u), vec4u(total - 1u));
  let n = pixel / params.P;
  let p = pixel % params.P;

  var w = min(o + rows_of(lane), vec4u(params.O - 1u)) * params.row;
  var at = n * params.I * params.P + p;
  var tile: Tile;
  var i = 0u;
  for (; UNROLL && i + 4u <= params.I; i += 4u) {
    let w1 = w + params.column;
    let w2 = w1 + params.column;
    let w3 = w2 + params.column;
    multiply(&tile, weights(w), pixels(at));
    multiply(&tile, weights(w1), pixels(at + params.P));
    multiply(&tile, weights(w2), pixels(at + 2u * params.P));
    multiply(&tile, weights(w3), pixels(at + 3u * params.P));
    w = w3 + params.column;
    at += 4u * params.P;
  }
  for (; i < params.I; i++) {
    multiply(&tile, weights(w), pixels(at));
    w += params.column;
    at += params.P;
  }

  var out = (n * params.O + o) * params.P + p;
  let count = select(0u, total - id, id < total);
  for (var r = 0u; r < min(params.rows, params.O - o); r++) {
    if (count > 0u) { y[out.x] = tile.c0.x; }
    if (count > 1u) { y[out.y] = tile.c0.y; }
    if (count > 2u) { y[out.z] = tile.c0.z; }
    if (count > 3u) { y[out.w] = tile.c0.w; }
    out += params.P;
    shift(&tile);
  }
}

fn pixels(at: vec4u) -> vec4f { return vec4f(x[at.x], x[at.y], x[at.z], x[at.w]); }

// Four pixels of each row that a lane holds.
fn gradients4(at: vec4u) -> mat4x4f {
  var held = mat4x4f();
  held[0] = dy4[at.x];
  if (ROWS > SHARE) { held[1] = dy4[at.y]; }
  if (ROWS > 2u * SHARE) {
    held[2] = dy4[at.z];
    held[3] = dy4[at.w];
  }
  return held;
}

// The weight's gradient, or parts of it that pointwise.wgsl adds up: one thread per ROWS output channels x 4 input
// channels x split; a workgroup's threads share the output channels. Each split sums its own range of the pixels in
// their order, four at a time.
@compute @workgroup_size(COLUMNS)
fn backward_weight4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                    @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let plane = params.P / 4u;
  let rows = (params.O + ROWS - 1u) / ROWS;
  let columns = (params.I + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let group = wid.x + wid.y * num.x;
  let o = group % rows * ROWS;
  let i = group / rows % columns * 4u * COLUMNS + li;
  let split = group / rows / columns;

  let total = params.N * plane;
  let begin = min(split * params.steps, total);
  let count = min(params.steps, total - begin);
  let outputs = min(o + rows_of(lane), vec4u(params.O - 1u)) * plane;
  let channels = min(i + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.I - 1u)) * plane;
  let n = begin / plane;
  var p = begin % plane;
  var dy_at = n * params.O * plane + p;
  var x_at = n * params.I * plane + p;
  var tile: Tile;
  for (var s = 0u; s < count; s++) {
    let held = transpose(gradients4(dy_at + outputs));
    let at = x_at + channels;
    let v = transpose(mat4x4f(x4[at.x], x4[at.y], x4[at.z], x4[at.w]));
    multiply(&tile, held[0], v[0]);
    multiply(&tile, held[1], v[1]);
    multiply(&tile, held[2], v[2]);
    multiply(&tile, held[3], v[3]);
    p++;
    let wrap = p == plane;
    p = select(p, 0u, wrap);
    dy_at += select(1u, 1u + (params.O - 1u) * plane, wrap);
    x_at += select(1u, 1u + (params.I - 1u) * plane, wrap);
  }
  store_tile(split, o, i, &tile);
}

// As backward_weight4, for planes of any size: a plane's last four pixels are filled up with zeros.
@compute @workgroup_size(COLUMNS)
fn backward_weight(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let plane = (params.P + 3u) / 4u;
  let rows = (params.O + ROWS - 1u) / ROWS;
  let columns = (params.I + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let group = wid.x + wid.y * num.x;
  let o = group % rows * ROWS;
  let i = group / rows % columns * 4u * COLUMNS + li;
  let split = group / rows / columns;

  let total = params.N * plane;
  let begin = min(split * params.steps, total);
  let count = min(params.steps, total - begin);
  let outputs = min(o + rows_of(lane), vec4u(params.O - 1u)) * params.P;
  let channels = min(i + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.I - 1u)) * params.P;
  var n = begin / plane;
  var p = begin % plane;
  var tile: Tile;
  for (var s = 0u; s < count; s++) {
    let pixel = 4u * p + vec4u(0u, 1u, 2u, 3u);
    let inside = pixel < vec4u(params.P);
    let at = min(pixel, vec4u(params.P - 1u));
    let xs = channels + n * params.I * params.P;
    let held = transpose(gradients(at + n * params.O * params.P, outputs, inside));
    let v = transpose(mat4x4f(pixels(at + xs.x), pixels(at + xs.y), pixels(at + xs.z), pixels(at + xs.w)));
    multiply(&tile, held[0], v[0]);
    multiply(&tile, held[1], v[1]);
    multiply(&tile, held[2], v[2]);
    multiply(&tile, held[3], v[3]);
    p++;
    let wrap = p == plane;
    p = select(p, 0u, wrap);
    n += select(0u, 1u, wrap);
  }
  store_tile(split, o, i, &tile);
}

// Four pixels of each row that a lane holds; nothing for those beyond the plane.
fn gradients(at: vec4u, rows: vec4u, inside: vec4<bool>) -> mat4x4f {
  var held = mat4x4f();
  held[0] = select(vec4f(), gradient(at + rows.x), inside);
  if (ROWS > SHARE) { held[1] = select(vec4f(), gradient(at + rows.y), inside); }
  if (ROWS > 2u * SHARE) {
    held[2] = select(vec4f(), gradient(at + rows.z), inside);
    held[3] = select(vec4f(), gradient(at + rows.w), inside);
  }
  return held;
}

fn gradient(at: vec4u) -> vec4f { return vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]); }

fn store_tile(split: u32, o: u32, i: u32, tile: ptr<function, Tile>) {
  if (split >= params.splits) { return; }
  for (var r = 0u; r < min(params.rows, params.O - o); r++) {
    let at = split * params.O * params.I + (o + r) * params.row;
    store_weight(at, i, (*tile).c0.x);
    store_weight(at, i + COLUMNS, (*tile).c0.y);
    store_weight(at, i + 2u * COLUMNS, (*tile).c0.z);
    store_weight(at, i + 3u * COLUMNS, (*tile).c0.w);
    shift(tile);
  }
}

fn store_weight(row: u32, i: u32, v: f32) {
  if (i >= params.I) { return; }
  let at = row + i * params.column;
  if (params.accumulate == 1u) { dweight[at] += v; } else { dweight[at] = v; }
}
