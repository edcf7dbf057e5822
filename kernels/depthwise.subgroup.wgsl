// Depthwise convolution, NCHW, K = 3, stride 1, padding 1, with subgroups: the forms of depthwise.strip.wgsl, where one
// lane loads a pixel and its neighbours get it by a shuffle: 4 loads a row and strip instead of 6. See depthwise.wgsl
// for the formula, the layout and the plain references.
//
// The tiles of a row lie in neighbouring lanes (threads of a one-dimensional workgroup follow the lanes), so there must
// be a power of two of them, at most the subgroup size. Beyond a row's tiles there is only padding: nothing is missed.

enable subgroups;

const THREADS: u32 = 64; // a workgroup

alias Stored = f32;    // how activations are kept: f16 where precision is f16

alias Strided = f32; // of a view: rows and columns lie where strides or keep-lists say
alias Kept = u32;      // a channel's number in the host, of a slim encoder's keep-list
const KEPT: bool = false;

struct Params {
  N: u32, C: u32,
  H: u32, W: u32,
  ldw: u32,
  rows: u32,   // that a strip covers
  turn: u32,   // 1: the kernel turned by 180 degrees
  splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, C, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (C, 1, 3, 3), ldw between channels
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, C, H, W)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, C, H, W)
@group(0) @binding(5) var<storage, read_write> partial: array<f32>; // (splits, C, 3, 3)
@group(0) @binding(6) var<storage, read> kept: array<Kept>;        // (C), where the channels are kept by a list

// Where a channel's kernel lies in the host's weight.
fn channel_at(c: u32) -> u32 {
  if (KEPT) { return kept[c] * params.ldw; }
  return c * params.ldw;
}

fn store_y(at: u32, v: vec4f, count: u32) {
  y[at] = Stored(v.x);
  if (count > 1u) { y[at + 1u] = Stored(v.y); }
  if (count > 2u) { y[at + 2u] = Stored(v.z); }
  if (count > 3u) { y[at + 3u] = Stored(v.w); }
}

// 4 neighbouring pixels of row h of plane nc; zero where the row or the column is none.
fn pixels(nc: u32, h: u32, column: u32) -> vec4f {
  let columns = vec4u(column, column + 1u, column + 2u, column + 3u);
  let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
  let at = row + min(columns, vec4u(params.W - 1u));
  let inside = (columns < vec4u(params.W)) & vec4<bool>(h < params.H);
  return select(vec4f(), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
}

fn slopes(nc: u32, h: u32, column: u32, live: bool) -> vec4f {
  let columns = vec4u(column, column + 1u, column + 2u, column + 3u);
  let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
  let at = row + min(columns, vec4u(params.W - 1u));
  let inside = (columns < vec4u(params.W)) & vec4<bool>(live && h < params.H);
  return select(vec4f(), vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), inside);
}

// What the left and the right tap see of a row, from what the middle one sees.
fn to_left(v: vec4f, tile: u32) -> vec4f {
  return vec4f(select(0f, subgroupShuffleUp(v.w, 1u), tile > 0u), v.xyz);
}

fn to_right(v: vec4f, tile: u32, tiles: u32) -> vec4f {
  return vec4f(v.yzw, select(0f, subgroupShuffleDown(v.x, 1u), tile + 1u < tiles));
}

fn taps_of(c: u32, ky: u32) -> vec3f {
  let at = channel_at(c);
  let k = ky * 3u;
  if (params.turn == 1u) { return vec3f(weight[at + 8u - k], weight[at + 7u - k], weight[at + 6u - k]); }
  return vec3f(weight[at + k], weight[at + k + 1u], weight[at + k + 2u]);
}

