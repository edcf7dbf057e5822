// Pointwise (1x1) convolution, NCHW, no bias:
//   y[n,o,p] = Σ_i weight[o,i] x[n,i,p]     dx[n,i,p] = Σ_o weight[o,i] dy[n,o,p]     dweight[o,i] += Σ_n,p dy[n,o,p] x[n,i,p]
// N batch, I input and O output channels, HW pixels of a plane. The weight may be a slice of a host's: row and column are
// its strides.
//
// forward, backward_input and backward_weight are the reference: one thread per result. The _register variants give a
// thread a register tile of 8 x 4, the _shared ones, for GPUs, a workgroup a tile of SIDE x SIDE in workgroup memory;
// pointwise.subgroup.wgsl has the variants for subgroups.
// forward_register and forward_shared also compute backward_input, as dx is dy times the transposed weight: bind
// x = dy, y = dx, and swap I with O and row with column.
// Threads: each writes its own results, so nothing races; every sum has one fixed order.

const THREADS: u32 = 64;
// Threads of backward_weight_register.
const COLUMNS: u32 = 16;
// Side of the _shared variants' tiles, and their threads, (SIDE / 4)²: 64 and 256, or 32 and 64 for small matrices.
const SIDE: u32 = 64;
const SQUARES: u32 = 256;

alias Stored = f32; // activations in memory: f16 with precision 'f16'

// <shared slice_rows_columns>
alias Strided = f32;              // element of a slice: strides or lists of kept channels say where it lies
alias Kept = u32;                 // number of a kept channel in the host
const KEPT_ROWS: bool = false;    // true where kept_rows is bound
const KEPT_COLUMNS: bool = false; // true where kept_columns is bound
// </shared>

struct Params {
  N: u32, I: u32, O: u32, HW: u32,
  row: u32, column: u32, // strides of the weight, or of what backward_weight writes: per output, per input channel
  splits: u32,           // backward_weight: parts of the sum over pixels
  steps: u32,            // backward_weight: groups of four pixels in a part
  accumulate: u32,       // backward_weight: 1: dweight +=
  rows: u32,             // _register: 8, a tile's rows, as a uniform so that the loop over them is not unrolled
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;           // (N, I, HW)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;     // (O, I), strides row and column
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;     // (N, O, HW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;             // (N, O, HW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;       // (N, I, HW)
@group(0) @binding(6) var<storage, read_write> dweight: array<Strided>; // (O, I), as the weight; or (splits, O, I)
@group(0) @binding(7) var<storage, read> partials: array<f32>;       // (splits, O, I)
@group(0) @binding(8) var<storage, read> kept_rows: array<Kept>;     // (O), optional: the kept rows of the weight
@group(0) @binding(9) var<storage, read> kept_columns: array<Kept>;  // (I), optional: its kept columns

// <shared strided_weight_offsets>
// Offsets of output channels (rows) and of an input channel (column) in the host's weight.
fn row_at(o: u32) -> u32 {
  if (KEPT_ROWS) { return kept_rows[o] * params.row; }
  return o * params.row;
}
fn rows_at(o: vec4u) -> vec4u {
  if (KEPT_ROWS) { return vec4u(kept_rows[o.x], kept_rows[o.y], kept_rows[o.z], kept_rows[o.w]) * params.row; }
  return o * params.row;
}
fn column_at(i: u32) -> u32 {
  if (KEPT_COLUMNS) { return kept_columns[i] * params.column; }
  return i * params.column;
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

// ---- Reference

// One thread per output pixel.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let id = thread_index(wid, num, lid);
  if (id >= params.N * params.O * params.HW) { return; }
  let p = id % params.HW;
  let o = id / params.HW % params.O;
  let n = id / (params.HW * params.O);
  var sum = 0f;
  for (var i = 0u; i < params.I; i++) {
    sum = fma(weight[row_at(o) + column_at(i)], f32(x[(n * params.I + i) * params.HW + p]), sum);
  }
  y[id] = Stored(sum);
}

// One thread per input pixel: gathers dy of every output channel.
@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let id = thread_index(wid, num, lid);
  if (id >= params.N * params.I * params.HW) { return; }
  let p = id % params.HW;
  let i = id / params.HW % params.I;
  let n = id / (params.HW * params.I);
  var sum = 0f;
  for (var o = 0u; o < params.O; o++) {
    sum = fma(weight[row_at(o) + column_at(i)], dy[(n * params.O + o) * params.HW + p], sum);
  }
  dx[id] = sum;
}

