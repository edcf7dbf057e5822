// Convolution, NCHW times OIHW, any kernel side and stride, for devices with subgroups: conv2d.window.wgsl, except that each
// lane loads the operand of one of eight channels, which reaches the others by subgroupBroadcast. Reference: conv2d.wgsl,
// where the formulas and the letters are. LANES 8 needs subgroups of at least 8; with LANES 4 two loads make the eight.
// Threads: each writes its own outputs, inputs or partial sums, so nothing races.

enable subgroups;

const LANES: u32 = 8;    // lanes that hold an operand
const k: u32 = 3;        // kernel side
const S: u32 = 1;        // stride
const THREADS: u32 = 64; // threads of a workgroup

alias Stored = f32; // activations in memory: f16 with precision 'f16'

// <shared slice_rows_columns>
alias Strided = f32;              // element of a slice: strides or lists of kept channels say where it lies
alias Kept = u32;                 // number of a kept channel in the host
const KEPT_ROWS: bool = false;    // true where kept_rows is bound
const KEPT_COLUMNS: bool = false; // true where kept_columns is bound
// </shared>

// <shared window_bindings>
struct Params {
  N: u32, I: u32, O: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  pad: u32,
  ldw: u32,    // stride of the weight between output channels
  splits: u32, // backward_weight: parts of the sum over rows of dy
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, I, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (O, I, k, k), ldw between rows
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, O, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, O, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, I, H, W)
@group(0) @binding(6) var<storage, read_write> partial: array<f32>; // (splits, O, I, k, k)
@group(0) @binding(7) var<storage, read> kept_rows: array<Kept>;    // (O), optional: the kept rows of the weight
@group(0) @binding(8) var<storage, read> kept_columns: array<Kept>; // (I), optional: its kept columns
// </shared>

