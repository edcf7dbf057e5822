// The weight's gradient of a convolution with a 3x3 kernel, NCHW times OIHW, with subgroups: a thread walks down
// columns of 4 outputs with all nine taps in registers, so that a row of pixels is loaded once for three rows of the
// kernel. Rows are loaded in one place in a loop: with three, SwiftShader compiles for minutes.
// See conv2d.wgsl for the formula, the layout and the plain reference, and for the sum over the splits.

enable subgroups;

// Lanes that hold what all lanes need: 8, or 4 where subgroups are that small.
const SHARE: u32 = 8;
const S: u32 = 1;       // stride; backward_weight_few takes 1 or 2
const THREADS: u32 = 8; // a workgroup
alias Stored = f32;    // how activations are kept: f16 where precision is f16

struct Params {
  N: u32, I: u32, O: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  P: u32,
  splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, I, H, W)
@group(0) @binding(2) var<storage, read> dy: array<f32>;            // (N, O, OH, OW)
@group(0) @binding(3) var<storage, read_write> partial: array<f32>; // (splits, O, I, 3, 3)

// A pixel of the row of x that starts at `row`; zero beyond its ends (negative columns wrap) and where there is no row.
fn pixel(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, f32(x[row + min(column, params.W - 1u)]), inside && column < params.W);
}

// Where row h of a channel begins; of no row, the last one.
fn row_of(n: u32, i: u32, h: u32) -> u32 { return ((n * params.I + i) * params.H + min(h, params.H - 1u)) * params.W; }

// Four neighbouring outputs' slopes; zero where they overhang their row.
fn slopes(row: u32, q: u32) -> vec4f {
  let last = params.OW - 1u;
  return vec4f(dy[row + q],
               select(0f, dy[row + min(q + 1u, last)], q + 1u <= last),
               select(0f, dy[row + min(q + 2u, last)], q + 2u <= last),
               select(0f, dy[row + min(q + 3u, last)], q + 3u <= last));
}

// The pixels of a row under each of the three taps of a kernel row, for 4 neighbouring outputs.
struct Window { first: vec4f, second: vec4f, third: vec4f }

fn window(n: u32, i: u32, h: u32, left: u32) -> Window {
  let inside = h < params.H;
  let row = row_of(n, i, h);
  let a = vec4f(pixel(row, left, inside), pixel(row, left + S, inside),
                pixel(row, left + 2u * S, inside), pixel(row, left + 3u * S, inside));
  if (S == 1u) {
    let b = vec4f(a.yzw, pixel(row, left + 4u, inside));
    return Window(a, b, vec4f(b.yzw, pixel(row, left + 5u, inside)));
  }
  let b = vec4f(pixel(row, left + 1u, inside), pixel(row, left + S + 1u, inside),
                pixel(row, left + 2u * S + 1u, inside), pixel(row, left + 3u * S + 1u, inside));
  if (S == 2u) { return Window(a, b, vec4f(a.yzw, pixel(row, left + 8u, inside))); }
  return Window(a, b, vec4f(pixel(row, left + 2u, inside), pixel(row, left + S + 2u, inside),
                            pixel(row, left + 2u * S + 2u, inside), pixel(row, left + 3u * S + 2u, inside)));
}

// The gradient of a 3x3 kernel, by rows.
struct Nine { k0: vec3f, k1: vec3f, k2: vec3f }

fn under(slope: vec4f, v: Window) -> vec3f {
  return vec3f(dot(slope, v.first), dot(slope, v.second), dot(slope, v.third));
}

fn add(nine: Nine, slope: vec4f, top: Window, middle: Window, bottom: Window) -> Nine {
  return Nine(nine.k0 + under(slope, top), nine.k1 + under(slope, middle), nine.k2 + under(slope, bottom));
}