// One thread per weight.
@compute @workgroup_size(THREADS)
fn backward_weight(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) lid: u32) {
  let id = thread_index(wid, num, lid);
  if (id >= params.O * params.I) { return; }
  let i = id % params.I;
  let o = id / params.I;
  var sum = 0f;
  for (var n = 0u; n < params.N; n++) {
    for (var p = 0u; p < params.HW; p++) {
      sum = fma(dy[(n * params.O + o) * params.HW + p], f32(x[(n * params.I + i) * params.HW + p]), sum);
    }
  }
  dweight[row_at(o) + column_at(i)] += sum;
}

// Second pass of a split reduction, one thread per weight: adds up the partial results in the order of the splits.
@compute @workgroup_size(THREADS)
fn backward_weight_sum(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                       @builtin(local_invocation_index) lid: u32) {
  let id = thread_index(wid, num, lid);
  let size = params.O * params.I;
  if (id >= size) { return; }
  var sum = 0f;
  for (var split = 0u; split < params.splits; split++) { sum += partials[split * size + id]; }
  dweight[row_at(id / params.I) + column_at(id % params.I)] += sum;
}

// ---- Register tile

// <shared register_tile>
// A thread's tile of eight rows and four columns. Named members, not an array: SwiftShader runs arrays several times slower.
struct Tile { c0: vec4f, c1: vec4f, c2: vec4f, c3: vec4f, c4: vec4f, c5: vec4f, c6: vec4f, c7: vec4f }

// Adds the outer product of a column of eight (lo, hi) and a row of four.
fn multiply(tile: ptr<function, Tile>, lo: vec4f, hi: vec4f, v: vec4f) {
  (*tile).c0 = fma(vec4f(lo.x), v, (*tile).c0);
  (*tile).c1 = fma(vec4f(lo.y), v, (*tile).c1);
  (*tile).c2 = fma(vec4f(lo.z), v, (*tile).c2);
  (*tile).c3 = fma(vec4f(lo.w), v, (*tile).c3);
  (*tile).c4 = fma(vec4f(hi.x), v, (*tile).c4);
  (*tile).c5 = fma(vec4f(hi.y), v, (*tile).c5);
  (*tile).c6 = fma(vec4f(hi.z), v, (*tile).c6);
  (*tile).c7 = fma(vec4f(hi.w), v, (*tile).c7);
}

// Moves the next row into c0. Rows are stored in a loop whose bound is a uniform, so that it is not unrolled: eight
// separate stores would take lavapipe long to compile.
fn shift(tile: ptr<function, Tile>) {
  (*tile).c0 = (*tile).c1;
  (*tile).c1 = (*tile).c2;
  (*tile).c2 = (*tile).c3;
  (*tile).c3 = (*tile).c4;
  (*tile).c4 = (*tile).c5;
  (*tile).c5 = (*tile).c6;
  (*tile).c6 = (*tile).c7;
}
// </shared>

// <shared gather_pixels>
// Pixels at four offsets of x and of dy.
fn gather_x(at: vec4u) -> vec4f { return vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])); }
fn gather_dy(at: vec4u) -> vec4f { return vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]); }
// </shared>

fn gather_weights(at: vec4u) -> vec4f { return vec4f(weight[at.x], weight[at.y], weight[at.z], weight[at.w]); }

fn store(out: vec4u, o: u32, count: u32, v: vec4f) {
  if (o >= params.O) { return; }
  let at = out + o * params.HW;
  if (count > 0u) { y[at.x] = Stored(v.x); }
  if (count > 1u) { y[at.y] = Stored(v.y); }
  if (count > 2u) { y[at.z] = Stored(v.z); }
  if (count > 3u) { y[at.w] = Stored(v.w); }
}

