// Depthwise convolution, NCHW, no bias: channel c of y sees only channel c of x. Any kernel size, stride and padding.
//
//   y[n,c,p,q] = sum over ky, kx of x[n, c, p*S + ky - P, q*S + kx - P] * weight[c,ky,kx]
//
// N batch, C channels, H W input, OH OW output, K kernel side, S stride, P padding. A slim encoder's weight is the
// host's first C channels; ldw is the distance between channels.
//
// Each pass has a plain form (one thread a result: the reference and the documentation), a row form for any K and S
// (4 pixels of a row slide under the kernel), and for K = 3, S = 1 or 2 (forward also K = 5, S = 1) a strip form: a
// thread keeps all weights and walks down a strip 4 pixels wide, so that each pixel of x is loaded once a strip.

const K: u32 = 3;        // kernel side
const S: u32 = 1;        // stride
const THREADS: u32 = 64; // a workgroup

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
@group(0) @binding(1) var<storage, read> x: array<f32>;             // (N, C, H, W)
@group(0) @binding(2) var<storage, read> weight: array<f32>;        // (C, 1, K, K), ldw between channels
@group(0) @binding(3) var<storage, read_write> y: array<f32>;       // (N, C, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, C, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, C, H, W)
@group(0) @binding(6) var<storage, read_write> dweight: array<f32>; // (C, 1, K, K), ldw as above; added to
@group(0) @binding(7) var<storage, read_write> partial: array<f32>; // (splits, C, K, K)

// Plain: one thread an output pixel.
@compute @workgroup_size(THREADS)
fn forward(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  if (t >= params.N * params.C * params.OH * params.OW) { return; }
  let q = t % params.OW;
  let p = t / params.OW % params.OH;
  let nc = t / (params.OW * params.OH);
  let c = nc % params.C;

  var sum = 0f;
  for (var ky = 0u; ky < K; ky++) {
    for (var kx = 0u; kx < K; kx++) {
      // Unsigned: a tap above or left of the image wraps round and fails the same test as one below or right of it.
      let h = p * S + ky - params.P;
      let w = q * S + kx - params.P;
      if (h < params.H && w < params.W) {
        sum += x[(nc * params.H + h) * params.W + w] * weight[c * params.ldw + ky * K + kx];
      }
    }
  }
  y[t] = sum;
}

// Plain: one thread an input pixel, which gathers every output that saw it, so nothing races.
@compute @workgroup_size(THREADS)
fn backward_input(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  if (t >= params.N * params.C * params.H * params.W) { return; }
  let w = t % params.W;
  let h = t / params.W % params.H;
  let nc = t / (params.W * params.H);
  let c = nc % params.C;

  var sum = 0f;
  for (var ky = 0u; ky < K; ky++) {
    for (var kx = 0u; kx < K; kx++) {
      let down = h + params.P - ky;
      let right = w + params.P - kx;
      // A wrapped (negative) distance is huge, and stays beyond OH or OW after the division.
      if (down % S == 0u && right % S == 0u && down / S < params.OH && right / S < params.OW) {
        sum += dy[(nc * params.OH + down / S) * params.OW + right / S] * weight[c * params.ldw + ky * K + kx];
      }
    }
  }
  dx[t] = sum;
}

// Plain: one thread a weight, over the whole batch.
@compute @workgroup_size(THREADS)
fn backward_weight(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  if (t >= params.C * K * K) { return; }
  let kx = t % K;
  let ky = t / K % K;
  let c = t / (K * K);

  var sum = 0f;
  for (var n = 0u; n < params.N; n++) {
    for (var p = 0u; p < params.OH; p++) {
      for (var q = 0u; q < params.OW; q++) {
        let h = p * S + ky - params.P;
        let w = q * S + kx - params.P;
        if (h < params.H && w < params.W) {
          let nc = n * params.C + c;
          sum += x[(nc * params.H + h) * params.W + w] * dy[(nc * params.OH + p) * params.OW + q];
        }
      }
    }
  }
  dweight[c * params.ldw + ky * K + kx] += sum;
}

