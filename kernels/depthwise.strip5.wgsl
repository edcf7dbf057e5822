// Depthwise convolution, NCHW, k = 5, S = 1 or 2: a thread keeps all weights of its channel and walks down a strip of four
// columns, so that each pixel of x is loaded once per strip and not once per tap. Reference: depthwise.wgsl, where the
// formulas and the letters are; depthwise.strip3.wgsl is the same for k = 3. Two files, because a row of five taps is held
// as a vector and a scalar, and loops over arrays of taps are several times slower in SwiftShader.
// Threads: each writes its own strip or partial sums, so nothing races.

const S: u32 = 1;        // stride
const TAPS: u32 = 25;    // of a kernel
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

// A row of a 5x5 kernel, or of its gradient.
struct Row { inner: vec4f, last: f32 }

// Row kh of a channel's kernel.
fn kernel_row(c: u32, kh: u32) -> Row {
  let at = channel_at(c);
  let row = kh * 5u;
  if (params.turn == 1u) {
    let inner = vec4f(weight[at + 24u - row], weight[at + 23u - row], weight[at + 22u - row], weight[at + 21u - row]);
    return Row(inner, weight[at + 20u - row]);
  }
  let inner = vec4f(weight[at + row], weight[at + row + 1u], weight[at + row + 2u], weight[at + row + 3u]);
  return Row(inner, weight[at + row + 4u]);
}

// Pixels of a row of x under each of the five taps of a kernel row, for four outputs.
struct Taps5 { inner: mat4x4f, last: vec4f }

// The taps of row h of plane nc for four outputs, from `column` on.
fn window(nc: u32, h: u32, column: u32) -> Taps5 {
  let inside = h < params.H;
  let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
  let a = load_x4(row, column, inside);
  if (S == 2u) {
    let b = load_x4(row, column + 1u, inside);
    let a4 = load_x(row, column + 8u, inside);
    let b4 = load_x(row, column + 9u, inside);
    let a5 = load_x(row, column + 10u, inside);
    return Taps5(mat4x4f(a, b, vec4f(a.yzw, a4), vec4f(b.yzw, b4)), vec4f(a.zw, a4, a5));
  }
  let b = load_x4(row, column + 4u, inside);
  return Taps5(mat4x4f(a, vec4f(a.yzw, b.x), vec4f(a.zw, b.xy), vec4f(a.w, b.xyz)), b);
}

// Products of a kernel row and the pixels under it.
fn under(v: Taps5, taps: Row) -> vec4f {
  return v.inner * taps.inner + v.last * taps.last;
}

// ---- Forward

// One thread per strip of `rows` x four outputs. Sums of rows that are not complete yet stay in registers. Also computes
// backward_input at stride 1: bind x = dy, y = dx, swap (H, W) and (OH, OW), rotate the kernel and use pad = 4 - pad.
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
  let taps0 = kernel_row(c, 0u);
  let taps1 = kernel_row(c, 1u);
  let taps2 = kernel_row(c, 2u);
  let taps3 = kernel_row(c, 3u);
  let taps4 = kernel_row(c, 4u);

  let column = ow * S - params.pad;
  let count = params.OW - ow;
  let end = min(first + params.rows, params.OH);
  var h = first * S - params.pad;
  var at = (nc * params.OH + first) * params.OW + ow;
  // Sums of the row of y that is completed next, and of the rows after it.
  var now = vec4f();
  var next1 = vec4f();
  if (S == 1u) {
    var next2 = vec4f();
    var next3 = vec4f();
    for (var r = 0u; r < end - first + 4u; r++) {
      let v = window(nc, h, column);
      if (r > 3u) {
        store_y(at, now + under(v, taps4), count);
        at += params.OW;
      }
      now = next1 + under(v, taps3);
      next1 = next2 + under(v, taps2);
      next2 = next3 + under(v, taps1);
      next3 = under(v, taps0);
      h++;
    }
  } else {
    // Even rows of x are under rows 0, 2 and 4 of three windows, odd ones under rows 1 and 3 of the two not yet complete.
    for (var r = 0u; r < 2u * (end - first) + 3u; r++) {
      let v = window(nc, h, column);
      if (r % 2u == 1u) {
        now += under(v, taps3);
        next1 += under(v, taps1);
      } else {
        if (r > 3u) {
          store_y(at, now + under(v, taps4), count);
          at += params.OW;
        }
        now = next1 + under(v, taps2);
        next1 = under(v, taps0);
      }
      h++;
    }
  }
}

// ---- Gradient of the input, of stride 2

// Pixels of a row of dy that reach four pairs of inputs through a kernel row: of the outputs at the same place, one to the
// right and one to the left; S = 2, pad = 2.
struct DyWindow { right: vec4f, level: vec4f, left: vec4f }

