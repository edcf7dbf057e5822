// Weight gradient of a 3x3 convolution, NCHW, for devices with subgroups, as partial sums of `splits` parts of the batch:
//   partial[split,o,i,kh,kw] = Σ x[n, i, oh S + kh - pad, ow S + kw - pad] dy[n,o,oh,ow]
// Reference: backward_weight of conv2d.wgsl, where the letters are; its backward_weight_sum adds up the splits.
//
// A thread walks down columns of four outputs with all nine taps in registers, so that a row of pixels is loaded once for
// the three rows of the kernel. Rows are loaded in one place in a loop: with three, SwiftShader takes minutes to compile.
// Threads: each writes its own partial sums, so there are no data races.

enable subgroups;

// Lanes that hold the operand that all lanes need: 8, or 4 where subgroups are that small.
const SHARE: u32 = 8;
const S: u32 = 1;       // stride; backward_weight_few takes 1 or 2
const THREADS: u32 = 8; // threads of a workgroup
alias Stored = f32; // activations in memory: f16 with precision 'f16'

struct Params {
  N: u32, I: u32, O: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  pad: u32,
  splits: u32, // parts of the sum over the columns of all images
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, I, H, W)
@group(0) @binding(2) var<storage, read> dy: array<f32>;            // (N, O, OH, OW)
@group(0) @binding(3) var<storage, read_write> partial: array<f32>; // (splits, O, I, 3, 3)

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

// Offset of row h of a channel; rows outside are clamped to the last one.
fn row_of(n: u32, i: u32, h: u32) -> u32 { return ((n * params.I + i) * params.H + min(h, params.H - 1u)) * params.W; }

// dy of four neighboring outputs; zero beyond the end of the row.
fn load_dy4(row: u32, ow: u32) -> vec4f {
  let last = params.OW - 1u;
  return vec4f(dy[row + ow],
               select(0f, dy[row + min(ow + 1u, last)], ow + 1u <= last),
               select(0f, dy[row + min(ow + 2u, last)], ow + 2u <= last),
               select(0f, dy[row + min(ow + 3u, last)], ow + 3u <= last));
}

fn window(n: u32, i: u32, h: u32, left: u32) -> Taps3 {
  return load_taps3(row_of(n, i, h), left, h < params.H);
}

// ---- Many input channels

// Gradient of a 3x3 kernel, by rows.
struct Nine { k0: vec3f, k1: vec3f, k2: vec3f }

// Products of four outputs' dy and the pixels under a row of taps.
fn under(d: vec4f, v: Taps3) -> vec3f {
  return vec3f(dot(d, v.first), dot(d, v.second), dot(d, v.third));
}

fn add(nine: Nine, d: vec4f, top: Taps3, middle: Taps3, bottom: Taps3) -> Nine {
  return Nine(nine.k0 + under(d, top), nine.k1 + under(d, middle), nine.k2 + under(d, bottom));
}

