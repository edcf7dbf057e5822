// Depthwise convolution, NCHW: the strip forms for K = 3, S = 1 or 2; for K = 5 see depthwise.strip5.wgsl. A thread keeps
// all weights of its channel and walks down a strip 4 pixels wide, so that each pixel of x is loaded once a strip and
// not once a tap. See depthwise.wgsl for the formula, the layout and the plain references.

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

// What the three taps of a kernel row see of a row of x, for 4 outputs.
struct Window { left: vec4f, middle: vec4f, right: vec4f }

fn window(nc: u32, h: u32, column: u32) -> Window {
  let inside = h < params.H;
  let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
  let left = pixels(row, column, inside);
  if (S == 2u) {
    return Window(left, pixels(row, column + 1u, inside), vec4f(left.yzw, pixel(row, column + 8u, inside)));
  }
  let middle = vec4f(left.yzw, pixel(row, column + 4u, inside));
  return Window(left, middle, vec4f(middle.yzw, pixel(row, column + 5u, inside)));
}

fn under(v: Window, taps: vec3f) -> vec4f {
  return taps.x * v.left + taps.y * v.middle + taps.z * v.right;
}

fn taps_of(c: u32, ky: u32) -> vec3f {
  let at = channel_at(c);
  let k = ky * 3u;
  if (params.turn == 1u) { return vec3f(weight[at + 8u - k], weight[at + 7u - k], weight[at + 6u - k]); }
  return vec3f(weight[at + k], weight[at + k + 1u], weight[at + k + 2u]);
}

// Strip, K = 3, S = 1 or 2: one thread `rows` x 4 outputs, walking down. Sums of rows that are not complete yet stay in
// registers. The gradient of the input of stride 1 is the same with dy for x and the kernel turned (padding 2 - P).
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
  let top = taps_of(c, 0u);
  let middle = taps_of(c, 1u);
  let bottom = taps_of(c, 2u);

  let column = q * S - params.P;
  let count = params.OW - q;
  let end = min(first + params.rows, params.OH);
  var h = first * S - params.P;
  var at = (nc * params.OH + first) * params.OW + q;
  if (S == 1u) {
    // Each row of x ends one row of y, lies under the middle of the next and begins the one after.
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
    // Even rows end one row of y and begin the next; odd ones lie under the middle of one.
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

// Strip, K = 3, S = 2, P = 1: one thread 8 inputs of each of 2 * `rows` rows, from 5 neighbouring outputs of each row
// of dy. An even row or column lies under the middle tap of one output, an odd one under the outer taps of two.
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
  let top = taps_of(c, 0u);
  let middle = taps_of(c, 1u);
  let bottom = taps_of(c, 2u);

  let count = params.W - 2u * q;
  let end = min(first + params.rows, params.OH);
  var row = (nc * params.OH + first) * params.OW;
  var d = slopes(row, q, true);
  var e = vec4f(d.yzw, slope(row, q + 4u, true));
  for (var p = first; p < end; p++) {
    let at = (nc * params.H + 2u * p) * params.W + 2u * q;
    store_dx(at, middle.y * d, middle.z * d + middle.x * e, count);
    let inside = p + 1u < params.OH;
    row = select(row, row + params.OW, inside);
    let below = slopes(row, q, inside);
    let right = vec4f(below.yzw, slope(row, q + 4u, inside));
    if (2u * p + 1u < params.H) {
      let odd = bottom.z * d + bottom.x * e + top.z * below + top.x * right;
      store_dx(at + params.W, bottom.y * d + top.y * below, odd, count);
    }
    d = below;
    e = right;
  }
}

// Partials of a workgroup's threads, by thread and tap.
var<workgroup> shares: array<f32, THREADS * 9u>;

// Strip, K = 3, S = 1 or 2: one workgroup a channel and a split. Its threads take the images' strips of 4 outputs in
// turn, with the 9 sums in registers; then each tap's sums are added up in the order of the threads.
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

  var a0 = 0f; var a1 = 0f; var a2 = 0f;
  var b0 = 0f; var b1 = 0f; var b2 = 0f;
  var c0 = 0f; var c1 = 0f; var c2 = 0f;
  for (var item = split * THREADS + lid; item < items; item += params.splits * THREADS) {
    let q = item % tiles * 4u;
    let first = item / tiles % strips * params.rows;
    let nc = item / (tiles * strips) * params.C + c;
    let column = q * S - params.P;
    let end = min(first + params.rows, params.OH);
    var h = first * S - params.P;
    var row = (nc * params.OH + first) * params.OW;
    if (S == 1u) {
      // Each row of x meets three rows of dy: its own, the one before and the one before that.
      var d1 = vec4f();
      var d2 = vec4f();
      for (var p = first; p < end + 2u; p++) {
        let v = window(nc, h, column);
        let inside = p < end;
        let d = slopes(select(0u, row, inside), q, inside);
        a0 += dot(d, v.left); a1 += dot(d, v.middle); a2 += dot(d, v.right);
        b0 += dot(d1, v.left); b1 += dot(d1, v.middle); b2 += dot(d1, v.right);
        c0 += dot(d2, v.left); c1 += dot(d2, v.middle); c2 += dot(d2, v.right);
        d2 = d1;
        d1 = d;
        row += params.OW;
        h++;
      }
    } else {
      // Even rows of x end one row of dy and begin the next; odd ones lie under the middle of one.
      var d = vec4f();
      for (var r = 0u; r <= 2u * (end - first); r++) {
        let v = window(nc, h, column);
        if (r % 2u == 1u) {
          b0 += dot(d, v.left); b1 += dot(d, v.middle); b2 += dot(d, v.right);
        } else {
          c0 += dot(d, v.left); c1 += dot(d, v.middle); c2 += dot(d, v.right);
          let inside = r < 2u * (end - first);
          d = slopes(select(0u, row, inside), q, inside);
          a0 += dot(d, v.left); a1 += dot(d, v.middle); a2 += dot(d, v.right);
          row += params.OW;
        }
        h++;
      }
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