fn load_dy_window(row: u32, ow: u32, inside: bool) -> DyWindow {
  let level = load_dy4(row, ow, inside);
  let right = vec4f(level.yzw, load_dy(row, ow + 4u, inside));
  return DyWindow(right, level, vec4f(load_dy(row, ow - 1u, inside), level.xyz));
}

// An even column is under the even taps of three outputs, an odd one under the odd taps of two.
fn even_columns(d: DyWindow, taps: Row) -> vec4f {
  return taps.inner.x * d.right + taps.inner.z * d.level + taps.last * d.left;
}

fn odd_columns(d: DyWindow, taps: Row) -> vec4f {
  return taps.inner.y * d.right + taps.inner.w * d.level;
}

// S = 2, pad = 2: one thread per eight inputs of each of 2 * `rows` rows, from six neighboring outputs of each row of dy.
// Rows are under the kernel as columns are.
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
  let taps0 = kernel_row(c, 0u);
  let taps1 = kernel_row(c, 1u);
  let taps2 = kernel_row(c, 2u);
  let taps3 = kernel_row(c, 3u);
  let taps4 = kernel_row(c, 4u);

  let count = params.W - 2u * ow;
  let plane = nc * params.OH;
  var above: DyWindow;
  var level: DyWindow;
  // The first two iterations only fill `above` and `level`.
  for (var r = 0u; r < min(params.rows, params.OH - first) + 2u; r++) {
    let oh = first + r - 1u; // row of dy below `level`; wraps to a large number above the first
    let below = load_dy_window((plane + min(oh, params.OH - 1u)) * params.OW, ow, oh < params.OH);
    if (r > 1u) {
      let at = (nc * params.H + 2u * (oh - 1u)) * params.W + 2u * ow;
      store_dx(
        at,
        even_columns(below, taps0) + even_columns(level, taps2) + even_columns(above, taps4),
        odd_columns(below, taps0) + odd_columns(level, taps2) + odd_columns(above, taps4),
        count,
      );
      if (2u * oh - 1u < params.H) {
        store_dx(
          at + params.W,
          even_columns(below, taps1) + even_columns(level, taps3),
          odd_columns(below, taps1) + odd_columns(level, taps3),
          count,
        );
      }
    }
    above = level;
    level = below;
  }
}

// ---- Gradient of the weight: split reduction

// Adds the products of a row of dy and a row of x to a row of the kernel's gradient.
fn add(sums: Row, d: vec4f, v: Taps5) -> Row {
  return Row(sums.inner + d * v.inner, sums.last + dot(d, v.last));
}

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

// Writes a row of a thread's sums for reduce_taps.
fn share(at: u32, sums: Row) {
  for (var kw = 0u; kw < 4u; kw++) { shares[at + kw] = sums.inner[kw]; }
  shares[at + 4u] = sums.last;
}

// One workgroup per channel and split. Each thread takes every THREADS-th strip of the images, with the 25 sums in
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

  var k0: Row; var k1: Row; var k2: Row; var k3: Row; var k4: Row;
  for (var item = split * THREADS + lid; item < items; item += params.splits * THREADS) {
    let s = strip_at(item);
    let ow = s.ow;
    let first = s.first;
    let nc = s.nc * params.C + c; // items are the strips of one channel, so s.nc is an image
    let column = ow * S - params.pad;
    let end = min(first + params.rows, params.OH);
    let plane = nc * params.OH;
    var h = first * S - params.pad;
    if (S == 1u) {
      // Each row of x is multiplied with five rows of dy.
      var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f(); var d3 = vec4f(); var d4 = vec4f();
      for (var oh = first; oh < end + 4u; oh++) {
        let v = window(nc, h, column);
        d4 = d3; d3 = d2; d2 = d1; d1 = d0;
        d0 = load_dy4((plane + min(oh, params.OH - 1u)) * params.OW, ow, oh < end);
        k0 = add(k0, d0, v);
        k1 = add(k1, d1, v);
        k2 = add(k2, d2, v);
        k3 = add(k3, d3, v);
        k4 = add(k4, d4, v);
        h++;
      }
    } else {
      // Even rows of x are multiplied with three rows of dy, odd ones with two.
      var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f();
      for (var r = 0u; r < 2u * (end - first) + 3u; r++) {
        let v = window(nc, h, column);
        if (r % 2u == 1u) {
          k1 = add(k1, d0, v);
          k3 = add(k3, d1, v);
        } else {
          let oh = first + r / 2u;
          d2 = d1; d1 = d0;
          d0 = load_dy4((plane + min(oh, params.OH - 1u)) * params.OW, ow, oh < end);
          k0 = add(k0, d0, v);
          k2 = add(k2, d1, v);
          k4 = add(k4, d2, v);
        }
        h++;
      }
    }
  }

  let mine = lid * TAPS;
  share(mine, k0); share(mine + 5u, k1); share(mine + 10u, k2); share(mine + 15u, k3); share(mine + 20u, k4);
  reduce_taps(lid, split, c);
}