// One thread per input channel x 8 output channels x split: a workgroup's threads read the same dy. A split has its
// share of the columns of all images. Each thread writes partials of its own; backward_weight_sum adds them up.
@compute @workgroup_size(THREADS)
fn backward_weight_tile(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = wid.x + wid.y * num.x;
  let groups = (params.I + THREADS - 1u) / THREADS;
  let octets = (params.O + 7u) / 8u;
  let channel = group % groups * THREADS + lid;
  let i = min(channel, params.I - 1u);
  let o = group / groups % octets * 8u;
  let split = group / (groups * octets);

  let tiles = (params.OW + 3u) / 4u;
  let columns = params.N * tiles;
  let share = (columns + params.splits - 1u) / params.splits;
  let plane = params.OH * params.OW;
  let rows = (params.OH - 1u) * S + 3u; // that the outputs see
  let held_at = min(o + lane % SHARE + SHARE * vec2u(0u, 1u), vec2u(params.O - 1u)) * plane;
  var c0: Nine; var c1: Nine; var c2: Nine; var c3: Nine;
  var c4: Nine; var c5: Nine; var c6: Nine; var c7: Nine;
  for (var column = split * share; column < min((split + 1u) * share, columns); column++) {
    let n = column / tiles;
    let q = column % tiles * 4u;
    let left = q * S - params.P;
    let base = n * params.O * plane;
    var top: Window;
    var middle: Window;
    var bottom: Window;
    for (var r = 0u; r < rows; r++) {
      top = middle;
      middle = bottom;
      bottom = window(n, i, r - params.P, left);
      if (r < 2u || r % S != 2u % S) { continue; }
      let at = base + (r - 2u) / S * params.OW;
      let a = slopes(at + held_at.x, q);
      var b = a;
      if (SHARE == 4u) { b = slopes(at + held_at.y, q); }
      c0 = add(c0, subgroupBroadcast(a, 0u), top, middle, bottom);
      c1 = add(c1, subgroupBroadcast(a, 1u), top, middle, bottom);
      c2 = add(c2, subgroupBroadcast(a, 2u), top, middle, bottom);
      c3 = add(c3, subgroupBroadcast(a, 3u), top, middle, bottom);
      c4 = add(c4, subgroupBroadcast(b, 4u % SHARE), top, middle, bottom);
      c5 = add(c5, subgroupBroadcast(b, 5u % SHARE), top, middle, bottom);
      c6 = add(c6, subgroupBroadcast(b, 6u % SHARE), top, middle, bottom);
      c7 = add(c7, subgroupBroadcast(b, 7u % SHARE), top, middle, bottom);
    }
  }

  if (channel >= params.I || split >= params.splits) { return; }
  for (var r = 0u; r < min(8u, params.O - o); r++) {
    store(split, o + r, i, c0);
    c0 = c1; c1 = c2; c2 = c3; c3 = c4; c4 = c5; c5 = c6; c6 = c7;
  }
}

fn store(split: u32, o: u32, i: u32, nine: Nine) {
  let at = ((split * params.O + o) * params.I + i) * 9u;
  partial[at] = nine.k0.x;
  partial[at + 1u] = nine.k0.y;
  partial[at + 2u] = nine.k0.z;
  partial[at + 3u] = nine.k1.x;
  partial[at + 4u] = nine.k1.y;
  partial[at + 5u] = nine.k1.z;
  partial[at + 6u] = nine.k2.x;
  partial[at + 7u] = nine.k2.y;
  partial[at + 8u] = nine.k2.z;
}

// Pixels of a row that 4 neighbouring outputs see.
const WIDE: u32 = 3u * S + 3u;

// The pixels of three input channels in the columns that a lane holds: column c is [c / SHARE] of lane c % SHARE.
fn hold(n: u32, i: u32, h: u32, left: u32, lane: u32) -> mat3x3f {
  let inside = h < params.H;
  let last = params.I - 1u;
  let rows = vec3u(row_of(n, i, h), row_of(n, min(i + 1u, last), h), row_of(n, min(i + 2u, last), h));
  let column = left + lane % SHARE;
  var held = mat3x3f();
  held[0] = pixels(rows, column, inside);
  if (WIDE > SHARE) { held[1] = pixels(rows, column + SHARE, inside); }
  if (WIDE > 2u * SHARE) { held[2] = pixels(rows, column + 2u * SHARE, inside); }
  return held;
}

fn pixels(rows: vec3u, column: u32, inside: bool) -> vec3f {
  return vec3f(pixel(rows.x, column, inside), pixel(rows.y, column, inside), pixel(rows.z, column, inside));
}

// A row of the kernels of three input channels.
struct Three { a: vec3f, b: vec3f, c: vec3f }

// What the slopes of two output channels add to it: the first output channel's, then the second's.
struct Both { first: Three, second: Three }

