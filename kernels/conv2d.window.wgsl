// Convolution, NCHW times OIHW: the window forms. See conv2d.wgsl for the formula, the layout and the plain references.
//
// A thread keeps 4 pixels of a row for 8 channels in registers, loads each pixel of a row's window once and slides it
// under the kernel. All threads of a workgroup want the same weights, so those addresses depend on the workgroup alone:
// hardware fetches them once. Where there are subgroups, conv2d.subgroup.wgsl is faster.

const K: u32 = 3;        // kernel side
const S: u32 = 1;        // stride
const THREADS: u32 = 64; // a workgroup

alias Stored = f32;    // how activations are kept: f16 where precision is f16

alias Strided = f32; // of a view: rows and columns lie where strides or keep-lists say
alias Kept = u32;      // a channel's number in the host, of a slim encoder's keep-list
const KEPT_ROWS: bool = false;
const KEPT_COLUMNS: bool = false;

struct Params {
  N: u32, I: u32, O: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  P: u32,
  ldw: u32,
  splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, I, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (O, I, K, K), ldw between rows
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, O, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, O, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, I, H, W)
@group(0) @binding(6) var<storage, read_write> partial: array<f32>; // (splits, O, I, K, K)
@group(0) @binding(7) var<storage, read> kept_rows: array<Kept>;    // (O), where the weight's rows are kept by a list
@group(0) @binding(8) var<storage, read> kept_columns: array<Kept>; // (I), its columns likewise

// Where an output channel's and an input channel's kernels lie in the host's weight.
fn row_at(o: u32) -> u32 {
  if (KEPT_ROWS) { return kept_rows[o] * params.ldw; }
  return o * params.ldw;
}
fn column_at(i: u32) -> u32 {
  if (KEPT_COLUMNS) { return kept_columns[i] * K * K; }
  return i * K * K;
}

// A pixel of the row of x that starts at `row`; zero beyond its ends (negative columns wrap) and where there is no row.
fn pixel(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, f32(x[row + min(column, params.W - 1u)]), inside && column < params.W);
}

// The 4 pixels under each of three neighbouring taps, which share pixels where the stride is 1 or 2.
struct Triple { first: vec4f, second: vec4f, third: vec4f }

fn triple(row: u32, column: u32, inside: bool) -> Triple {
  var v: Triple;
  v.first = every_s(row, column, inside);
  if (S == 1u) {
    v.second = vec4f(v.first.yzw, pixel(row, column + 4u, inside));
    v.third = vec4f(v.second.yzw, pixel(row, column + 5u, inside));
  } else {
    v.second = every_s(row, column + 1u, inside);
    if (S == 2u) {
      v.third = vec4f(v.first.yzw, pixel(row, column + 8u, inside));
    } else {
      v.third = every_s(row, column + 2u, inside);
    }
  }
  return v;
}

fn every_s(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(
    pixel(row, column, inside),
    pixel(row, column + S, inside),
    pixel(row, column + 2u * S, inside),
    pixel(row, column + 3u * S, inside),
  );
}

