// Depthwise convolution, NCHW, k = 3, S = 1 or 2: a thread keeps all weights of its channel and walks down a strip of four
// columns, so that each pixel of x is loaded once per strip and not once per tap. Reference: depthwise.wgsl, where the
// formulas and the letters are; depthwise.strip5.wgsl is the same for k = 5.
// Threads: each writes its own strip or partial sums, so nothing races.

const S: u32 = 1;        // stride
const TAPS: u32 = 9;     // of a kernel
const THREADS: u32 = 64; // threads of a workgroup

alias Stored = f32; // activations in memory: f16 with precision 'f16'

// <shared slice_channels>
alias Strided = f32;       // element of a slice: strides or a list of kept channels say where it lies
alias Kept = u32;          // number of a kept channel in the host
const KEPT: bool = false;  // true where `kept` is bound
// </shared>

// <shared strip_bindings>
struct Params {
  N: u32, C: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  pad: u32,
  ldw: u32,    // stride of the weight between channels
  rows: u32,   // of y, dx or dy that a strip covers
  turn: u32,   // 1: the kernel rotated by 180 degrees
  splits: u32, // parts of the sum over images and strips
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, C, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (C, 1, k, k), ldw between channels
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, C, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, C, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, C, H, W)
@group(0) @binding(6) var<storage, read_write> partial: array<f32>; // (splits, C, k, k)
@group(0) @binding(7) var<storage, read> kept: array<Kept>;         // (C), optional: the kept channels
// </shared>

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

// <shared load_dy>
// Pixel of the row of dy that starts at offset `row`; zero left and right of it, and where the row itself is outside.
fn load_dy(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, dy[row + min(column, params.OW - 1u)], inside && column < params.OW);
}
// </shared>

