// Convolution, NCHW times OIHW, any kernel side and stride: register tile. Reference: conv2d.wgsl, where the formulas and
// the letters are.
//
// A thread keeps four pixels of a row for eight channels in registers, loads each pixel of a row once and slides the window
// of four under the kernel. All threads of a workgroup use the same weights, at addresses that depend on the workgroup
// alone, which GPUs load once. With subgroups conv2d.subgroup.wgsl is faster.
// Threads: each writes its own outputs, inputs or partial sums, so nothing races.

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

// ---- Forward

// One thread per four neighboring outputs of a row x 8 output channels. A workgroup has one octet of channels; its threads
// run over tiles of a row, rows and images, so that a workgroup larger than a map takes several images.
@compute @workgroup_size(THREADS)
fn forward_window(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
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
  let w0 = row_at(o);
  let w1 = row_at(min(o + 1u, last));
  let w2 = row_at(min(o + 2u, last));
  let w3 = row_at(min(o + 3u, last));
  let w4 = row_at(min(o + 4u, last));
  let w5 = row_at(min(o + 5u, last));
  let w6 = row_at(min(o + 6u, last));
  let w7 = row_at(min(o + 7u, last));
  var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
  var c4 = vec4f(); var c5 = vec4f(); var c6 = vec4f(); var c7 = vec4f();

  let left = tile * 4u * S - params.pad;
  for (var i = 0u; i < params.I; i++) {
    for (var kh = 0u; kh < k; kh++) {
      let h = oh * S + kh - params.pad;
      let inside = h < params.H;
      let row = ((n * params.I + i) * params.H + min(h, params.H - 1u)) * params.W;
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
          c0 += weight[w0 + tap] * window;
          c1 += weight[w1 + tap] * window;
          c2 += weight[w2 + tap] * window;
          c3 += weight[w3 + tap] * window;
          c4 += weight[w4 + tap] * window;
          c5 += weight[w5 + tap] * window;
          c6 += weight[w6 + tap] * window;
          c7 += weight[w7 + tap] * window;
        }
      }
    }
  }

  if (!live || o >= params.O) { return; }
  let plane = params.OH * params.OW;
  let ow = tile * 4u;
  let count = min(4u, params.OW - ow);
  let at = ((n * params.O + o) * params.OH + oh) * params.OW + ow;
  let octet = min(8u, params.O - o);
  store_y(at, c0, count);
  if (octet > 1u) { store_y(at + plane, c1, count); }
  if (octet > 2u) { store_y(at + 2u * plane, c2, count); }
  if (octet > 3u) { store_y(at + 3u * plane, c3, count); }
  if (octet > 4u) { store_y(at + 4u * plane, c4, count); }
  if (octet > 5u) { store_y(at + 5u * plane, c5, count); }
  if (octet > 6u) { store_y(at + 6u * plane, c6, count); }
  if (octet > 7u) { store_y(at + 7u * plane, c7, count); }
}

// ---- Gradient of the input