// <shared weight_offsets>
// Offsets of an output channel's and of an input channel's k x k kernels in the host's weight.
fn row_at(o: u32) -> u32 {
  if (KEPT_ROWS) { return kept_rows[o] * params.ldw; }
  return o * params.ldw;
}
fn column_at(i: u32) -> u32 {
  if (KEPT_COLUMNS) { return kept_columns[i] * k * k; }
  return i * k * k;
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

// <shared load_dy>
// Pixel of the row of dy that starts at offset `row`; zero left and right of it, and where the row itself is outside.
fn load_dy(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, dy[row + min(column, params.OW - 1u)], inside && column < params.OW);
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

// <shared store_dx_apart>
// Stores up to four inputs of a row, S apart, at least one.
fn store_dx(at: u32, v: vec4f, count: u32) {
  dx[at] = v.x;
  if (count > 1u) { dx[at + S] = v.y; }
  if (count > 2u) { dx[at + 2u * S] = v.z; }
  if (count > 3u) { dx[at + 3u * S] = v.w; }
}
// </shared>

// <shared store_partial3>
// Stores the partial sums of up to three neighboring taps of a kernel row, at least one.
fn store_partial(at: u32, first: f32, second: f32, third: f32, taps: u32) {
  partial[at] = first;
  if (taps > 1u) { partial[at + 1u] = second; }
  if (taps > 2u) { partial[at + 2u] = third; }
}
// </shared>

// Products of a kernel row and the pixels under it.
fn under(v: Taps3, taps: vec3f) -> vec4f {
  return taps.x * v.first + taps.y * v.second + taps.z * v.third;
}

// ---- Forward

// One thread per four neighboring outputs of a row x 8 output channels. A workgroup has one octet of channels; its threads
// run over tiles of a row, rows and images, so that a workgroup larger than a map takes several images.
@compute @workgroup_size(THREADS)
fn forward_window(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = workgroup_index(wid, num);
  let octets = (params.O + 7u) / 8u;
  let tiles = (params.OW + 3u) / 4u;
  let o = group % octets * 8u;
  let t = group / octets * THREADS + lid;
  let tile = t % tiles;
  let oh = t / tiles % params.OH;
  let live = t < tiles * params.OH * params.N;
  let n = min(t / (tiles * params.OH), params.N - 1u);

  let last = params.O - 1u;
  let wa = row_at(min(o + (lane & (LANES - 1u)), last));
  let wb = row_at(min(o + 4u + (lane & 3u), last));
  var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
  var c4 = vec4f(); var c5 = vec4f(); var c6 = vec4f(); var c7 = vec4f();

  let left = tile * 4u * S - params.pad;
  // One loop over input channels and kernel rows: as two, the inner one is unrolled, which takes three times as long to compile.
  for (var r = 0u; r < params.I * k; r++) {
    let i = r / k;
    let kh = r % k;
    let h = oh * S + kh - params.pad;
    let inside = h < params.H;
    let row = ((n * params.I + i) * params.H + min(h, params.H - 1u)) * params.W;
    if (k == 3u) {
      // All three taps at once, so that a sum is loaded and stored once for the three of them.
      let v = load_taps3(row, left, inside);
      let tap = column_at(i) + kh * k;
      let a = vec3f(weight[wa + tap], weight[wa + tap + 1u], weight[wa + tap + 2u]);
      var b = a;
      if (LANES == 4u) { b = vec3f(weight[wb + tap], weight[wb + tap + 1u], weight[wb + tap + 2u]); }
      c0 += under(v, subgroupBroadcast(a, 0u));
      c1 += under(v, subgroupBroadcast(a, 1u));
      c2 += under(v, subgroupBroadcast(a, 2u));
      c3 += under(v, subgroupBroadcast(a, 3u));
      c4 += under(v, subgroupBroadcast(b, 4u % LANES));
      c5 += under(v, subgroupBroadcast(b, 5u % LANES));
      c6 += under(v, subgroupBroadcast(b, 6u % LANES));
      c7 += under(v, subgroupBroadcast(b, 7u % LANES));
    } else {
      // Under taps kw, kw + S, kw + 2S ... the columns move on by one, so each step loads one pixel.
      for (var phase = 0u; phase < min(S, k); phase++) {
        var column = left + phase;
        var window = vec4f(
          0f,
          load_x(row, column, inside),
          load_x(row, column + S, inside),
          load_x(row, column + 2u * S, inside),
        );
        column += 3u * S;
        for (var kw = phase; kw < k; kw += S) {
          window = vec4f(window.yzw, load_x(row, column, inside));
          column += S;
          let tap = column_at(i) + kh * k + kw;
          let a = weight[wa + tap];
          var b = a;
          if (LANES == 4u) { b = weight[wb + tap]; }
          c0 += subgroupBroadcast(a, 0u) * window;
          c1 += subgroupBroadcast(a, 1u) * window;
          c2 += subgroupBroadcast(a, 2u) * window;
          c3 += subgroupBroadcast(a, 3u) * window;
          c4 += subgroupBroadcast(b, 4u % LANES) * window;
          c5 += subgroupBroadcast(b, 5u % LANES) * window;
          c6 += subgroupBroadcast(b, 6u % LANES) * window;
          c7 += subgroupBroadcast(b, 7u % LANES) * window;
        }
      }
    }
  }

  if (!live || o >= params.O) { return; }
  let plane = params.OH * params.OW;
  let ow = tile * 4u;
  let count = min(4u, params.OW - ow);
  var at = ((n * params.O + o) * params.OH + oh) * params.OW + ow;
  for (var r = o; r < min(o + 8u, params.O); r++) {
    store_y(at, c0, count);
    at += plane;
    c0 = c1; c1 = c2; c2 = c3; c3 = c4; c4 = c5; c5 = c6; c6 = c7;
  }
}

// ---- Gradient of the input

// One thread per four inputs of a row, S apart, x 8 input channels. Inputs S apart are under the same taps kh, kw of
// different outputs, so rows and columns fall into S x S phases; a workgroup has one phase and one octet of channels.
@compute @workgroup_size(THREADS)
fn backward_input_window(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = workgroup_index(wid, num);
  let octets = (params.I + 7u) / 8u;
  let rows = (params.H + S - 1u) / S;
  let tiles = ((params.W + S - 1u) / S + 3u) / 4u;
  let i = group % octets * 8u;
  let down = group / octets % S;
  let right = group / (octets * S) % S;
  let t = group / (octets * S * S) * THREADS + lid;
  let tile = t % tiles;
  let strip = t / tiles % rows;
  let live = t < tiles * rows * params.N;
  let n = min(t / (tiles * rows), params.N - 1u);

  let last = params.I - 1u;
  let wa = column_at(min(i + (lane & (LANES - 1u)), last));
  let wb = column_at(min(i + 4u + (lane & 3u), last));
  var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
  var c4 = vec4f(); var c5 = vec4f(); var c6 = vec4f(); var c7 = vec4f();

  // The output whose tap (kh0, kw0) is over the tile's first input; each next tap of the phase is one output up or left.
  let kh0 = (down + params.pad) % S;
  let kw0 = (right + params.pad) % S;
  let oh0 = (down + params.pad) / S + strip;
  let ow0 = (right + params.pad) / S + tile * 4u;
  for (var o = 0u; o < params.O; o++) {
    for (var kh = kh0; kh < k; kh += S) {
      let oh = oh0 - kh / S;
      let inside = oh < params.OH;
      let row = ((n * params.O + o) * params.OH + min(oh, params.OH - 1u)) * params.OW;
      if (k == 3u && S == 1u) {
        var v: Taps3;
        v.third = vec4f(
          load_dy(row, ow0 - 2u, inside),
          load_dy(row, ow0 - 1u, inside),
          load_dy(row, ow0, inside),
          load_dy(row, ow0 + 1u, inside),
        );
        v.second = vec4f(v.third.yzw, load_dy(row, ow0 + 2u, inside));
        v.first = vec4f(v.second.yzw, load_dy(row, ow0 + 3u, inside));
        let tap = row_at(o) + kh * k;
        let a = vec3f(weight[wa + tap], weight[wa + tap + 1u], weight[wa + tap + 2u]);
        var b = a;
        if (LANES == 4u) { b = vec3f(weight[wb + tap], weight[wb + tap + 1u], weight[wb + tap + 2u]); }
        c0 += under(v, subgroupBroadcast(a, 0u));
        c1 += under(v, subgroupBroadcast(a, 1u));
        c2 += under(v, subgroupBroadcast(a, 2u));
        c3 += under(v, subgroupBroadcast(a, 3u));
        c4 += under(v, subgroupBroadcast(b, 4u % LANES));
        c5 += under(v, subgroupBroadcast(b, 5u % LANES));
        c6 += under(v, subgroupBroadcast(b, 6u % LANES));
        c7 += under(v, subgroupBroadcast(b, 7u % LANES));
      } else {
        var window = vec4f(load_dy(row, ow0 + 1u, inside), load_dy(row, ow0 + 2u, inside), load_dy(row, ow0 + 3u, inside), 0f);
        for (var kw = kw0; kw < k; kw += S) {
          window = vec4f(load_dy(row, ow0 - kw / S, inside), window.xyz);
          let tap = row_at(o) + kh * k + kw;
          let a = weight[wa + tap];
          var b = a;
          if (LANES == 4u) { b = weight[wb + tap]; }
          c0 += subgroupBroadcast(a, 0u) * window;
          c1 += subgroupBroadcast(a, 1u) * window;
          c2 += subgroupBroadcast(a, 2u) * window;
          c3 += subgroupBroadcast(a, 3u) * window;
          c4 += subgroupBroadcast(b, 4u % LANES) * window;
          c5 += subgroupBroadcast(b, 5u % LANES) * window;
          c6 += subgroupBroadcast(b, 6u % LANES) * window;
          c7 += subgroupBroadcast(b, 7u % LANES) * window;
        }
      }
    }
  }

  let h = strip * S + down;
  let w = tile * 4u * S + right;
  if (!live || h >= params.H || w >= params.W) { return; }
  let plane = params.H * params.W;
  let count = min(4u, (params.W - w + S - 1u) / S);
  let at = ((n * params.I + i) * params.H + h) * params.W + w;
  let octet = min(8u, params.I - i);
  store_dx(at, c0, count);
  if (octet > 1u) { store_dx(at + plane, c1, count); }
  if (octet > 2u) { store_dx(at + 2u * plane, c2, count); }
  if (octet > 3u) { store_dx(at + 3u * plane, c3, count); }
  if (octet > 4u) { store_dx(at + 4u * plane, c4, count); }
  if (octet > 5u) { store_dx(at + 5u * plane, c5, count); }
  if (octet > 6u) { store_dx(at + 6u * plane, c6, count); }
  if (octet > 7u) { store_dx(at + 7u * plane, c7, count); }
}

// ---- Gradient of the weight: split reduction

// Values of the first four of eight channels, and of the last four.
fn lower(u: f32) -> vec4f {
  return vec4f(subgroupBroadcast(u, 0u), subgroupBroadcast(u, 1u), subgroupBroadcast(u, 2u), subgroupBroadcast(u, 3u));
}
fn upper(w: f32) -> vec4f {
  return vec4f(subgroupBroadcast(w, 4u % LANES), subgroupBroadcast(w, 5u % LANES),
               subgroupBroadcast(w, 6u % LANES), subgroupBroadcast(w, 7u % LANES));
}

// One thread per up to three neighboring taps of a kernel row x 8 output channels x one input channel, over one split of the
// rows of dy. A workgroup has one octet of output channels and one split, so its threads read the same dy. Each thread
// writes its own partial sums; backward_weight_sum of conv2d.wgsl adds them up.
@compute @workgroup_size(THREADS)
fn backward_weight_window(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = workgroup_index(wid, num);
  let triples = (k + 2u) / 3u;
  let threads = params.I * k * triples;
  let groups = (threads + THREADS - 1u) / THREADS;
  let octets = (params.O + 7u) / 8u;
  let t = group % groups * THREADS + lid;
  let live = t < threads;
  let kw = t % triples * 3u;
  let kh = t / triples % k;
  let i = min(t / (triples * k), params.I - 1u);
  let o = group / groups % octets * 8u;
  let split = group / (groups * octets);

  let last = params.O - 1u;
  let plane = params.OH * params.OW;
  let da = min(o + (lane & (LANES - 1u)), last) * plane;
  let db = min(o + 4u + (lane & 3u), last) * plane;
  var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f();
  var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f();

  let rows = params.N * params.OH;
  let share = (rows + params.splits - 1u) / params.splits;
  for (var r = split * share; r < min((split + 1u) * share, rows); r++) {
    let n = r / params.OH;
    let oh = r % params.OH;
    let h = oh * S + kh - params.pad;
    let inside = h < params.H;
    let row = ((n * params.I + i) * params.H + min(h, params.H - 1u)) * params.W;
    let base = n * params.O * plane + oh * params.OW;
    for (var ow = 0u; ow < params.OW; ow += 4u) {
      let v = load_taps3(row, ow * S + kw - params.pad, inside);
      // Beyond the end of the row dy is zero.
      let overhang = vec4u(ow, ow + 1u, ow + 2u, ow + 3u) >= vec4u(params.OW);
      let ow1 = min(ow + 1u, params.OW - 1u);
      let ow2 = min(ow + 2u, params.OW - 1u);
      let ow3 = min(ow + 3u, params.OW - 1u);
      let ua = base + da;
      let u = select(vec4f(dy[ua + ow], dy[ua + ow1], dy[ua + ow2], dy[ua + ow3]), vec4f(), overhang);
      var w = u;
      if (LANES == 4u) {
        let va = base + db;
        w = select(vec4f(dy[va + ow], dy[va + ow1], dy[va + ow2], dy[va + ow3]), vec4f(), overhang);
      }
      var d = lower(u.x);
      var e = upper(w.x);
      a0 += v.first.x * d;
      a1 += v.second.x * d;
      a2 += v.third.x * d;
      b0 += v.first.x * e;
      b1 += v.second.x * e;
      b2 += v.third.x * e;
      d = lower(u.y);
      e = upper(w.y);
      a0 += v.first.y * d;
      a1 += v.second.y * d;
      a2 += v.third.y * d;
      b0 += v.first.y * e;
      b1 += v.second.y * e;
      b2 += v.third.y * e;
      d = lower(u.z);
      e = upper(w.z);
      a0 += v.first.z * d;
      a1 += v.second.z * d;
      a2 += v.third.z * d;
      b0 += v.first.z * e;
      b1 += v.second.z * e;
      b2 += v.third.z * e;
      d = lower(u.w);
      e = upper(w.w);
      a0 += v.first.w * d;
      a1 += v.second.w * d;
      a2 += v.third.w * d;
      b0 += v.first.w * e;
      b1 += v.second.w * e;
      b2 += v.third.w * e;
    }
  }

  let at = ((split * params.O + o) * params.I + i) * k * k + kh * k + kw;
  let stride = params.I * k * k;
  let octet = min(8u, params.O - min(o, params.O));
  if (!live || split >= params.splits) { return; }
  let taps = min(3u, k - kw);
  if (octet > 0u) { store_partial(at, a0.x, a1.x, a2.x, taps); }
  if (octet > 1u) { store_partial(at + stride, a0.y, a1.y, a2.y, taps); }
  if (octet > 2u) { store_partial(at + 2u * stride, a0.z, a1.z, a2.z, taps); }
  if (octet > 3u) { store_partial(at + 3u * stride, a0.w, a1.w, a2.w, taps); }
  if (octet > 4u) { store_partial(at + 4u * stride, b0.x, b1.x, b2.x, taps); }
  if (octet > 5u) { store_partial(at + 5u * stride, b0.y, b1.y, b2.y, taps); }
  if (octet > 6u) { store_partial(at + 6u * stride, b0.z, b1.z, b2.z, taps); }
  if (octet > 7u) { store_partial(at + 7u * stride, b0.w, b1.w, b2.w, taps); }
}