// <shared load_dy4>
// Four neighboring pixels of a row of dy.
fn load_dy4(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(load_dy(row, column, inside), load_dy(row, column + 1u, inside),
               load_dy(row, column + 2u, inside), load_dy(row, column + 3u, inside));
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

// <shared kernel_row3>
// Row kh of a channel's 3x3 kernel.
fn kernel_row(c: u32, kh: u32) -> vec3f {
  let at = channel_at(c);
  let row = kh * 3u;
  if (params.turn == 1u) { return vec3f(weight[at + 8u - row], weight[at + 7u - row], weight[at + 6u - row]); }
  return vec3f(weight[at + row], weight[at + row + 1u], weight[at + row + 2u]);
}
// </shared>

// <shared strip>
// Four columns from ow on of `params.rows` rows from `first` on, in plane nc = n C + c of dy.
struct Strip { ow: u32, first: u32, nc: u32 }

fn strips() -> vec2u { return vec2u((params.OW + 3u) / 4u, (params.OH + params.rows - 1u) / params.rows); }

// The t-th strip of all planes: neighboring threads have neighboring columns.
fn strip_at(t: u32) -> Strip {
  let grid = strips();
  return Strip(t % grid.x * 4u, t / grid.x % grid.y * params.rows, t / (grid.x * grid.y));
}
// </shared>

// The taps of row h of plane nc for four outputs, from `column` on.
fn window(nc: u32, h: u32, column: u32) -> Taps3 {
  return load_taps3((nc * params.H + min(h, params.H - 1u)) * params.W, column, h < params.H);
}

// Products of a kernel row and the pixels under it.
fn under(v: Taps3, taps: vec3f) -> vec4f {
  return taps.x * v.first + taps.y * v.second + taps.z * v.third;
}

// ---- Forward

// One thread per strip of `rows` x four outputs. Sums of rows that are not complete yet stay in registers. Also computes
// backward_input at stride 1: bind x = dy, y = dx, swap (H, W) and (OH, OW), rotate the kernel and use pad = 2 - pad.
@compute @workgroup_size(THREADS)
fn forward_strip(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let s = strip_at(thread_index(wid, num, lid));
  let ow = s.ow;
  let first = s.first;
  let nc = s.nc;
  if (nc >= params.N * params.C) { return; }
  let c = nc % params.C;
  let top = kernel_row(c, 0u);
  let middle = kernel_row(c, 1u);
  let bottom = kernel_row(c, 2u);

  let column = ow * S - params.pad;
  let count = params.OW - ow;
  let end = min(first + params.rows, params.OH);
  var h = first * S - params.pad;
  var at = (nc * params.OH + first) * params.OW + ow;
  if (S == 1u) {
    // Each row of x completes one row of y, is under the middle of the next and begins the one after.
    var now = vec4f();
    var next = vec4f();
    for (var r = 0u; r < end - first + 2u; r++) {
      let v = window(nc, h, column);
      if (r > 1u) {
        store_y(at, now + under(v, bottom), count);
        at += params.OW;
      }
      now = next + under(v, middle);
      next = under(v, top);
      h++;
    }
  } else {
    // Even rows complete one row of y and begin the next; odd ones are under the middle of one.
    var now = vec4f();
    for (var r = 0u; r <= 2u * (end - first); r++) {
      let v = window(nc, h, column);
      if (r % 2u == 1u) {
        now += under(v, middle);
      } else {
        if (r > 0u) {
          store_y(at, now + under(v, bottom), count);
          at += params.OW;
        }
        now = under(v, top);
      }
      h++;
    }
  }
}

// ---- Gradient of the input, of stride 2

// S = 2, pad = 1: one thread per eight inputs of each of 2 * `rows` rows, from five neighboring outputs of each row of dy.
// An even row or column is under the middle tap of one output, an odd one under the outer taps of two.
@compute @workgroup_size(THREADS)
fn backward_input_strip(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let s = strip_at(thread_index(wid, num, lid));
  let ow = s.ow;
  let first = s.first;
  let nc = s.nc;
  if (nc >= params.N * params.C) { return; }
  let c = nc % params.C;
  let top = kernel_row(c, 0u);
  let middle = kernel_row(c, 1u);
  let bottom = kernel_row(c, 2u);

  let count = params.W - 2u * ow;
  let end = min(first + params.rows, params.OH);
  var row = (nc * params.OH + first) * params.OW;
  var d = load_dy4(row, ow, true);
  var e = vec4f(d.yzw, load_dy(row, ow + 4u, true));
  for (var oh = first; oh < end; oh++) {
    let at = (nc * params.H + 2u * oh) * params.W + 2u * ow;
    store_dx(at, middle.y * d, middle.z * d + middle.x * e, count);
    let inside = oh + 1u < params.OH;
    row = select(row, row + params.OW, inside);
    let below = load_dy4(row, ow, inside);
    let right = vec4f(below.yzw, load_dy(row, ow + 4u, inside));
    if (2u * oh + 1u < params.H) {
      let odd = bottom.z * d + bottom.x * e + top.z * below + top.x * right;
      store_dx(at + params.W, bottom.y * d + top.y * below, odd, count);
    }
    d = below;
    e = right;
  }
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
  let grid = strips();
  let items = select(0u, params.N * grid.y * grid.x, split < params.splits);

  var a0 = 0f; var a1 = 0f; var a2 = 0f;
  var b0 = 0f; var b1 = 0f; var b2 = 0f;
  var c0 = 0f; var c1 = 0f; var c2 = 0f;
  for (var item = split * THREADS + lid; item < items; item += params.splits * THREADS) {
    let s = strip_at(item);
    let ow = s.ow;
    let first = s.first;
    let nc = s.nc * params.C + c; // items are the strips of one channel, so s.nc is an image
    let column = ow * S - params.pad;
    let end = min(first + params.rows, params.OH);
    var h = first * S - params.pad;
    var row = (nc * params.OH + first) * params.OW;
    if (S == 1u) {
      // Each row of x is multiplied with three rows of dy: its own and the two before.
      var d1 = vec4f();
      var d2 = vec4f();
      for (var oh = first; oh < end + 2u; oh++) {
        let v = window(nc, h, column);
        let inside = oh < end;
        let d = load_dy4(select(0u, row, inside), ow, inside);
        a0 += dot(d, v.first); a1 += dot(d, v.second); a2 += dot(d, v.third);
        b0 += dot(d1, v.first); b1 += dot(d1, v.second); b2 += dot(d1, v.third);
        c0 += dot(d2, v.first); c1 += dot(d2, v.second); c2 += dot(d2, v.third);
        d2 = d1;
        d1 = d;
        row += params.OW;
        h++;
      }
    } else {
      // Even rows of x complete one row of dy and begin the next; odd ones are under the middle of one.
      var d = vec4f();
      for (var r = 0u; r <= 2u * (end - first); r++) {
        let v = window(nc, h, column);
        if (r % 2u == 1u) {
          b0 += dot(d, v.first); b1 += dot(d, v.second); b2 += dot(d, v.third);
        } else {
          c0 += dot(d, v.first); c1 += dot(d, v.second); c2 += dot(d, v.third);
          let inside = r < 2u * (end - first);
          d = load_dy4(select(0u, row, inside), ow, inside);
          a0 += dot(d, v.first); a1 += dot(d, v.second); a2 += dot(d, v.third);
          row += params.OW;
        }
        h++;
      }
    }
  }

  let mine = lid * TAPS;
  shares[mine] = a0; shares[mine + 1u] = a1; shares[mine + 2u] = a2;
  shares[mine + 3u] = b0; shares[mine + 4u] = b1; shares[mine + 5u] = b2;
  shares[mine + 6u] = c0; shares[mine + 7u] = c1; shares[mine + 8u] = c2;
  reduce_taps(lid, split, c);
}