// One thread per input channel x 8 output channels x split. A workgroup's threads share dy: each lane loads one or two of
// the channels, which reach the others by subgroupBroadcast. A split has its share of the columns of all images.
@compute @workgroup_size(THREADS)
fn backward_weight_tile(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = workgroup_index(wid, num);
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
  let rows = (params.OH - 1u) * S + 3u; // of x that the outputs read
  let held_at = min(o + lane % SHARE + SHARE * vec2u(0u, 1u), vec2u(params.O - 1u)) * plane;
  var c0: Nine; var c1: Nine; var c2: Nine; var c3: Nine;
  var c4: Nine; var c5: Nine; var c6: Nine; var c7: Nine;
  for (var column = split * share; column < min((split + 1u) * share, columns); column++) {
    let n = column / tiles;
    let ow = column % tiles * 4u;
    let left = ow * S - params.pad;
    let base = n * params.O * plane;
    var top: Taps3;
    var middle: Taps3;
    var bottom: Taps3;
    for (var r = 0u; r < rows; r++) {
      top = middle;
      middle = bottom;
      bottom = window(n, i, r - params.pad, left);
      if (r < 2u || r % S != 2u % S) { continue; }
      let at = base + (r - 2u) / S * params.OW;
      let a = load_dy4(at + held_at.x, ow);
      var b = a;
      if (SHARE == 4u) { b = load_dy4(at + held_at.y, ow); }
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

// ---- Few input channels

// Pixels of a row that four neighboring outputs read.
const WIDE: u32 = 3u * S + 3u;

// Pixels of three input channels in the columns that a lane holds: column c is [c / SHARE] of lane c % SHARE.
fn hold(n: u32, i: u32, h: u32, left: u32, lane: u32) -> mat3x3f {
  let inside = h < params.H;
  let last = params.I - 1u;
  let rows = vec3u(row_of(n, i, h), row_of(n, min(i + 1u, last), h), row_of(n, min(i + 2u, last), h));
  let column = left + lane % SHARE;
  var held = mat3x3f();
  held[0] = load_x3(rows, column, inside);
  if (WIDE > SHARE) { held[1] = load_x3(rows, column + SHARE, inside); }
  if (WIDE > 2u * SHARE) { held[2] = load_x3(rows, column + 2u * SHARE, inside); }
  return held;
}

fn load_x3(rows: vec3u, column: u32, inside: bool) -> vec3f {
  return vec3f(load_x(rows.x, column, inside), load_x(rows.y, column, inside), load_x(rows.z, column, inside));
}

// Gradient of a kernel row, of three input channels.
struct Three { a: vec3f, b: vec3f, c: vec3f }

// The same of two output channels.
struct Both { first: Three, second: Three }

// Adds the products of dy of two output channels, d and d2, and a row of pixels.
fn add_row(sums: Both, d: vec4f, d2: vec4f, held: mat3x3f) -> Both {
  let p0 = subgroupBroadcast(held[0u / SHARE], 0u % SHARE);
  let p1 = subgroupBroadcast(held[1u / SHARE], 1u % SHARE);
  let p2 = subgroupBroadcast(held[2u / SHARE], 2u % SHARE);
  let p3 = subgroupBroadcast(held[3u / SHARE], 3u % SHARE);
  let p4 = subgroupBroadcast(held[4u / SHARE], 4u % SHARE);
  let p5 = subgroupBroadcast(held[5u / SHARE], 5u % SHARE);
  var v = mat3x4f(vec4f(p0.x, p1.x, p2.x, p3.x), vec4f(p0.y, p1.y, p2.y, p3.y), vec4f(p0.z, p1.z, p2.z, p3.z));
  var e = mat3x2f(vec2f(p4.x, p5.x), vec2f(p4.y, p5.y), vec2f(p4.z, p5.z));
  var a = Taps3(v[0], vec4f(v[0].yzw, e[0].x), vec4f(v[0].zw, e[0]));
  var b = Taps3(v[1], vec4f(v[1].yzw, e[1].x), vec4f(v[1].zw, e[1]));
  var c = Taps3(v[2], vec4f(v[2].yzw, e[2].x), vec4f(v[2].zw, e[2]));
  if (S == 2u) {
    let p6 = subgroupBroadcast(held[6u / SHARE], 6u % SHARE);
    let p7 = subgroupBroadcast(held[7u / SHARE], 7u % SHARE);
    let p8 = subgroupBroadcast(held[8u / SHARE], 8u % SHARE);
    a = Taps3(vec4f(p0.x, p2.x, p4.x, p6.x), vec4f(p1.x, p3.x, p5.x, p7.x), vec4f(p2.x, p4.x, p6.x, p8.x));
    b = Taps3(vec4f(p0.y, p2.y, p4.y, p6.y), vec4f(p1.y, p3.y, p5.y, p7.y), vec4f(p2.y, p4.y, p6.y, p8.y));
    c = Taps3(vec4f(p0.z, p2.z, p4.z, p6.z), vec4f(p1.z, p3.z, p5.z, p7.z), vec4f(p2.z, p4.z, p6.z, p8.z));
  }
  let first = sums.first;
  let second = sums.second;
  return Both(Three(first.a + under(d, a), first.b + under(d, b), first.c + under(d, c)),
              Three(second.a + under(d2, a), second.b + under(d2, b), second.c + under(d2, c)));
}

// For few input channels, where most lanes of backward_weight_tile would be idle: one thread per 2 output channels x 3
// input channels x split. A workgroup's threads share the pixels: a column per lane, by subgroupBroadcast.
@compute @workgroup_size(THREADS)
fn backward_weight_few(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = workgroup_index(wid, num);
  let groups = (params.O + 2u * THREADS - 1u) / (2u * THREADS);
  let triples = (params.I + 2u) / 3u;
  let channel = group % groups * 2u * THREADS + lid;
  let i = group / groups % triples * 3u;
  let split = group / (groups * triples);

  let tiles = (params.OW + 3u) / 4u;
  let columns = params.N * tiles;
  let share = (columns + params.splits - 1u) / params.splits;
  let plane = params.OH * params.OW;
  let rows = (params.OH - 1u) * S + 3u; // of x that the outputs read
  let mine = min(vec2u(channel, channel + THREADS), vec2u(params.O - 1u)) * plane;
  var k0: Both; var k1: Both; var k2: Both;
  for (var column = split * share; column < min((split + 1u) * share, columns); column++) {
    let n = column / tiles;
    let ow = column % tiles * 4u;
    let left = ow * S - params.pad;
    let base = n * params.O * plane + mine;
    var top: mat3x3f;
    var middle: mat3x3f;
    var bottom: mat3x3f;
    for (var r = 0u; r < rows; r++) {
      top = middle;
      middle = bottom;
      bottom = hold(n, i, r - params.pad, left, lane);
      if (r < 2u || r % S != 2u % S) { continue; }
      let at = base + (r - 2u) / S * params.OW;
      let a = load_dy4(at.x, ow);
      let b = load_dy4(at.y, ow);
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
