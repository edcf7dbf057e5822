// 3x3 convolution, NCHW times OIHW, for devices with subgroups: register tile of two rows of four pixels and up to 16
// channels. Each lane loads the weights of one or two channels, which reach the others by subgroupBroadcast; a row of
// pixels that two outputs need is loaded once. Reference: forward and backward_input of conv2d.wgsl, where the formulas
// and the letters are.
// Threads: one per register tile, which it alone writes, so nothing races.

enable subgroups;

// Channels of a tile in forward_tile: 16, or 8 where 16 would leave much of it empty.
const CHANNELS: u32 = 16;
// Lanes that hold the channels' weights: 8, or 4 where subgroups are that small.
const SHARE: u32 = 8;
const S: u32 = 1;       // stride of forward_tile, 1 or 2
const THREADS: u32 = 8; // threads of a workgroup
alias Stored = f32;    // activations in memory: f16 with precision 'f16'
alias Stored4 = vec4f;

// <shared slice_rows_columns>
alias Strided = f32;              // element of a slice: strides or lists of kept channels say where it lies
alias Kept = u32;                 // number of a kept channel in the host
const KEPT_ROWS: bool = false;    // true where kept_rows is bound
const KEPT_COLUMNS: bool = false; // true where kept_columns is bound
// </shared>

struct Params {
  N: u32, I: u32, O: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  pad: u32,
  row: u32, column: u32, // strides of the weight: per output channel, per input channel
  turn: u32,             // 1: the kernel rotated by 180 degrees
  channels: u32,         // CHANNELS as a uniform, so that the loop over them is not unrolled
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;     // (N, I, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>; // (O, I, 3, 3), strides row and column
@group(0) @binding(3) var<storage, read_write> y: array<Stored>; // (N, O, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;       // (N, O, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>; // (N, I, H, W)
@group(0) @binding(6) var<storage, read_write> y4: array<Stored4>; // (N, O, OH, OW / 4), where OW is a multiple of 4
@group(0) @binding(7) var<storage, read> kept_rows: array<Kept>;    // (O), optional: the kept rows of the weight
@group(0) @binding(8) var<storage, read> kept_columns: array<Kept>; // (I), optional: its kept columns

// <shared strided_weight_offsets>
// Offsets of output channels (rows) and of an input channel (column) in the host's weight.
fn row_at(o: u32) -> u32 {
  if (KEPT_ROWS) { return kept_rows[o] * params.row; }
  return o * params.row;
}
fn rows_at(o: vec4u) -> vec4u {
  if (KEPT_ROWS) { return vec4u(kept_rows[o.x], kept_rows[o.y], kept_rows[o.z], kept_rows[o.w]) * params.row; }
  return o * params.row;
}
fn column_at(i: u32) -> u32 {
  if (KEPT_COLUMNS) { return kept_columns[i] * params.column; }
  return i * params.column;
}
// </shared>

// <shared workgroup_index>
// Linear index of a workgroup in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn workgroup_index(wid: vec3u, num: vec3u) -> u32 { return wid.x + wid.y * num.x; }
// </shared>

// <shared load_x>
// Pixel of the row of x that starts at offset `row`: zero padding left and right of it (negative columns wrap to large
// unsigned ones), and where the row itself is outside.
fn load_x(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, f32(x[row + min(column, params.W - 1u)]), inside && column < params.W);
}
// </shared>

// <shared load_x4>
// Four pixels of a row of x, S apart.
fn load_x4(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(load_x(row, column, inside), load_x(row, column + S, inside),
               load_x(row, column + 2u * S, inside), load_x(row, column + 3u * S, inside));
}
// </shared>

// <shared three_taps>
// Pixels of a row of x under each of three neighboring taps of a kernel row, for four neighboring outputs. With stride 1
// or 2 the taps share pixels, which are loaded once.
struct Taps3 { first: vec4f, second: vec4f, third: vec4f }

fn load_taps3(row: u32, column: u32, inside: bool) -> Taps3 {
  let first = load_x4(row, column, inside);
  if (S == 1u) {
    let second = vec4f(first.yzw, load_x(row, column + 4u, inside));
    return Taps3(first, second, vec4f(second.yzw, load_x(row, column + 5u, inside)));
  }
  let second = load_x4(row, column + 1u, inside);
  if (S == 2u) { return Taps3(first, second, vec4f(first.yzw, load_x(row, column + 8u, inside))); }
  return Taps3(first, second, load_x4(row, column + 2u, inside));
}
// </shared>

// <shared store_y>
// Stores up to four neighboring outputs of a row, at least one.
fn store_y(at: u32, v: vec4f, count: u32) {
  y[at] = Stored(v.x);
  if (count > 1u) { y[at + 1u] = Stored(v.y); }
  if (count > 2u) { y[at + 2u] = Stored(v.z); }
  if (count > 3u) { y[at + 3u] = Stored(v.w); }
}
// </shared>

