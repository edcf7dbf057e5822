// Pointwise (1x1) convolution, NCHW, for devices with subgroups: the tiles of pointwise.wgsl, with the operand that
// all threads need alike loaded once a subgroup, a row a lane, and passed round by subgroupBroadcast.
// N batch, I input channels, O output channels, P pixels of one plane.
//
// forward4 and forward also compute backward_input: dx is dy times the transposed weight, so bind x = dy, y = dx and
// swap I with O and row with column. The *4 entry points read four pixels at once and need P % 4 == 0.
// All sums run in one fixed order; nothing is shared between workgroups.

enable subgroups;

// Lanes that hold a row of the shared operand each: 8, or 4 where subgroups are that small (each lane holds two rows).
const SHARE: u32 = 8;
// Whether forward takes four input channels a turn: SwiftShader gains half from it, lavapipe loses, and compiles longer.
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

fn weight4(at: u32) -> vec4f {
  let s = params.column;
  return vec4f(weight[at], weight[at + s], weight[at + 2u * s], weight[at + 3u * s]);
}

// One thread per 8 output channels x 4 neighbouring pixels of one plane; a workgroup's threads share the channels.
@compute @workgroup_size(THREADS)
fn forward4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let plane = params.P / 4u;
  let total = params.N * plane;
  let rows = (params.O + 7u) / 8u;
  let group = wid.x + wid.y * num.x;
  let o = group % rows * 8u;
  let id = group / rows * THREADS + li;
  let n = min(id, total - 1u) / plane;
  let p = min(id, total - 1u) % plane;

  let lo = min(o + lane % SHARE, params.O - 1u) * params.row;
  let hi = min(o + lane % SHARE + 4u, params.O - 1u) * params.row;
  var at = n * params.I * plane + p;
  var tile: Tile;
  var i = 0u;
  for (; UNROLL && i + 4u <= params.I; i += 4u) {
    let a = weight4(lo + i * params.column);
    let b = select(weight4(hi + i * params.column), a, SHARE == 8u);
    multiply(&tile, a.x, b.x, x4[at]);
    multiply(&tile, a.y, b.y, x4[at + plane]);
    multiply(&tile, a.z, b.z, x4[at + 2u * plane]);
    multiply(&tile, a.w, b.w, x4[at + 3u * plane]);
    at += 4u * plane;
  }
  for (; i < params.I; i++) {
    let a = weight[lo + i * params.column];
    let b = select(weight[hi + i * params.column], a, SHARE == 8u);
    multiply(&tile, a, b, x4[at]);
    at += plane;
  }

  if (id >= total) { return; }
  store4(n, o, p, tile.c0);
  store4(n, o + 1u, p, tile.c1);
  store4(n, o + 2u, p, tile.c2);
  store4(n, o + 3u, p, tile.c3);
  store4(n, o + 4u, p, tile.c4);
  store4(n, o + 5u, p, tile.c5);
  store4(n, o + 6u, p, tile.c6);
  store4(n, o + 7u, p, tile.c7);
}

fn store4(n: u32, o: u32, p: u32, v: vec4f) {
  if (o < params.O) { y4[(n * params.O + o) * (params.P / 4u) + p] = v; }
}

// As forward4, for planes of any size: the four pixels are neighbours among the pixels of all images.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let total = params.N * params.P;
  let rows = (params.O + 7u) / 8u;
  let group = wid.x + wid.y * num.x;
  let o = group % rows * 8u;
  let id = (group / rows * THREADS + li) * 4u;
  let pixel = min(id + vec4u(0u, 1u, 2u, 3u), vec4u(total - 1u));
  let n = pixel / params.P;
  let p = pixel % params.P;

  let lo = min(o + lane % SHARE, params.O - 1u) * params.row;
  let hi = min(o + lane % SHARE + 4u, params.O - 1u) * params.row;
  var at = n * params.I * params.P + p;
  var tile: Tile;
  var i = 0u;
  for (; UNROLL && i + 4u <= params.I; i += 4u) {
    let a = weight4(lo + i * params.column);
    let b = select(weight4(hi + i * params.column), a, SHARE == 8u);
    multiply(&tile, a.x, b.x, pixels(at));
    multiply(&tile, a.y, b.y, pixels(at + params.P));
    multiply(&tile, a.z, b.z, pixels(at + 2u * params.P));
    multiply(&tile, a.w, b.w, pixels(at + 3u * params.P));
    at += 4u * params.P;
  }
  for (; i < params.I; i++) {
    let a = weight[lo + i * params.column];
    let b = select(weight[hi + i * params.column], a, SHARE == 8u);
    multiply(&tile, a, b, pixels(at));
    at += params.P;
  }

  let out = n * params.O * params.P + p;
  let count = select(0u, total - id, id < total);
  store(out, o, count, tile.c0);
  store(out, o + 1u, count, tile.c1);
  store(out, o + 2u, count, tile.c2);
  store(out, o + 3u, count, tile.c3);
  store(out, o + 4u, count, tile.c4);
  store(out, o + 5u, count, tile.c5);
  store(out, o + 6u, count, tile.c6);
  store(out, o + 7u, count, tile.c7);
}

fn pixels(at: vec4u) -> vec4f { return vec4f(x[at.x], x[at.y], x[at.z], x[at.w]); }