// Window: one thread 4 neighbouring outputs of a row for 8 output channels. A workgroup has one octet of channels; its
// threads run over row tiles, rows and images alike, so that maps smaller than a workgroup fill it with further images.
@compute @workgroup_size(THREADS)
fn forward_window(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.x + wid.y * num.x;
  let octets = (params.O + 7u) / 8u;
  let tiles = (params.OW + 3u) / 4u;
  let o = group % octets * 8u;
  let t = group / octets * THREADS + lid;
  let tile = t % tiles;
  let p = t / tiles % params.OH;
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

  let left = tile * 4u * S - params.P;
  for (var i = 0u; i < params.I; i++) {
    for (var ky = 0u; ky < K; ky++) {
      let h = p * S + ky - params.P;
      let inside = h < params.H;
      let row = ((n * params.I + i) * params.H + min(h, params.H - 1u)) * params.W;
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
          let tap = column_at(i) + ky * K + kx;
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
  let q = tile * 4u;
  let count = min(4u, params.OW - q);
  let at = ((n * params.O + o) * params.OH + p) * params.OW + q;
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

fn store_y(at: u32, v: vec4f, count: u32) {
  y[at] = Stored(v.x);
  if (count > 1u) { y[at + 1u] = Stored(v.y); }
  if (count > 2u) { y[at + 2u] = Stored(v.z); }
  if (count > 3u) { y[at + 3u] = Stored(v.w); }
}

// A pixel of the row of dy that starts at `row`; zero beyond its ends and where there is no row.
fn slope(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, dy[row + min(column, params.OW - 1u)], inside && column < params.OW);
}

// Window: one thread 4 inputs of a row, S apart, for 8 input channels. Inputs S apart see the same taps ky, kx of
// different outputs, so rows and columns fall into S x S phases; a workgroup has one phase and one octet of channels.
@compute @workgroup_size(THREADS)
fn backward_input_window(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.x + wid.y * num.x;
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

  // The output under tap (ky0, kx0) of the tile's first input; each further tap of the phase is one output up or left.
  let ky0 = (down + params.P) % S;
  let kx0 = (right + params.P) % S;
  let p0 = (down + params.P) / S + strip;
  let q0 = (right + params.P) / S + tile * 4u;
  for (var o = 0u; o < params.O; o++) {
    for (var ky = ky0; ky < K; ky += S) {
      let p = p0 - ky / S;
      let inside = p < params.OH;
      let row = ((n * params.O + o) * params.OH + min(p, params.OH - 1u)) * params.OW;
      var window = vec4f(slope(row, q0 + 1u, inside), slope(row, q0 + 2u, inside), slope(row, q0 + 3u, inside), 0f);
      for (var kx = kx0; kx < K; kx += S) {
        window = vec4f(slope(row, q0 - kx / S, inside), window.xyz);
        let tap = row_at(o) + ky * K + kx;
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

fn store_dx(at: u32, v: vec4f, count: u32) {
  dx[at] = v.x;
  if (count > 1u) { dx[at + S] = v.y; }
  if (count > 2u) { dx[at + 2u * S] = v.z; }
  if (count > 3u) { dx[at + 3u * S] = v.w; }
}

// Window: one thread up to 3 neighbouring taps of a kernel row for 8 output channels and one input channel, over one
// share of the rows of dy. A workgroup has one octet of output channels and one split, so its threads read the same dy.
// Each thread writes partials of its own; backward_weight_sum adds them up.
@compute @workgroup_size(THREADS)
fn backward_weight_window(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.x + wid.y * num.x;
  let triples = (K + 2u) / 3u;
  let threads = params.I * K * triples;
  let groups = (threads + THREADS - 1u) / THREADS;
  let octets = (params.O + 7u) / 8u;
  let t = group % groups * THREADS + lid;
  let live = t < threads;
  let kx = t % triples * 3u;
  let ky = t / triples % K;
  let i = min(t / (triples * K), params.I - 1u);
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
    let p = r % params.OH;
    let h = p * S + ky - params.P;
    let inside = h < params.H;
    let row = ((n * params.I + i) * params.H + min(h, params.H - 1u)) * params.W;
    let base = n * params.O * plane + p * params.OW;
    for (var q = 0u; q < params.OW; q += 4u) {
      let v = triple(row, q * S + kx - params.P, inside);
      let q1 = min(q + 1u, params.OW - 1u);
      let q2 = min(q + 2u, params.OW - 1u);
      let q3 = min(q + 3u, params.OW - 1u);
      // Where the tile overhangs its row, dy repeats its last pixel and x counts as zero.
      let overhang = vec4u(q, q + 1u, q + 2u, q + 3u) >= vec4u(params.OW);
      let x0 = select(v.first, vec4f(), overhang);
      let x1 = select(v.second, vec4f(), overhang);
      let x2 = select(v.third, vec4f(), overhang);
      var d = vec4f(dy[base + d0 + q], dy[base + d1 + q], dy[base + d2 + q], dy[base + d3 + q]);
      var e = vec4f(dy[base + d4 + q], dy[base + d5 + q], dy[base + d6 + q], dy[base + d7 + q]);
      a0 += x0.x * d;
      a1 += x1.x * d;
      a2 += x2.x * d;
      b0 += x0.x * e;
      b1 += x1.x * e;
      b2 += x2.x * e;
      d = vec4f(dy[base + d0 + q1], dy[base + d1 + q1], dy[base + d2 + q1], dy[base + d3 + q1]);
      e = vec4f(dy[base + d4 + q1], dy[base + d5 + q1], dy[base + d6 + q1], dy[base + d7 + q1]);
      a0 += x0.y * d;
      a1 += x1.y * d;
      a2 += x2.y * d;
      b0 += x0.y * e;
      b1 += x1.y * e;
      b2 += x2.y * e;
      d = vec4f(dy[base + d0 + q2], dy[base + d1 + q2], dy[base + d2 + q2], dy[base + d3 + q2]);
      e = vec4f(dy[base + d4 + q2], dy[base + d5 + q2], dy[base + d6 + q2], dy[base + d7 + q2]);
      a0 += x0.z * d;
      a1 += x1.z * d;
      a2 += x2.z * d;
      b0 += x0.z * e;
      b1 += x1.z * e;
      b2 += x2.z * e;
      d = vec4f(dy[base + d0 + q3], dy[base + d1 + q3], dy[base + d2 + q3], dy[base + d3 + q3]);
      e = vec4f(dy[base + d4 + q3], dy[base + d5 + q3], dy[base + d6 + q3], dy[base + d7 + q3]);
      a0 += x0.w * d;
      a1 += x1.w * d;
      a2 += x2.w * d;
      b0 += x0.w * e;
      b1 += x1.w * e;
      b2 += x2.w * e;
    }
  }

  let at = ((split * params.O + o) * params.I + i) * K * K + ky * K + kx;
  let stride = params.I * K * K;
  let octet = min(8u, params.O - min(o, params.O));
  if (!live || split >= params.splits) { return; }
  let taps = min(3u, K - kx);
  if (octet > 0u) { store_partial(at, a0.x, a1.x, a2.x, taps); }
  if (octet > 1u) { store_partial(at + stride, a0.y, a1.y, a2.y, taps); }
  if (octet > 2u) { store_partial(at + 2u * stride, a0.z, a1.z, a2.z, taps); }
  if (octet > 3u) { store_partial(at + 3u * stride, a0.w, a1.w, a2.w, taps); }
  if (octet > 4u) { store_partial(at + 4u * stride, b0.x, b1.x, b2.x, taps); }
  if (octet > 5u) { store_partial(at + 5u * stride, b0.y, b1.y, b2.y, taps); }
  if (octet > 6u) { store_partial(at + 6u * stride, b0.z, b1.z, b2.z, taps); }
  if (octet > 7u) { store_partial(at + 7u * stride, b0.w, b1.w, b2.w, taps); }
}

fn store_partial(at: u32, first: f32, second: f32, third: f32, taps: u32) {
  partial[at] = first;
  if (taps > 1u) { partial[at + 1u] = second; }
  if (taps > 2u) { partial[at + 2u] = third; }
}