// Strip: one thread `rows` x 4 outputs, walking down. Sums of rows that are not complete yet stay in registers. The
// gradient of the input is the same with dy for x and the kernel turned.
@compute @workgroup_size(THREADS)
fn forward_strip(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let tiles = (params.W + 3u) / 4u;
  let strips = (params.H + params.rows - 1u) / params.rows;
  let planes = params.N * params.C;
  let tile = t % tiles;
  let first = t / tiles % strips * params.rows;
  let live = t < planes * strips * tiles;
  let nc = min(t / (tiles * strips), planes - 1u);
  let c = nc % params.C;
  let top = taps_of(c, 0u);
  let middle = taps_of(c, 1u);
  let bottom = taps_of(c, 2u);

  let column = tile * 4u;
  let count = select(0u, params.W - column, live);
  let out = nc * params.H * params.W + column;
  // Each row of x ends one row of y, lies under the middle of the next and begins the one after. A strip as tall as the
  // map needs no row above or below it.
  let whole = select(0u, 1u, strips == 1u);
  var now = vec4f();
  var next = vec4f();
  for (var r = whole; r < params.rows + 2u - whole; r++) {
    let v = pixels(nc, first + r - 1u, column);
    let l = to_left(v, tile);
    let m = to_right(v, tile, tiles);
    let p = first + r - 2u;
    if (r > 1u && p < params.H && count > 0u) {
      store_y(out + p * params.W, now + bottom.x * l + bottom.y * v + bottom.z * m, count);
    }
    now = next + middle.x * l + middle.y * v + middle.z * m;
    next = top.x * l + top.y * v + top.z * m;
  }
  if (whole == 1u && count > 0u) { store_y(out + (params.H - 1u) * params.W, now, count); }
}

// Partials of a workgroup's threads, by thread and tap.
var<workgroup> shares: array<f32, THREADS * 9u>;

// Strip: one workgroup a channel and a split. Its threads take the images' strips of 4 outputs in turn, with the 9 sums
// in registers; then each tap's sums are added up in the order of the threads.
@compute @workgroup_size(THREADS)
fn backward_weight_strip(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.x + wid.y * num.x;
  let c = group % params.C;
  let split = group / params.C;
  let tiles = (params.W + 3u) / 4u;
  let strips = (params.H + params.rows - 1u) / params.rows;
  let items = select(0u, params.N * strips * tiles, split < params.splits);
  let whole = select(0u, 1u, strips == 1u);

  var a0 = 0f; var a1 = 0f; var a2 = 0f;
  var b0 = 0f; var b1 = 0f; var b2 = 0f;
  var c0 = 0f; var c1 = 0f; var c2 = 0f;
  for (var turn = split * THREADS; turn < items; turn += params.splits * THREADS) {
    let item = turn + lid;
    let live = item < items;
    let tile = item % tiles;
    let column = tile * 4u;
    let first = item / tiles % strips * params.rows;
    let nc = min(item / (tiles * strips), params.N - 1u) * params.C + c;
    // Each row of x meets three rows of dy: the one below it, its own and the one above.
    var d1 = vec4f();
    if (whole == 1u) { d1 = slopes(nc, 0u, column, live); }
    var d2 = vec4f();
    for (var r = whole; r < params.rows + 2u - whole; r++) {
      let v = pixels(nc, first + r - 1u, column);
      let l = to_left(v, tile);
      let m = to_right(v, tile, tiles);
      let d = slopes(nc, first + r, column, live && r < params.rows);
      a0 += dot(d, l); a1 += dot(d, v); a2 += dot(d, m);
      b0 += dot(d1, l); b1 += dot(d1, v); b2 += dot(d1, m);
      c0 += dot(d2, l); c1 += dot(d2, v); c2 += dot(d2, m);
      d2 = d1;
      d1 = d;
    }
  }

  let mine = lid * 9u;
  shares[mine] = a0; shares[mine + 1u] = a1; shares[mine + 2u] = a2;
  shares[mine + 3u] = b0; shares[mine + 4u] = b1; shares[mine + 5u] = b2;
  shares[mine + 6u] = c0; shares[mine + 7u] = c1; shares[mine + 8u] = c2;
  workgroupBarrier();
  if (split >= params.splits) { return; }
  for (var tap = lid; tap < 9u; tap += THREADS) {
    var sum = 0f;
    for (var thread = 0u; thread < THREADS; thread++) { sum += shares[thread * 9u + tap]; }
    partial[(split * params.C + c) * 9u + tap] = sum;
  }
}