fn add_row(sums: Both, slope: vec4f, slope2: vec4f, held: mat3x3f) -> Both {
  let p0 = subgroupBroadcast(held[0u / SHARE], 0u % SHARE);
  let p1 = subgroupBroadcast(held[1u / SHARE], 1u % SHARE);
  let p2 = subgroupBroadcast(held[2u / SHARE], 2u % SHARE);
  let p3 = subgroupBroadcast(held[3u / SHARE], 3u % SHARE);
  let p4 = subgroupBroadcast(held[4u / SHARE], 4u % SHARE);
  let p5 = subgroupBroadcast(held[5u / SHARE], 5u % SHARE);
  var v = mat3x4f(vec4f(p0.x, p1.x, p2.x, p3.x), vec4f(p0.y, p1.y, p2.y, p3.y), vec4f(p0.z, p1.z, p2.z, p3.z));
  var e = mat3x2f(vec2f(p4.x, p5.x), vec2f(p4.y, p5.y), vec2f(p4.z, p5.z));
  var a = Window(v[0], vec4f(v[0].yzw, e[0].x), vec4f(v[0].zw, e[0]));
  var b = Window(v[1], vec4f(v[1].yzw, e[1].x), vec4f(v[1].zw, e[1]));
  var c = Window(v[2], vec4f(v[2].yzw, e[2].x), vec4f(v[2].zw, e[2]));
  if (S == 2u) {
    let p6 = subgroupBroadcast(held[6u / SHARE], 6u % SHARE);
    let p7 = subgroupBroadcast(held[7u / SHARE], 7u % SHARE);
    let p8 = subgroupBroadcast(held[8u / SHARE], 8u % SHARE);
    a = Window(vec4f(p0.x, p2.x, p4.x, p6.x), vec4f(p1.x, p3.x, p5.x, p7.x), vec4f(p2.x, p4.x, p6.x, p8.x));
    b = Window(vec4f(p0.y, p2.y, p4.y, p6.y), vec4f(p1.y, p3.y, p5.y, p7.y), vec4f(p2.y, p4.y, p6.y, p8.y));
    c = Window(vec4f(p0.z, p2.z, p4.z, p6.z), vec4f(p1.z, p3.z, p5.z, p7.z), vec4f(p2.z, p4.z, p6.z, p8.z));
  }
  let first = sums.first;
  let second = sums.second;
  return Both(Three(first.a + under(slope, a), first.b + under(slope, b), first.c + under(slope, c)),
              Three(second.a + under(slope2, a), second.b + under(slope2, b), second.c + under(slope2, c)));
}

// For few input channels, which would leave lanes of the above idle: one thread per 2 output channels x 3 input
// channels x split. A workgroup's threads read the same pixels, a column a lane, and hand them round.
@compute @workgroup_size(THREADS)
fn backward_weight_few(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = wid.x + wid.y * num.x;
  let groups = (params.O + 2u * THREADS - 1u) / (2u * THREADS);
  let triples = (params.I + 2u) / 3u;
  let channel = group % groups * 2u * THREADS + lid;
  let i = group / groups % triples * 3u;
  let split = group / (groups * triples);

  let tiles = (params.OW + 3u) / 4u;
  let columns = params.N * tiles;
  let share = (columns + params.splits - 1u) / params.splits;
  let plane = params.OH * params.OW;
  let rows = (params.OH - 1u) * S + 3u; // that the outputs see
  let mine = min(vec2u(channel, channel + THREADS), vec2u(params.O - 1u)) * plane;
  var k0: Both; var k1: Both; var k2: Both;
  for (var column = split * share; column < min((split + 1u) * share, columns); column++) {
    let n = column / tiles;
    let q = column % tiles * 4u;
    let left = q * S - params.P;
    let base = n * params.O * plane + mine;
    var top: mat3x3f;
    var middle: mat3x3f;
    var bottom: mat3x3f;
    for (var r = 0u; r < rows; r++) {
      top = middle;
      middle = bottom;
      bottom = hold(n, i, r - params.P, left, lane);
      if (r < 2u || r % S != 2u % S) { continue; }
      let at = base + (r - 2u) / S * params.OW;
      let a = slopes(at.x, q);
      let b = slopes(at.y, q);
      k0 = add_row(k0, a, b, top);
      k1 = add_row(k1, a, b, middle);
      k2 = add_row(k2, a, b, bottom);
    }
  }

  if (split >= params.splits) { return; }
  store_three(split, channel, i, k0.first, k1.first, k2.first);
  store_three(split, channel + THREADS, i, k0.second, k1.second, k2.second);
}

fn store_three(split: u32, o: u32, i: u32, k0: Three, k1: Three, k2: Three) {
  if (o >= params.O) { return; }
  store(split, o, i, Nine(k0.a, k1.a, k2.a));
  if (i + 1u < params.I) { store(split, o, i + 1u, Nine(k0.b, k1.b, k2.b)); }
  if (i + 2u < params.I) { store(split, o, i + 2u, Nine(k0.c, k1.c, k2.c)); }
}