// One thread per 8 output channels x 4 neighbors among the pixels of all images.
@compute @workgroup_size(THREADS)
fn forward_register(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                    @builtin(local_invocation_index) lid: u32) {
  let total = params.N * params.HW;
  let rows = (params.O + 7u) / 8u;
  let group = workgroup_index(wid, num);
  let o = group % rows * 8u;
  let id = (group / rows * THREADS + lid) * 4u;
  if (id >= total) { return; }
  let pixel = min(id + vec4u(0u, 1u, 2u, 3u), vec4u(total - 1u));
  let n = pixel / params.HW;
  let p = pixel % params.HW;

  let last = vec4u(params.O - 1u);
  let lo = rows_at(min(o + vec4u(0u, 1u, 2u, 3u), last));
  let hi = rows_at(min(o + vec4u(4u, 5u, 6u, 7u), last));
  var at = n * params.I * params.HW + p;
  var tile: Tile;
  for (var i = 0u; i < params.I; i++) {
    let column = column_at(i);
    multiply(&tile, gather_weights(lo + column), gather_weights(hi + column), gather_x(at));
    at += params.HW;
  }

  let out = n * params.O * params.HW + p;
  let count = total - id;
  for (var r = 0u; r < min(params.rows, params.O - o); r++) {
    store(out, o + r, count, tile.c0);
    shift(&tile);
  }
}

// Split reduction, one thread per 8 output channels x 4 input channels x split. A split sums a range of groups of four
// pixels in order; a plane's last group may be shorter.
@compute @workgroup_size(COLUMNS)
fn backward_weight_register(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                            @builtin(local_invocation_index) lid: u32) {
  let plane = (params.HW + 3u) / 4u;
  let rows = (params.O + 7u) / 8u;
  let columns = (params.I + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let group = workgroup_index(wid, num);
  let o = group % rows * 8u;
  let i = group / rows % columns * 4u * COLUMNS + lid;
  let split = group / rows / columns;

  let total = params.N * plane;
  let begin = min(split * params.steps, total);
  let count = min(params.steps, total - begin);
  let last = vec4u(params.O - 1u);
  let lo = min(o + vec4u(0u, 1u, 2u, 3u), last) * params.HW;
  let hi = min(o + vec4u(4u, 5u, 6u, 7u), last) * params.HW;
  let channels = min(i + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.I - 1u)) * params.HW;
  var n = begin / plane;
  var p = begin % plane;
  var tile: Tile;
  for (var s = 0u; s < count; s++) {
    for (var pixel = 4u * p; pixel < min(4u * p + 4u, params.HW); pixel++) {
      let dy_at = n * params.O * params.HW + pixel;
      let x_at = n * params.I * params.HW + pixel;
      multiply(&tile, gather_dy(dy_at + lo), gather_dy(dy_at + hi), gather_x(x_at + channels));
    }
    p++;
    let wrap = p == plane;
    p = select(p, 0u, wrap);
    n += select(0u, 1u, wrap);
  }

  for (var r = 0u; r < min(params.rows, params.O - o); r++) {
    store_row(split, o + r, i, COLUMNS, tile.c0);
    shift(&tile);
  }
}

fn store_row(split: u32, o: u32, i: u32, apart: u32, v: vec4f) {
  if (o >= params.O || split >= params.splits) { return; }
  let at = split * params.O * params.I + row_at(o);
  store_weight(at, i, v.x);
  store_weight(at, i + apart, v.y);
  store_weight(at, i + 2u * apart, v.z);
  store_weight(at, i + 3u * apart, v.w);
}

// <shared store_weight>
fn store_weight(row: u32, i: u32, v: f32) {
  if (i >= params.I) { return; }
  let at = row + column_at(i);
  if (params.accumulate == 1u) { dweight[at] += v; } else { dweight[at] = v; }
}
// </shared>

// ---- Shared-memory tile

// Threads along a side of a tile: each has 4 x 4 of its results.
const QUARTER = SIDE / 4u;
// Operands of one step of a tile: 16 columns of SIDE rows, and 16 rows of SIDE columns, in vectors of four.
var<workgroup> left: array<vec4f, SIDE * 4u>;
var<workgroup> right: array<vec4f, SIDE * 4u>;

struct Square { c0: vec4f, c1: vec4f, c2: vec4f, c3: vec4f }

// Adds the 16 outer products of a step to a thread's 4 x 4 results.
fn multiply_shared(tile: ptr<function, Square>, row: u32, column: u32) {
  for (var k = 0u; k < 16u; k++) {
    let a = left[k * QUARTER + row];
    let v = right[k * QUARTER + column];
    (*tile).c0 = fma(vec4f(a.x), v, (*tile).c0);
    (*tile).c1 = fma(vec4f(a.y), v, (*tile).c1);
    (*tile).c2 = fma(vec4f(a.z), v, (*tile).c2);
    (*tile).c3 = fma(vec4f(a.w), v, (*tile).c3);
  }
}

