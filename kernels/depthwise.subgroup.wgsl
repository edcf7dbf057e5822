// Depthwise convolution, NCHW, k = 3, S = 1, pad = 1, for devices with subgroups: strips as in depthwise.strip3.wgsl, where a
// lane loads four pixels of a row and gets its neighbors' by subgroupShuffle: four loads per row and strip instead of six.
// Reference: depthwise.wgsl, where the formulas and the letters are; here OH = H, OW = W.
//
// The tiles of a row are in neighboring lanes (threads of a one-dimensional workgroup are numbered as the lanes are), so
// their number must be a power of two and at most the subgroup size. Beyond a row's tiles there is only padding, zero.
// Threads: each writes its own strip or partial sums, so nothing races.

enable subgroups;

const THREADS: u32 = 64; // threads of a workgroup
const TAPS: u32 = 9;     // of a kernel

alias Stored = f32; // activations in memory: f16 with precision 'f16'

// <shared slice_channels>
alias Strided = f32;       // element of a slice: strides or a list of kept channels say where it lies
alias Kept = u32;          // number of a kept channel in the host
const KEPT: bool = false;  // true where `kept` is bound
// </shared>

struct Params {
  N: u32, C: u32,
  H: u32, W: u32,
  ldw: u32,    // stride of the weight between channels
  rows: u32,   // of y or dy that a strip covers
  turn: u32,   // 1: the kernel rotated by 180 degrees
  splits: u32, // parts of the sum over images and strips
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, C, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (C, 1, 3, 3), ldw between channels
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, C, H, W)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, C, H, W)
@group(0) @binding(5) var<storage, read_write> partial: array<f32>; // (splits, C, 3, 3)
@group(0) @binding(6) var<storage, read> kept: array<Kept>;         // (C), optional: the kept channels