// A pixel of the row of x that starts at `row`; zero beyond its ends (negative columns wrap) and where there is no row.
fn pixel(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, x[row + min(column, params.W - 1u)], inside && column < params.W);
}

// 4 of them, S apart.
fn pixels(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(
    pixel(row, column, inside),
    pixel(row, column + S, inside),
    pixel(row, column + 2u * S, inside),
    pixel(row, column + 3u * S, inside),
  );
}

// The same of dy.
fn slope(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, dy[row + min(column, params.OW - 1u)], inside && column < params.OW);
}

fn slopes(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(
    slope(row, column, inside),
    slope(row, column + 1u, inside),
    slope(row, column + 2u, inside),
    slope(row, column + 3u, inside),
  );
}

fn store_y(at: u32, v: vec4f, count: u32) {
  y[at] = v.x;
  if (count > 1u) { y[at + 1u] = v.y; }
  if (count > 2u) { y[at + 2u] = v.z; }
  if (count > 3u) { y[at + 3u] = v.w; }
}

// Row: one thread 4 neighbouring outputs of a row.
@compute @workgroup_size(THREADS)
fn forward_row(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let tiles = (params.OW + 3u) / 4u;
  if (t >= params.N * params.C * params.OH * tiles) { return; }
  let q = t % tiles * 4u;
  let p = t / tiles % params.OH;
  let nc = t / (tiles * params.OH);
  let taps = nc % params.C * params.ldw;

  var sum = vec4f();
  let left = q * S - params.P;
  for (var ky = 0u; ky < K; ky++) {
    let h = p * S + ky - params.P;
    let inside = h < params.H;
    let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
    // Columns S apart follow one another under kx, kx + S, kx + 2S ...: one new pixel a step.
    for (var phase = 0u; phase < min(S, K); phase++) {
      var column = left + phase;
      var window = vec4f(
        0f,
        pixel(row, column, inside),
        pixel(row, column + S, inside),
        pixel(row, column + 2u * S, inside),
      );
      column += 3u * S;
      for (var kx = phase; kx < K; kx += S) {
        window = vec4f(window.yzw, pixel(row, column, inside));
        column += S;
        sum += weight[taps + ky * K + kx] * window;
      }
    }
  }
  store_y((nc * params.OH + p) * params.OW + q, sum, params.OW - q);
}

// Row: one thread 4 inputs of a row, S apart. Inputs S apart see the same taps of different outputs, so a row falls
// into S phases.
@compute @workgroup_size(THREADS)
fn backward_input_row(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let tiles = ((params.W + S - 1u) / S + 3u) / 4u;
  if (t >= params.N * params.C * params.H * S * tiles) { return; }
  let right = t / tiles % S;
  let w = t % tiles * 4u * S + right;
  let h = t / (tiles * S) % params.H;
  let nc = t / (tiles * S * params.H);
  let taps = nc % params.C * params.ldw;

  var sum = vec4f();
  let q0 = (w + params.P) / S;
  for (var ky = (h + params.P) % S; ky < K; ky += S) {
    let p = (h + params.P) / S - ky / S;
    let inside = p < params.OH;
    let row = (nc * params.OH + min(p, params.OH - 1u)) * params.OW;
    var window = vec4f(slope(row, q0 + 1u, inside), slope(row, q0 + 2u, inside), slope(row, q0 + 3u, inside), 0f);
    for (var kx = (right + params.P) % S; kx < K; kx += S) {
      window = vec4f(slope(row, q0 - kx / S, inside), window.xyz);
      sum += weight[taps + ky * K + kx] * window;
    }
  }
  if (w >= params.W) { return; }
  let at = (nc * params.H + h) * params.W + w;
  dx[at] = sum.x;
  if (w + S < params.W) { dx[at + S] = sum.y; }
  if (w + 2u * S < params.W) { dx[at + 2u * S] = sum.z; }
  if (w + 3u * S < params.W) { dx[at + 3u * S] = sum.w; }
}

