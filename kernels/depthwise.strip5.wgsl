// Depthwise convolution, NCHW: the strip forms for K = 5, S = 1 or 2. As in depthwise.strip3.wgsl a thread keeps all
// weights of its channel and walks down a strip 4 pixels wide. See depthwise.wgsl for the formula, the layout and the
// plain references.

const S: u32 = 1;        // stride
const THREADS: u32 = 64; // a workgroup

alias Stored = f32;    // how activations are kept: f16 where precision is f16

alias Strided = f32; // of a view: rows and columns lie where strides or keep-lists say
alias Kept = u32;      // a channel's number in the host, of a slim encoder's keep-list
const KEPT: bool = false;

struct Params {
  N: u32, C: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  P: u32,
  ldw: u32,
  rows: u32,   // of y, dx or dy that a strip covers
  turn: u32,   // 1: the kernel turned by 180 degrees
  splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, C, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (C, 1, K, K), ldw between channels
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, C, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, C, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, C, H, W)
@group(0) @binding(6) var<storage, read_write> partial: array<f32>; // (splits, C, K, K)
@group(0) @binding(7) var<storage, read> kept: array<Kept>;        // (C), where the channels are kept by a list

// Where a channel's kernel lies in the host's weight.
fn channel_at(c: u32) -> u32 {
  if (KEPT) { return kept[c] * params.ldw; }
  return c * params.ldw;
}

// A pixel of the row of x that starts at `row`; zero beyond its ends (negative columns wrap) and where there is no row.
fn pixel(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, f32(x[row + min(column, params.W - 1u)]), inside && column < params.W);
}

// 4 of them, S apart.
fn pixels(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(pixel(row, column, inside), pixel(row, column + S, inside),
               pixel(row, column + 2u * S, inside), pixel(row, column + 3u * S, inside));
}

// The same of dy.
fn slope(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, dy[row + min(column, params.OW - 1u)], inside && column < params.OW);
}

fn slopes(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(slope(row, column, inside), slope(row, column + 1u, inside),
               slope(row, column + 2u, inside), slope(row, column + 3u, inside));
}

fn store_y(at: u32, v: vec4f, count: u32) {
  y[at] = Stored(v.x);
  if (count > 1u) { y[at + 1u] = Stored(v.y); }
  if (count > 2u) { y[at + 2u] = Stored(v.z); }
  if (count > 3u) { y[at + 3u] = Stored(v.w); }
}

// A row of a 5 x 5 kernel, or of its gradient.
struct Row { inner: vec4f, last: f32 }

fn row_of(c: u32, ky: u32) -> Row {
  let at = channel_at(c);
  let k = ky * 5u;
  if (params.turn == 1u) {
    let inner = vec4f(weight[at + 24u - k], weight[at + 23u - k], weight[at + 22u - k], weight[at + 21u - k]);
    return Row(inner, weight[at + 20u - k]);
  }
  let inner = vec4f(weight[at + k], weight[at + k + 1u], weight[at + k + 2u], weight[at + k + 3u]);
  return Row(inner, weight[at + k + 4u]);
}

// What the five taps of a kernel row see of a row of x, for 4 outputs.
struct Window { inner: mat4x4f, last: vec4f }

fn window(nc: u32, h: u32, column: u32) -> Window {
  let inside = h < params.H;
  let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
  let a = pixels(row, column, inside);
  if (S == 2u) {
    let b = pixels(row, column + 1u, inside);
    let a4 = pixel(row, column + 8u, inside);
    let b4 = pixel(row, column + 9u, inside);
    let a5 = pixel(row, column + 10u, inside);
    return Window(mat4x4f(a, b, vec4f(a.yzw, a4), vec4f(b.yzw, b4)), vec4f(a.zw, a4, a5));
  }
  let b = pixels(row, column + 4u, inside);
  return Window(mat4x4f(a, vec4f(a.yzw, b.x), vec4f(a.zw, b.xy), vec4f(a.w, b.xyz)), b);
}

fn under(v: Window, taps: Row) -> vec4f {
  return v.inner * taps.inner + v.last * taps.last;
}