// One workgroup per SIDE output channels x SIDE neighbors among the pixels of all images; one thread per 4 x 4 of them.
@compute @workgroup_size(SQUARES)
fn forward_shared(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let total = params.N * params.HW;
  let rows = (params.O + SIDE - 1u) / SIDE;
  let group = workgroup_index(wid, num);
  let o = group % rows * SIDE;
  let id = group / rows * SIDE + lid % QUARTER * 4u;
  let pixel = min(id + vec4u(0u, 1u, 2u, 3u), vec4u(total - 1u));
  let n = pixel / params.HW;
  let p = pixel % params.HW;
  let source = n * params.I * params.HW + p;

  var tile: Square;
  for (var i = 0u; i < params.I; i += 16u) {
    for (var e = lid; e < 16u * QUARTER; e += SQUARES) {
      let wi = i + e % 16u;
      let row = rows_at(min(o + e / 16u * 4u + vec4u(0u, 1u, 2u, 3u), vec4u(params.O - 1u)));
      let w = gather_weights(row + column_at(min(wi, params.I - 1u)));
      left[e % 16u * QUARTER + e / 16u] = select(vec4f(), w, wi < params.I);
      let xi = i + e / QUARTER;
      right[e] = select(vec4f(), gather_x(source + min(xi, params.I - 1u) * params.HW), xi < params.I);
    }
    workgroupBarrier();
    multiply_shared(&tile, lid / QUARTER, lid % QUARTER);
    workgroupBarrier();
  }

  let out = n * params.O * params.HW + p;
  let count = select(0u, total - id, id < total);
  let top = o + lid / QUARTER * 4u;
  store(out, top, count, tile.c0);
  store(out, top + 1u, count, tile.c1);
  store(out, top + 2u, count, tile.c2);
  store(out, top + 3u, count, tile.c3);
}

// One workgroup per SIDE output channels x SIDE input channels x split; one thread per 4 x 4 of them. Splits as in
// backward_weight_register; sixteen pixels a step.
@compute @workgroup_size(SQUARES)
fn backward_weight_shared(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                          @builtin(local_invocation_index) lid: u32) {
  let plane = (params.HW + 3u) / 4u;
  let rows = (params.O + SIDE - 1u) / SIDE;
  let columns = (params.I + SIDE - 1u) / SIDE;
  let group = workgroup_index(wid, num);
  let o = group % rows * SIDE;
  let i = group / rows % columns * SIDE;
  let split = group / rows / columns;

  let total = params.N * plane;
  let begin = min(split * params.steps, total);
  let end = begin + min(params.steps, total - begin);
  var tile: Square;
  for (var s = begin; s < end; s += 4u) {
    let step = s + lid % 16u / 4u;
    let n = min(step, total - 1u) / plane;
    let pixel = min(step, total - 1u) % plane * 4u + lid % 4u;
    let inside = step < end && pixel < params.HW;
    let p = min(pixel, params.HW - 1u);
    // SQUARES is a multiple of 16, so e % 16, and with it the pixel, stays the same for a thread.
    for (var e = lid; e < 16u * QUARTER; e += SQUARES) {
      let four = e / 16u * 4u + vec4u(0u, 1u, 2u, 3u);
      let outputs = min(o + four, vec4u(params.O - 1u)) * params.HW;
      let inputs = min(i + four, vec4u(params.I - 1u)) * params.HW;
      let to = e % 16u * QUARTER + e / 16u;
      left[to] = select(vec4f(), gather_dy(outputs + n * params.O * params.HW + p), inside);
      right[to] = select(vec4f(), gather_x(inputs + n * params.I * params.HW + p), inside);
    }
    workgroupBarrier();
    multiply_shared(&tile, lid / QUARTER, lid % QUARTER);
    workgroupBarrier();
  }

  let top = o + lid / QUARTER * 4u;
  let first = i + lid % QUARTER * 4u;
  store_row(split, top, first, 1u, tile.c0);
  store_row(split, top + 1u, first, 1u, tile.c1);
  store_row(split, top + 2u, first, 1u, tile.c2);
  store_row(split, top + 3u, first, 1u, tile.c3);
}