// <shared channel_offset>
// Offset of a channel's k x k kernel in the host's weight.
fn channel_at(c: u32) -> u32 {
  if (KEPT) { return kept[c] * params.ldw; }
  return c * params.ldw;
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

// <shared store_y>
// Stores up to four neighboring outputs of a row, at least one.
fn store_y(at: u32, v: vec4f, count: u32) {
  y[at] = Stored(v.x);
  if (count > 1u) { y[at + 1u] = Stored(v.y); }
  if (count > 2u) { y[at + 2u] = Stored(v.z); }
  if (count > 3u) { y[at + 3u] = Stored(v.w); }
}
// </shared>

// <shared kernel_row3>
// Row kh of a channel's 3x3 kernel.
fn kernel_row(c: u32, kh: u32) -> vec3f {
  let at = channel_at(c);
  let row = kh * 3u;
  if (params.turn == 1u) { return vec3f(weight[at + 8u - row], weight[at + 7u - row], weight[at + 6u - row]); }
  return vec3f(weight[at + row], weight[at + row + 1u], weight[at + row + 2u]);
}
// </shared>

// Four neighboring pixels of row h of plane nc; zero outside.
fn load_x4(nc: u32, h: u32, column: u32) -> vec4f {
  let columns = vec4u(column, column + 1u, column + 2u, column + 3u);
  let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
  let at = row + min(columns, vec4u(params.W - 1u));
  let inside = (columns < vec4u(params.W)) & vec4<bool>(h < params.H);
  return select(vec4f(), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
}

// The same of dy; zero where the thread has no strip.
fn load_dy4(nc: u32, h: u32, column: u32, live: bool) -> vec4f {
  let columns = vec4u(column, column + 1u, column + 2u, column + 3u);
  let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
  let at = row + min(columns, vec4u(params.W - 1u));
  let inside = (columns < vec4u(params.W)) & vec4<bool>(live && h < params.H);
  return select(vec4f(), vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), inside);
}

// Pixels under the left and under the right tap, from those under the middle one.
fn to_left(v: vec4f, tile: u32) -> vec4f {
  return vec4f(select(0f, subgroupShuffleUp(v.w, 1u), tile > 0u), v.xyz);
}

fn to_right(v: vec4f, tile: u32, tiles: u32) -> vec4f {
  return vec4f(v.yzw, select(0f, subgroupShuffleDown(v.x, 1u), tile + 1u < tiles));
}

// ---- Forward

// One thread per strip of `rows` x four outputs. Sums of rows that are not complete yet stay in registers. Also computes
// backward_input: bind x = dy, y = dx and rotate the kernel.
@compute @workgroup_size(THREADS)
fn forward_strip(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = thread_index(wid, num, lid);
  let tiles = (params.W + 3u) / 4u;
  let strips = (params.H + params.rows - 1u) / params.rows;
  let planes = params.N * params.C;
  let tile = t % tiles;
  let first = t / tiles % strips * params.rows;
  let live = t < planes * strips * tiles;
  let nc = min(t / (tiles * strips), planes - 1u);
  let c = nc % params.C;
  let top = kernel_row(c, 0u);
  let middle = kernel_row(c, 1u);
  let bottom = kernel_row(c, 2u);

  let column = tile * 4u;
  let count = select(0u, params.W - column, live);
  let out = nc * params.H * params.W + column;
  // Each row of x completes one row of y, is under the middle of the next and begins the one after. A strip as tall as
  // the map needs no row above or below it.
  let whole = select(0u, 1u, strips == 1u);
  var now = vec4f();
  var next = vec4f();
  for (var r = whole; r < params.rows + 2u - whole; r++) {
    let v = load_x4(nc, first + r - 1u, column);
    let l = to_left(v, tile);
    let m = to_right(v, tile, tiles);
    let oh = first + r - 2u;
    if (r > 1u && oh < params.H && count > 0u) {
      store_y(out + oh * params.W, now + bottom.x * l + bottom.y * v + bottom.z * m, count);
    }
    now = next + middle.x * l + middle.y * v + middle.z * m;
    next = top.x * l + top.y * v + top.z * m;
  }
  if (whole == 1u && count > 0u) { store_y(out + (params.H - 1u) * params.W, now, count); }
}

// ---- Gradient of the weight: split reduction

// <shared reduce_taps>
// Partial sums of a workgroup's threads, by thread and tap.
var<workgroup> shares: array<f32, THREADS * TAPS>;

// Adds up the threads' sums of each tap in the order of the threads, and stores them as the split's partial sums.
fn reduce_taps(lid: u32, split: u32, c: u32) {
  workgroupBarrier();
  if (split >= params.splits) { return; }
  for (var tap = lid; tap < TAPS; tap += THREADS) {
    var sum = 0f;
    for (var thread = 0u; thread < THREADS; thread++) { sum += shares[thread * TAPS + tap]; }
    partial[(split * params.C + c) * TAPS + tap] = sum;
  }
}
// </shared>

// One workgroup per channel and split. Each thread takes every THREADS-th strip of the images, with the nine sums in
// registers; then the threads' sums of each tap are added up in the order of the threads.
@compute @workgroup_size(THREADS)
fn backward_weight_strip(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let group = workgroup_index(wid, num);
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
    // Each row of x is multiplied with three rows of dy: the one below it, its own and the one above.
    var d1 = vec4f();
    if (whole == 1u) { d1 = load_dy4(nc, 0u, column, live); }
    var d2 = vec4f();
    for (var r = whole; r < params.rows + 2u - whole; r++) {
      let v = load_x4(nc, first + r - 1u, column);
      let l = to_left(v, tile);
      let m = to_right(v, tile, tiles);
      let d = load_dy4(nc, first + r, column, live && r < params.rows);
      a0 += dot(d, l); a1 += dot(d, v); a2 += dot(d, m);
      b0 += dot(d1, l); b1 += dot(d1, v); b2 += dot(d1, m);
      c0 += dot(d2, l); c1 += dot(d2, v); c2 += dot(d2, m);
      d2 = d1;
      d1 = d;
    }
  }

  let mine = lid * TAPS;
  shares[mine] = a0; shares[mine + 1u] = a1; shares[mine + 2u] = a2;
  shares[mine + 3u] = b0; shares[mine + 4u] = b1; shares[mine + 5u] = b2;
  shares[mine + 6u] = c0; shares[mine + 7u] = c1; shares[mine + 8u] = c2;
  reduce_taps(lid, split, c);
}