// Strip: one thread `rows` x 4 outputs, walking down. Sums of rows that are not complete yet stay in registers. The
// gradient of the input of stride 1 is the same with dy for x and the kernel turned (padding 4 - P).
@compute @workgroup_size(THREADS)
fn forward_strip(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let tiles = (params.OW + 3u) / 4u;
  let strips = (params.OH + params.rows - 1u) / params.rows;
  if (t >= params.N * params.C * strips * tiles) { return; }
  let q = t % tiles * 4u;
  let first = t / tiles % strips * params.rows;
  let nc = t / (tiles * strips);
  let c = nc % params.C;
  let taps0 = row_of(c, 0u);
  let taps1 = row_of(c, 1u);
  let taps2 = row_of(c, 2u);
  let taps3 = row_of(c, 3u);
  let taps4 = row_of(c, 4u);

  let column = q * S - params.P;
  let count = params.OW - q;
  let end = min(first + params.rows, params.OH);
  var h = first * S - params.P;
  var at = (nc * params.OH + first) * params.OW + q;
  // Sums of the row of y that is completed next, and of those after it.
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
    // Even rows of x lie under the rows 0, 2 and 4 of three windows; odd ones under 1 and 3 of the two not yet ended.
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

// What the five taps of a kernel row see of a row of dy from outputs that lie one to the right, level, and one to the
// left, for 4 pairs of inputs; S = 2, P = 2.
struct Slopes { right: vec4f, level: vec4f, left: vec4f }

fn slopes_around(row: u32, q: u32, inside: bool) -> Slopes {
  let level = slopes(row, q, inside);
  let right = vec4f(level.yzw, slope(row, q + 4u, inside));
  return Slopes(right, level, vec4f(slope(row, q - 1u, inside), level.xyz));
}

// An even column lies under the even taps of three outputs, an odd one under the odd taps of two.
fn even_columns(d: Slopes, taps: Row) -> vec4f {
  return taps.inner.x * d.right + taps.inner.z * d.level + taps.last * d.left;
}

fn odd_columns(d: Slopes, taps: Row) -> vec4f {
  return taps.inner.y * d.right + taps.inner.w * d.level;
}

// Strip, S = 2, P = 2: one thread 8 inputs of each of 2 * `rows` rows, from 6 neighbouring outputs of each row of dy.
// Rows lie under the kernel as columns do.
@compute @workgroup_size(THREADS)
fn backward_input_strip(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let tiles = (params.OW + 3u) / 4u;
  let strips = (params.OH + params.rows - 1u) / params.rows;
  if (t >= params.N * params.C * strips * tiles) { return; }
  let q = t % tiles * 4u;
  let first = t / tiles % strips * params.rows;
  let nc = t / (tiles * strips);
  let c = nc % params.C;
  let taps0 = row_of(c, 0u);
  let taps1 = row_of(c, 1u);
  let taps2 = row_of(c, 2u);
  let taps3 = row_of(c, 3u);
  let taps4 = row_of(c, 4u);

  let count = params.W - 2u * q;
  let plane = nc * params.OH;
  var above: Slopes;
  var level: Slopes;
  // The first two turns only fill `above` and `level`.
  for (var r = 0u; r < min(params.rows, params.OH - first) + 2u; r++) {
    let p = first + r - 1u; // of the row of dy below the level; wraps above the first one
    let below = slopes_around((plane + min(p, params.OH - 1u)) * params.OW, q, p < params.OH);
    if (r > 1u) {
      let at = (nc * params.H + 2u * (p - 1u)) * params.W + 2u * q;
      store_dx(
        at,
        even_columns(below, taps0) + even_columns(level, taps2) + even_columns(above, taps4),
        odd_columns(below, taps0) + odd_columns(level, taps2) + odd_columns(above, taps4),
        count,
      );
      if (2u * p - 1u < params.H) {
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

// What a row of dy adds to a row of the kernel's gradient.
fn add(sums: Row, d: vec4f, v: Window) -> Row {
  return Row(sums.inner + d * v.inner, sums.last + dot(d, v.last));
}

// Partials of a workgroup's threads, by thread and tap.
var<workgroup> shares: array<f32, THREADS * 25u>;

fn share(at: u32, sums: Row) {
  for (var kx = 0u; kx < 4u; kx++) { shares[at + kx] = sums.inner[kx]; }
  shares[at + 4u] = sums.last;
}

// Strip: one workgroup a channel and a split. Its threads take the images' strips of 4 outputs in turn, with the 25 sums
// in registers; then each tap's sums are added up in the order of the threads.
@compute @workgroup_size(THREADS)
fn backward_weight_strip(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.x + wid.y * num.x;
  let c = group % params.C;
  let split = group / params.C;
  let tiles = (params.OW + 3u) / 4u;
  let strips = (params.OH + params.rows - 1u) / params.rows;
  let items = select(0u, params.N * strips * tiles, split < params.splits);

  var k0: Row; var k1: Row; var k2: Row; var k3: Row; var k4: Row;
  for (var item = split * THREADS + lid; item < items; item += params.splits * THREADS) {
    let q = item % tiles * 4u;
    let first = item / tiles % strips * params.rows;
    let nc = item / (tiles * strips) * params.C + c;
    let column = q * S - params.P;
    let end = min(first + params.rows, params.OH);
    let plane = nc * params.OH;
    var h = first * S - params.P;
    if (S == 1u) {
      // Each row of x meets five rows of dy.
      var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f(); var d3 = vec4f(); var d4 = vec4f();
      for (var p = first; p < end + 4u; p++) {
        let v = window(nc, h, column);
        d4 = d3; d3 = d2; d2 = d1; d1 = d0;
        d0 = slopes((plane + min(p, params.OH - 1u)) * params.OW, q, p < end);
        k0 = add(k0, d0, v);
        k1 = add(k1, d1, v);
        k2 = add(k2, d2, v);
        k3 = add(k3, d3, v);
        k4 = add(k4, d4, v);
        h++;
      }
    } else {
      // Even rows of x meet three rows of dy, odd ones two.
      var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f();
      for (var r = 0u; r < 2u * (end - first) + 3u; r++) {
        let v = window(nc, h, column);
        if (r % 2u == 1u) {
          k1 = add(k1, d0, v);
          k3 = add(k3, d1, v);
        } else {
          let p = first + r / 2u;
          d2 = d1; d1 = d0;
          d0 = slopes((plane + min(p, params.OH - 1u)) * params.OW, q, p < end);
          k0 = add(k0, d0, v);
          k2 = add(k2, d1, v);
          k4 = add(k4, d2, v);
        }
        h++;
      }
    }
  }

  let mine = lid * 25u;
  share(mine, k0); share(mine + 5u, k1); share(mine + 10u, k2); share(mine + 15u, k3); share(mine + 20u, k4);
  workgroupBarrier();
  if (split >= params.splits) { return; }
  for (var tap = lid; tap < 25u; tap += THREADS) {
    var sum = 0f;
    for (var thread = 0u; thread < THREADS; thread++) { sum += shares[thread * 25u + tap]; }
    partial[(split * params.C + c) * 25u + tap] = sum;
  }
}