// ---- Forward: register tile

// Two rows of four outputs of a channel.
struct Pair { upper: vec4f, lower: vec4f }

// Named members, not an array: SwiftShader runs arrays several times slower.
struct Tile {
  c0: Pair, c1: Pair, c2: Pair, c3: Pair, c4: Pair, c5: Pair, c6: Pair, c7: Pair,
  c8: Pair, c9: Pair, c10: Pair, c11: Pair, c12: Pair, c13: Pair, c14: Pair, c15: Pair,
}

// Adds a row of the kernel: all three taps at once, so that a sum is loaded and stored once for the three of them.
fn add(pair: Pair, taps: vec3f, upper: Taps3, lower: Taps3) -> Pair {
  return Pair(pair.upper + (taps.x * upper.first + taps.y * upper.second + taps.z * upper.third),
              pair.lower + (taps.x * lower.first + taps.y * lower.second + taps.z * lower.third));
}

// Moves the next channel into c0. Channels are stored in a loop whose bound is a uniform, so that it is not unrolled:
// separate stores would take lavapipe seconds to compile.
fn shift(tile: ptr<function, Tile>) {
  (*tile).c0 = (*tile).c1;
  (*tile).c1 = (*tile).c2;
  (*tile).c2 = (*tile).c3;
  (*tile).c3 = (*tile).c4;
  (*tile).c4 = (*tile).c5;
  (*tile).c5 = (*tile).c6;
  (*tile).c6 = (*tile).c7;
  if (CHANNELS == 16u) {
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

// Taps of a kernel row, from left to right of the pixels under it.
fn taps(at: u32) -> vec3f {
  let turned = params.turn == 1u;
  let first = weight[select(at, at + 2u, turned)];
  let third = weight[select(at + 2u, at, turned)];
  return vec3f(first, weight[at + 1u], third);
}

// Outputs of a thread: channels from o on, rows oh and oh + 1, columns ow to ow + 3 of image n.
struct Place { o: u32, n: u32, oh: u32, ow: u32, live: bool }

fn place(group: u32, lid: u32) -> Place {
  let groups = (params.O + CHANNELS - 1u) / CHANNELS;
  let tiles = (params.OW + 3u) / 4u;
  let pairs = (params.OH + 1u) / 2u;
  let t = group / groups * THREADS + lid;
  let n = t / (tiles * pairs);
  return Place(group % groups * CHANNELS, min(n, params.N - 1u), t / tiles % pairs * 2u, t % tiles * 4u, n < params.N);
}

// The tile's sums over all input channels.
fn correlate(at: Place, lane: u32, tile: ptr<function, Tile>) {
  let held_at = rows_at(min(at.o + lane % SHARE + SHARE * vec4u(0u, 1u, 2u, 3u), vec4u(params.O - 1u)));
  let left = at.ow * S - params.pad;
  var before: Taps3;
  var upper: Taps3;
  var lower: Taps3;
  // One loop over channels and rows, with one load: otherwise compilers unroll it and take seconds.
  for (var step = 0u; step < params.I * (S + 3u); step++) {
    let i = step / (S + 3u);
    let r = step % (S + 3u);
    if (S == 1u) { upper = lower; } else { upper = before; }
    before = lower;
    let h = at.oh * S + r - params.pad;
    lower = load_taps3(((at.n * params.I + i) * params.H + min(h, params.H - 1u)) * params.W, left, h < params.H);
    if (r < S) { continue; }
    let kh = r - S;
    let row = held_at + column_at(i) + 3u * select(kh, 2u - kh, params.turn == 1u);
    var held = mat4x3f();
    held[0] = taps(row.x);
    if (CHANNELS > SHARE) { held[1] = taps(row.y); }
    if (CHANNELS > 2u * SHARE) {
      held[2] = taps(row.z);
      held[3] = taps(row.w);
    }
    (*tile).c0 = add((*tile).c0, subgroupBroadcast(held[0u / SHARE], 0u % SHARE), upper, lower);
    (*tile).c1 = add((*tile).c1, subgroupBroadcast(held[1u / SHARE], 1u % SHARE), upper, lower);
    (*tile).c2 = add((*tile).c2, subgroupBroadcast(held[2u / SHARE], 2u % SHARE), upper, lower);
    (*tile).c3 = add((*tile).c3, subgroupBroadcast(held[3u / SHARE], 3u % SHARE), upper, lower);
    (*tile).c4 = add((*tile).c4, subgroupBroadcast(held[4u / SHARE], 4u % SHARE), upper, lower);
    (*tile).c5 = add((*tile).c5, subgroupBroadcast(held[5u / SHARE], 5u % SHARE), upper, lower);
    (*tile).c6 = add((*tile).c6, subgroupBroadcast(held[6u / SHARE], 6u % SHARE), upper, lower);
    (*tile).c7 = add((*tile).c7, subgroupBroadcast(held[7u / SHARE], 7u % SHARE), upper, lower);
    if (CHANNELS == 16u) {
      (*tile).c8 = add((*tile).c8, subgroupBroadcast(held[8u / SHARE], 8u % SHARE), upper, lower);
      (*tile).c9 = add((*tile).c9, subgroupBroadcast(held[9u / SHARE], 9u % SHARE), upper, lower);
      (*tile).c10 = add((*tile).c10, subgroupBroadcast(held[10u / SHARE], 10u % SHARE), upper, lower);
      (*tile).c11 = add((*tile).c11, subgroupBroadcast(held[11u / SHARE], 11u % SHARE), upper, lower);
      (*tile).c12 = add((*tile).c12, subgroupBroadcast(held[12u / SHARE], 12u % SHARE), upper, lower);
      (*tile).c13 = add((*tile).c13, subgroupBroadcast(held[13u / SHARE], 13u % SHARE), upper, lower);
      (*tile).c14 = add((*tile).c14, subgroupBroadcast(held[14u / SHARE], 14u % SHARE), upper, lower);
      (*tile).c15 = add((*tile).c15, subgroupBroadcast(held[15u / SHARE], 15u % SHARE), upper, lower);
    }
  }
}

// One thread per two rows x four outputs x CHANNELS output channels. A workgroup has one group of channels; its threads
// run over tiles of a row, pairs of rows and images, so that a workgroup larger than a map takes several images.
// Also computes backward_input at stride 1, a correlation of dy with the rotated kernel: bind x = dy, y = dx, swap I and O,
// (H, W) and (OH, OW), and use pad = 2 - pad.
@compute @workgroup_size(THREADS)
fn forward_tile(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let at = place(workgroup_index(wid, num), lid);
  var tile: Tile;
  correlate(at, lane, &tile);
  if (!at.live) { return; }
  let count = min(4u, params.OW - at.ow);
  var to = ((at.n * params.O + at.o) * params.OH + at.oh) * params.OW + at.ow;
  for (var c = 0u; c < min(params.channels, params.O - at.o); c++) {
    store_y(to, tile.c0.upper, count);
    if (at.oh + 1u < params.OH) { store_y(to + params.OW, tile.c0.lower, count); }
    to += params.OH * params.OW;
    shift(&tile);
  }
}

// forward_tile for OW % 4 == 0, with vector stores: with few input channels, stores are half of the time.
@compute @workgroup_size(THREADS)
fn forward_tile4(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let at = place(workgroup_index(wid, num), lid);
  var tile: Tile;
  correlate(at, lane, &tile);
  if (!at.live) { return; }
  let row = params.OW / 4u;
  var to = ((at.n * params.O + at.o) * params.OH + at.oh) * row + at.ow / 4u;
  for (var c = 0u; c < min(params.channels, params.O - at.o); c++) {
    y4[to] = Stored4(tile.c0.upper);
    if (at.oh + 1u < params.OH) { y4[to + row] = Stored4(tile.c0.lower); }
    to += params.OH * row;
    shift(&tile);
  }
}

// ---- Backward of stride 2: register tile

// <shared load_dy>
// Pixel of the row of dy that starts at offset `row`; zero left and right of it, and where the row itself is outside.
fn load_dy(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, dy[row + min(column, params.OW - 1u)], inside && column < params.OW);
}
// </shared>

// <shared store_dx_interleaved>
// Stores up to eight neighboring inputs of a row, at least one: even columns and odd columns interleaved.
fn store_dx(at: u32, even: vec4f, odd: vec4f, count: u32) {
  dx[at] = even.x;
  if (count > 1u) { dx[at + 1u] = odd.x; }
  if (count > 2u) { dx[at + 2u] = even.y; }
  if (count > 3u) { dx[at + 3u] = odd.y; }
  if (count > 4u) { dx[at + 4u] = even.z; }
  if (count > 5u) { dx[at + 5u] = odd.z; }
  if (count > 6u) { dx[at + 6u] = even.w; }
  if (count > 7u) { dx[at + 7u] = odd.w; }
}
// </shared>

// Four pixels of dy, and their neighbors to the right.
struct DyPair { here: vec4f, right: vec4f }

fn load_dy_pair(n: u32, o: u32, oh: u32, ow: u32) -> DyPair {
  let inside = oh < params.OH;
  let row = ((n * params.O + o) * params.OH + min(oh, params.OH - 1u)) * params.OW;
  let here = vec4f(load_dy(row, ow, inside), load_dy(row, ow + 1u, inside),
                   load_dy(row, ow + 2u, inside), load_dy(row, ow + 3u, inside));
  return DyPair(here, vec4f(here.yzw, load_dy(row, ow + 4u, inside)));
}

// Two rows of eight inputs of a channel, by even and odd columns, which are under different taps.
struct Block { even: vec4f, odd: vec4f, even_below: vec4f, odd_below: vec4f }

// Taps of a kernel, by rows.
struct Taps { k0: vec3f, k1: vec3f, k2: vec3f }

fn kernel(at: u32) -> Taps {
  return Taps(vec3f(weight[at], weight[at + 1u], weight[at + 2u]),
              vec3f(weight[at + 3u], weight[at + 4u], weight[at + 5u]),
              vec3f(weight[at + 6u], weight[at + 7u], weight[at + 8u]));
}

// Adds the gradient that one output channel passes back through its kernel.
fn give(sums: Block, k0: vec3f, k1: vec3f, k2: vec3f, at: DyPair, below: DyPair) -> Block {
  return Block(sums.even + k1.y * at.here,
               sums.odd + (k1.z * at.here + k1.x * at.right),
               sums.even_below + (k2.y * at.here + k0.y * below.here),
               sums.odd_below + (k2.z * at.here + k2.x * at.right + k0.z * below.here + k0.x * below.right));
}

// Stride 2, padding 1: one thread per 2 x 8 inputs x 8 input channels, from 2 x 5 outputs. Workgroups as in forward_tile.
@compute @workgroup_size(THREADS)
fn backward_input_tile2(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = workgroup_index(wid, num);
  let groups = (params.I + 7u) / 8u;
  let tiles = (params.W + 7u) / 8u;
  let pairs = (params.H + 1u) / 2u;
  let i = group % groups * 8u;
  let t = group / groups * THREADS + lid;
  let ow = t % tiles * 4u;
  let oh = t / tiles % pairs;
  let live = t < tiles * pairs * params.N;
  let n = min(t / (tiles * pairs), params.N - 1u);

  let last = params.I - 1u;
  let wa = column_at(min(i + lane % SHARE, last));
  let wb = column_at(min(i + SHARE + lane % SHARE, last));
  var c0: Block; var c1: Block; var c2: Block; var c3: Block;
  var c4: Block; var c5: Block; var c6: Block; var c7: Block;
  for (var o = 0u; o < params.O; o++) {
    let at = load_dy_pair(n, o, oh, ow);
    let below = load_dy_pair(n, o, oh + 1u, ow);
    let row = row_at(o);
    let a = kernel(wa + row);
    var b = a;
    if (SHARE == 4u) { b = kernel(wb + row); }
    c0 = give(c0, subgroupBroadcast(a.k0, 0u), subgroupBroadcast(a.k1, 0u),
              subgroupBroadcast(a.k2, 0u), at, below);
    c1 = give(c1, subgroupBroadcast(a.k0, 1u), subgroupBroadcast(a.k1, 1u),
              subgroupBroadcast(a.k2, 1u), at, below);
    c2 = give(c2, subgroupBroadcast(a.k0, 2u), subgroupBroadcast(a.k1, 2u),
              subgroupBroadcast(a.k2, 2u), at, below);
    c3 = give(c3, subgroupBroadcast(a.k0, 3u), subgroupBroadcast(a.k1, 3u),
              subgroupBroadcast(a.k2, 3u), at, below);
    c4 = give(c4, subgroupBroadcast(b.k0, 4u % SHARE), subgroupBroadcast(b.k1, 4u % SHARE),
              subgroupBroadcast(b.k2, 4u % SHARE), at, below);
    c5 = give(c5, subgroupBroadcast(b.k0, 5u % SHARE), subgroupBroadcast(b.k1, 5u % SHARE),
              subgroupBroadcast(b.k2, 5u % SHARE), at, below);
    c6 = give(c6, subgroupBroadcast(b.k0, 6u % SHARE), subgroupBroadcast(b.k1, 6u % SHARE),
              subgroupBroadcast(b.k2, 6u % SHARE), at, below);
    c7 = give(c7, subgroupBroadcast(b.k0, 7u % SHARE), subgroupBroadcast(b.k1, 7u % SHARE),
              subgroupBroadcast(b.k2, 7u % SHARE), at, below);
  }

  if (!live) { return; }
  let right = min(8u, params.W - 2u * ow);
  let below = select(0u, right, 2u * oh + 1u < params.H);
  var to = ((n * params.I + i) * params.H + 2u * oh) * params.W + 2u * ow;
  for (var c = 0u; c < min(params.channels, params.I - i); c++) {
    store_dx(to, c0.even, c0.odd, right);
    if (below > 0u) { store_dx(to + params.W, c0.even_below, c0.odd_below, below); }
    to += params.H * params.W;
    c0 = c1; c1 = c2; c2 = c3; c3 = c4; c4 = c5; c5 = c6; c6 = c7;
  }
}