// One thread per four inputs of a row, S apart, x 8 input channels. Inputs S apart are under the same taps kh, kw of
// different outputs, so rows and columns fall into S x S phases; a workgroup has one phase and one octet of channels.
@compute @workgroup_size(THREADS)
fn backward_input_window(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
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
  let w0 = column_at(min(i, last));
  let w1 = column_at(min(i + 1u, last));
  let w2 = column_at(min(i + 2u, last));
  let w3 = column_at(min(i + 3u, last));
  let w4 = column_at(min(i + 4u, last));
  let w5 = column_at(min(i + 5u, last));
  let w6 = column_at(min(i + 6u, last));
  let w7 = column_at(min(i + 7u, last));
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
      var window = vec4f(load_dy(row, ow0 + 1u, inside), load_dy(row, ow0 + 2u, inside), load_dy(row, ow0 + 3u, inside), 0f);
      for (var kw = kw0; kw < k; kw += S) {
        window = vec4f(load_dy(row, ow0 - kw / S, inside), window.xyz);
        let tap = row_at(o) + kh * k + kw;
        c0 += weight[w0 + tap] * window;
        c1 += weight[w1 + tap] * window;
        c2 += weight[w2 + tap] * window;
        c3 += weight[w3 + tap] * window;
        c4 += weight[w4 + tap] * window;
        c5 += weight[w5 + tap] * window;
        c6 += weight[w6 + tap] * window;
        c7 += weight[w7 + tap] * window;
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

// One thread per up to three neighboring taps of a kernel row x 8 output channels x one input channel, over one split of the
// rows of dy. A workgroup has one octet of output channels and one split, so its threads read the same dy. Each thread
// writes its own partial sums; backward_weight_sum of conv2d.wgsl adds them up.
@compute @workgroup_size(THREADS)
fn backward_weight_window(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
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
  let d0 = min(o, last) * plane;
  let d1 = min(o + 1u, last) * plane;
  let d2 = min(o + 2u, last) * plane;
  let d3 = min(o + 3u, last) * plane;
  let d4 = min(o + 4u, last) * plane;
  let d5 = min(o + 5u, last) * plane;
  let d6 = min(o + 6u, last) * plane;
  let d7 = min(o + 7u, last) * plane;
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
      let ow1 = min(ow + 1u, params.OW - 1u);
      let ow2 = min(ow + 2u, params.OW - 1u);
      let ow3 = min(ow + 3u, params.OW - 1u);
      // Beyond the end of the row dy repeats its last pixel and x is zero.
      let overhang = vec4u(ow, ow + 1u, ow + 2u, ow + 3u) >= vec4u(params.OW);
      let x0 = select(v.first, vec4f(), overhang);
      let x1 = select(v.second, vec4f(), overhang);
      let x2 = select(v.third, vec4f(), overhang);
      var d = vec4f(dy[base + d0 + ow], dy[base + d1 + ow], dy[base + d2 + ow], dy[base + d3 + ow]);
      var e = vec4f(dy[base + d4 + ow], dy[base + d5 + ow], dy[base + d6 + ow], dy[base + d7 + ow]);
      a0 += x0.x * d;
      a1 += x1.x * d;
      a2 += x2.x * d;
      b0 += x0.x * e;
      b1 += x1.x * e;
      b2 += x2.x * e;
      d = vec4f(dy[base + d0 + ow1], dy[base + d1 + ow1], dy[base + d2 + ow1], dy[base + d3 + ow1]);
      e = vec4f(dy[base + d4 + ow1], dy[base + d5 + ow1], dy[base + d6 + ow1], dy[base + d7 + ow1]);
      a0 += x0.y * d;
      a1 += x1.y * d;
      a2 += x2.y * d;
      b0 += x0.y * e;
      b1 += x1.y * e;
      b2 += x2.y * e;
      d = vec4f(dy[base + d0 + ow2], dy[base + d1 + ow2], dy[base + d2 + ow2], dy[base + d3 + ow2]);
      e = vec4f(dy[base + d4 + ow2], dy[base + d5 + ow2], dy[base + d6 + ow2], dy[base + d7 + ow2]);
      a0 += x0.z * d;
      a1 += x1.z * d;
      a2 += x2.z * d;
      b0 += x0.z * e;
      b1 += x1.z * e;
      b2 += x2.z * e;
      d = vec4f(dy[base + d0 + ow3], dy[base + d1 + ow3], dy[base + d2 + ow3], dy[base + d3 + ow3]);
      e = vec4f(dy[base + d4 + ow3], dy[base + d5 + ow3], dy[base + d6 + ow3], dy[base + d7 + ow3]);
      a0 += x0.w * d;
      a1 += x1.w * d;
      a2 += x2.w * d;
      b0 += x0.w * e;
      b1 += x1.w * e;
      b2 += x2.w * e;
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