fn store(out: vec4u, o: u32, count: u32, v: vec4f) {
  if (o >= params.O) { return; }
  let at = out + o * params.P;
  if (count > 0u) { y[at.x] = v.x; }
  if (count > 1u) { y[at.y] = v.y; }
  if (count > 2u) { y[at.z] = v.z; }
  if (count > 3u) { y[at.w] = v.w; }
}

// The weight's gradient, or parts of it that pointwise.wgsl adds up: one thread per 8 output channels x 4 input
// channels x split; a workgroup's threads share the output channels. Each split sums its own range of the pixels in
// their order, four at a time.
@compute @workgroup_size(COLUMNS)
fn backward_weight4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                    @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let plane = params.P / 4u;
  let rows = (params.O + 7u) / 8u;
  let columns = (params.I + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let group = wid.x + wid.y * num.x;
  let o = group % rows * 8u;
  let i = group / rows % columns * 4u * COLUMNS + li;
  let split = group / rows / columns;

  let total = params.N * plane;
  let begin = min(split * params.steps, total);
  let count = min(params.steps, total - begin);
  let lo = min(o + lane % SHARE, params.O - 1u) * plane;
  let hi = min(o + lane % SHARE + 4u, params.O - 1u) * plane;
  let channels = min(i + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.I - 1u)) * plane;
  let n = begin / plane;
  var p = begin % plane;
  var dy_at = n * params.O * plane + p;
  var x_at = n * params.I * plane + p;
  var tile: Tile;
  for (var s = 0u; s < count; s++) {
    let a = dy4[dy_at + lo];
    let b = select(dy4[dy_at + hi], a, SHARE == 8u);
    let at = x_at + channels;
    let v = transpose(mat4x4f(x4[at.x], x4[at.y], x4[at.z], x4[at.w]));
    multiply(&tile, a.x, b.x, v[0]);
    multiply(&tile, a.y, b.y, v[1]);
    multiply(&tile, a.z, b.z, v[2]);
    multiply(&tile, a.w, b.w, v[3]);
    p++;
    let wrap = p == plane;
    p = select(p, 0u, wrap);
    dy_at += select(1u, 1u + (params.O - 1u) * plane, wrap);
    x_at += select(1u, 1u + (params.I - 1u) * plane, wrap);
  }
  store_tile(split, o, i, &tile);
}

// As backward_weight4, for planes of any size: a plane's last group of pixels is filled up with zeros.
@compute @workgroup_size(COLUMNS)
fn backward_weight(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) li: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let plane = (params.P + 3u) / 4u;
  let rows = (params.O + 7u) / 8u;
  let columns = (params.I + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let group = wid.x + wid.y * num.x;
  let o = group % rows * 8u;
  let i = group / rows % columns * 4u * COLUMNS + li;
  let split = group / rows / columns;

  let total = params.N * plane;
  let begin = min(split * params.steps, total);
  let count = min(params.steps, total - begin);
  let lo = min(o + lane % SHARE, params.O - 1u) * params.P;
  let hi = min(o + lane % SHARE + 4u, params.O - 1u) * params.P;
  let channels = min(i + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.I - 1u)) * params.P;
  var n = begin / plane;
  var p = begin % plane;
  var tile: Tile;
  for (var s = 0u; s < count; s++) {
    let pixel = 4u * p + vec4u(0u, 1u, 2u, 3u);
    let inside = pixel < vec4u(params.P);
    let at = min(pixel, vec4u(params.P - 1u));
    let dy_at = at + n * params.O * params.P;
    let x_at = at + n * params.I * params.P;
    let a = select(vec4f(), gradients(dy_at + lo), inside);
    let b = select(select(vec4f(), gradients(dy_at + hi), inside), a, SHARE == 8u);
    let v = transpose(mat4x4f(
      pixels(x_at + channels.x), pixels(x_at + channels.y), pixels(x_at + channels.z), pixels(x_at + channels.w)));
    multiply(&tile, a.x, b.x, v[0]);
    multiply(&tile, a.y, b.y, v[1]);
    multiply(&tile, a.z, b.z, v[2]);
    multiply(&tile, a.w, b.w, v[3]);
    p++;
    let wrap = p == plane;
    p = select(p, 0u, wrap);
    n += select(0u, 1u, wrap);
  }
  store_tile(split, o, i, &tile);
}

fn gradients(at: vec4u) -> vec4f { return vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]); }

fn store_tile(split: u32, o: u32, i: u32, tile: ptr<function, Tile>) {
  store_row(split, o, i, tile.c0);
  store_row(split, o + 1u, i, tile.c1);
  store_row(split, o + 2u, i, tile.c2);
  store_row(split, o + 3u, i, tile.c3);
  store_row(split, o + 4u, i, tile.c4);
  store_row(split, o + 5u, i, tile.c5);
  store_row(split, o + 6u, i, tile.c6);
  store_row(split, o + 7u, i, tile.c7);
}

fn store_row(split: u32, o: u32, i: u32, v: vec4f) {
  if (o >= params.O || split >= params.splits) { return; }
  let at = split * params.O * params.I + o * params.row;
  store_weight(at, i, v.x);
  store_weight(at, i + COLUMNS, v.y);
  store_weight(at, i + 2u * COLUMNS, v.z);
  store_weight(at, i + 3u * COLUMNS, v.w);
}

fn store_weight(row: u32, i: u32, v: f32) {
  if (i >= params.I) { return; }
  let at = row + i * params.column;
  if (params.accumulate == 1u) { dweight[at] += v; } else { dweight[at] = v; }
}