// What the three taps of a kernel row see of a row of x, for 4 outputs.
struct Window { left: vec4f, middle: vec4f, right: vec4f }

fn window(nc: u32, h: u32, column: u32) -> Window {
  let inside = h < params.H;
  let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
  var v: Window;
  v.left = pixels(row, column, inside);
  if (S == 1u) {
    v.middle = vec4f(v.left.yzw, pixel(row, column + 4u, inside));
    v.right = vec4f(v.middle.yzw, pixel(row, column + 5u, inside));
  } else {
    v.middle = pixels(row, column + 1u, inside);
    v.right = vec4f(v.left.yzw, pixel(row, column + 8u, inside));
  }
  return v;
}

fn under(v: Window, taps: vec3f) -> vec4f {
  return taps.x * v.left + taps.y * v.middle + taps.z * v.right;
}

fn taps_of(c: u32, ky: u32) -> vec3f {
  let at = c * params.ldw;
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

// 4 neighbouring sums under one row of a 5 x 5 kernel, of a row of x as 8 pixels; S = 1.
struct Taps5 { inner: vec4f, last: f32 }

fn under5(left: vec4f, right: vec4f, taps: Taps5) -> vec4f {
  return taps.inner.x * left
    + taps.inner.y * vec4f(left.yzw, right.x)
    + taps.inner.z * vec4f(left.zw, right.xy)
    + taps.inner.w * vec4f(left.w, right.xyz)
    + taps.last * right;
}

fn taps5_of(c: u32, ky: u32) -> Taps5 {
  let at = c * params.ldw;
  let k = ky * 5u;
  if (params.turn == 1u) {
    let inner = vec4f(weight[at + 24u - k], weight[at + 23u - k], weight[at + 22u - k], weight[at + 21u - k]);
    return Taps5(inner, weight[at + 20u - k]);
  }
  let inner = vec4f(weight[at + k], weight[at + k + 1u], weight[at + k + 2u], weight[at + k + 3u]);
  return Taps5(inner, weight[at + k + 4u]);
}

// Strip, K = 5, S = 1: as above (for the gradient of the input, padding 4 - P).
@compute @workgroup_size(THREADS)
fn forward_strip5(
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
  let taps0 = taps5_of(c, 0u);
  let taps1 = taps5_of(c, 1u);
  let taps2 = taps5_of(c, 2u);
  let taps3 = taps5_of(c, 3u);
  let taps4 = taps5_of(c, 4u);

  let column = q - params.P;
  let count = params.OW - q;
  let end = min(first + params.rows, params.OH);
  var h = first - params.P;
  var at = (nc * params.OH + first) * params.OW + q;
  // Sums of the row of y that the next row of x ends, and of the three after it.
  var now = vec4f();
  var next1 = vec4f();
  var next2 = vec4f();
  var next3 = vec4f();
  for (var r = 0u; r < end - first + 4u; r++) {
    let inside = h < params.H;
    let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
    let left = pixels(row, column, inside);
    let right = pixels(row, column + 4u, inside);
    if (r > 3u) {
      store_y(at, now + under5(left, right, taps4), count);
      at += params.OW;
    }
    now = next1 + under5(left, right, taps3);
    next1 = next2 + under5(left, right, taps2);
    next2 = next3 + under5(left, right, taps1);
    next3 = under5(left, right, taps0);
    h++;
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

// The pixels of x under the next tap, from those under the tap S before it: they move on by one.
fn slide(previous: vec4f, row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(previous.yzw, pixel(row, column + 3u * S, inside));
}

// Row: one workgroup a channel, a split, and up to 7 neighbouring taps of a kernel row. Its threads take tiles of 4
// outputs in turn; then each tap's sums are added up in the order of the threads.
@compute @workgroup_size(THREADS)
fn backward_weight_row(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.x + wid.y * num.x;
  let parts = (K + 6u) / 7u;
  let kx = group % parts * 7u;
  let ky = group / parts % K;
  let c = group / (parts * K) % params.C;
  let split = group / (parts * K * params.C);
  let tiles = (params.OW + 3u) / 4u;
  let items = select(0u, params.N * params.OH * tiles, split < params.splits);

  var a0 = 0f; var a1 = 0f; var a2 = 0f; var a3 = 0f; var a4 = 0f; var a5 = 0f; var a6 = 0f;
  for (var item = split * THREADS + lid; item < items; item += params.splits * THREADS) {
    let q = item % tiles * 4u;
    let p = item / tiles % params.OH;
    let nc = item / (tiles * params.OH) * params.C + c;
    let d = slopes((nc * params.OH + p) * params.OW, q, true);
    let h = p * S + ky - params.P;
    let inside = h < params.H;
    let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
    let left = q * S + kx - params.P;
    let x0 = pixels(row, left, inside);
    a0 += dot(d, x0);
    if (K > 1u) {
      var x1: vec4f;
      if (S == 1u) { x1 = slide(x0, row, left + 1u, inside); } else { x1 = pixels(row, left + 1u, inside); }
      a1 += dot(d, x1);
      if (K > 2u) {
        var x2: vec4f;
        if (S == 1u) { x2 = slide(x1, row, left + 2u, inside); }
        else if (S == 2u) { x2 = slide(x0, row, left + 2u, inside); }
        else { x2 = pixels(row, left + 2u, inside); }
        a2 += dot(d, x2);
        if (K > 3u) {
          var x3: vec4f;
          if (S == 1u) { x3 = slide(x2, row, left + 3u, inside); }
          else if (S == 2u) { x3 = slide(x1, row, left + 3u, inside); }
          else { x3 = pixels(row, left + 3u, inside); }
          a3 += dot(d, x3);
          if (K > 4u) {
            var x4: vec4f;
            if (S == 1u) { x4 = slide(x3, row, left + 4u, inside); }
            else if (S == 2u) { x4 = slide(x2, row, left + 4u, inside); }
            else { x4 = pixels(row, left + 4u, inside); }
            a4 += dot(d, x4);
            if (K > 5u) {
              var x5: vec4f;
              if (S == 1u) { x5 = slide(x4, row, left + 5u, inside); }
              else if (S == 2u) { x5 = slide(x3, row, left + 5u, inside); }
              else { x5 = pixels(row, left + 5u, inside); }
              a5 += dot(d, x5);
              if (K > 6u) {
                var x6: vec4f;
                if (S == 1u) { x6 = slide(x5, row, left + 6u, inside); }
                else if (S == 2u) { x6 = slide(x4, row, left + 6u, inside); }
                else { x6 = pixels(row, left + 6u, inside); }
                a6 += dot(d, x6);
              }
            }
          }
        }
      }
    }
  }

  let mine = lid * 7u;
  shares[mine] = a0; shares[mine + 1u] = a1; shares[mine + 2u] = a2; shares[mine + 3u] = a3;
  shares[mine + 4u] = a4; shares[mine + 5u] = a5; shares[mine + 6u] = a6;
  workgroupBarrier();
  if (split >= params.splits) { return; }
  for (var tap = lid; tap < min(7u, K - kx); tap += THREADS) {
    var sum = 0f;
    for (var thread = 0u; thread < THREADS; thread++) { sum += shares[thread * 7u + tap]; }
    partial[((split * params.C + c) * K + ky) * K + kx + tap] = sum;
  }
}

// One thread a weight: adds its partials to the gradient, in the order of the splits.
@compute @workgroup_size(THREADS)
fn backward_weight_sum(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let count = params.C * K * K;
  if (t >= count) { return; }
  var sum = 0f;
  for (var split = 0u; split < params.splits; split++) { sum += partial[split * count + t]; }
  dweight[t / (K * K) * params.ldw + t % (K * K)] += sum;
}
