// Pointwise (1x1) convolution, NCHW, for devices with subgroups: register tiles as in pointwise.wgsl, with the operand that
// all threads need loaded once per subgroup, a row per lane, and passed on by subgroupBroadcast.
// Reference: forward, backward_input and backward_weight of pointwise.wgsl, where the formulas and the letters are.
//
// forward4 and forward also compute backward_input: dx is dy times the transposed weight, so bind x = dy, y = dx and
// swap I with O and row with column. backward_weight may be transposed in the same way, x and dy, I and O, row and column
// swapped, where that fills more of the tiles. Entry points ending in 4 load vectors of four pixels and need HW % 4 == 0.
// Threads: each writes its own results, so nothing races; every sum has one fixed order.

enable subgroups;

// Rows of a tile: 16, or 8 where 16 would leave much of it empty.
const ROWS: u32 = 8;
// Lanes that hold rows of the operand that all threads need: 8, or 4 where subgroups are that small.
const SHARE: u32 = 8;
const THREADS: u32 = 32;
// Threads of backward_weight, which share the rows.
const COLUMNS: u32 = 8;

alias Stored = f32;    // activations in memory: f16 with precision 'f16'
alias Stored4 = vec4f;

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
  rows: u32,             // ROWS as a uniform, so that the loop over them is not unrolled
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;         // (N, I, HW)
@group(0) @binding(2) var<storage, read> x4: array<Stored4>;       // (N, I, HW / 4)
@group(0) @binding(3) var<storage, read> weight: array<Strided>;   // (O, I), strides row and column
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;   // (N, O, HW)
@group(0) @binding(5) var<storage, read_write> y4: array<Stored4>; // (N, O, HW / 4)
@group(0) @binding(6) var<storage, read> dy: array<f32>;           // (N, O, HW)
@group(0) @binding(7) var<storage, read> dy4: array<vec4f>;        // (N, O, HW / 4)
@group(0) @binding(8) var<storage, read_write> dweight: array<Strided>; // (O, I), as the weight; or (splits, O, I)
@group(0) @binding(9) var<storage, read> kept_rows: array<Kept>;     // (O), optional: the kept rows of the weight
@group(0) @binding(10) var<storage, read> kept_columns: array<Kept>; // (I), optional: its kept columns

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

// <shared workgroup_index>
// Linear index of a workgroup in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn workgroup_index(wid: vec3u, num: vec3u) -> u32 { return wid.x + wid.y * num.x; }
// </shared>

// <shared gather_pixels>
// Pixels at four offsets of x and of dy.
fn gather_x(at: vec4u) -> vec4f { return vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])); }
fn gather_dy(at: vec4u) -> vec4f { return vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]); }
// </shared>

// <shared store_weight>
fn store_weight(row: u32, i: u32, v: f32) {
  if (i >= params.I) { return; }
  let at = row + column_at(i);
  if (params.accumulate == 1u) { dweight[at] += v; } else { dweight[at] = v; }
}
// </shared>

// ---- Register tile

// <shared subgroup_tile>
// A thread's tile: ROWS rows of two vectors of four columns. Where ROWS is 8, r8 to r15 are unused and compiled away.
// Named members, not arrays: SwiftShader runs arrays several times slower.
struct Row { left: vec4f, right: vec4f }

struct Tile {
  r0: Row, r1: Row, r2: Row, r3: Row, r4: Row, r5: Row, r6: Row, r7: Row,
  r8: Row, r9: Row, r10: Row, r11: Row, r12: Row, r13: Row, r14: Row, r15: Row,
}

// Operands of two steps of the reduction: left and right columns u0 and v0 of the first, u1 and v1 of the second.
struct Two { u0: vec4f, v0: vec4f, u1: vec4f, v1: vec4f }

fn add2(row: Row, w: vec2f, by: Two) -> Row {
  return Row(fma(vec4f(w.y), by.u1, fma(vec4f(w.x), by.u0, row.left)),
             fma(vec4f(w.y), by.v1, fma(vec4f(w.x), by.v0, row.right)));
}

// Adds two outer products, each of a column of ROWS and a row of eight. Row r is held[r / SHARE] of lane r % SHARE and
// reaches all lanes by subgroupBroadcast. Two steps at once load and store the tile's sums half as often.
fn multiply2(tile: ptr<function, Tile>, held: mat4x2f, by: Two) {
  (*tile).r0 = add2((*tile).r0, subgroupBroadcast(held[0u / SHARE], 0u % SHARE), by);
  (*tile).r1 = add2((*tile).r1, subgroupBroadcast(held[1u / SHARE], 1u % SHARE), by);
  (*tile).r2 = add2((*tile).r2, subgroupBroadcast(held[2u / SHARE], 2u % SHARE), by);
  (*tile).r3 = add2((*tile).r3, subgroupBroadcast(held[3u / SHARE], 3u % SHARE), by);
  (*tile).r4 = add2((*tile).r4, subgroupBroadcast(held[4u / SHARE], 4u % SHARE), by);
  (*tile).r5 = add2((*tile).r5, subgroupBroadcast(held[5u / SHARE], 5u % SHARE), by);
  (*tile).r6 = add2((*tile).r6, subgroupBroadcast(held[6u / SHARE], 6u % SHARE), by);
  (*tile).r7 = add2((*tile).r7, subgroupBroadcast(held[7u / SHARE], 7u % SHARE), by);
  if (ROWS == 16u) {
    (*tile).r8 = add2((*tile).r8, subgroupBroadcast(held[8u / SHARE], 8u % SHARE), by);
    (*tile).r9 = add2((*tile).r9, subgroupBroadcast(held[9u / SHARE], 9u % SHARE), by);
    (*tile).r10 = add2((*tile).r10, subgroupBroadcast(held[10u / SHARE], 10u % SHARE), by);
    (*tile).r11 = add2((*tile).r11, subgroupBroadcast(held[11u / SHARE], 11u % SHARE), by);
    (*tile).r12 = add2((*tile).r12, subgroupBroadcast(held[12u / SHARE], 12u % SHARE), by);
    (*tile).r13 = add2((*tile).r13, subgroupBroadcast(held[13u / SHARE], 13u % SHARE), by);
    (*tile).r14 = add2((*tile).r14, subgroupBroadcast(held[14u / SHARE], 14u % SHARE), by);
    (*tile).r15 = add2((*tile).r15, subgroupBroadcast(held[15u / SHARE], 15u % SHARE), by);
  }
}

// Four steps of the reduction, of the left columns only.
fn add4(row: Row, w: vec4f, v: mat4x4f) -> Row {
  let half = fma(vec4f(w.y), v[1], fma(vec4f(w.x), v[0], row.left));
  return Row(fma(vec4f(w.w), v[3], fma(vec4f(w.z), v[2], half)), row.right);
}

// Adds four outer products, each of a column of ROWS and a row of four. Rows are held as in multiply2.
fn multiply4(tile: ptr<function, Tile>, held: mat4x4f, v: mat4x4f) {
  (*tile).r0 = add4((*tile).r0, subgroupBroadcast(held[0u / SHARE], 0u % SHARE), v);
  (*tile).r1 = add4((*tile).r1, subgroupBroadcast(held[1u / SHARE], 1u % SHARE), v);
  (*tile).r2 = add4((*tile).r2, subgroupBroadcast(held[2u / SHARE], 2u % SHARE), v);
  (*tile).r3 = add4((*tile).r3, subgroupBroadcast(held[3u / SHARE], 3u % SHARE), v);
  (*tile).r4 = add4((*tile).r4, subgroupBroadcast(held[4u / SHARE], 4u % SHARE), v);
  (*tile).r5 = add4((*tile).r5, subgroupBroadcast(held[5u / SHARE], 5u % SHARE), v);
  (*tile).r6 = add4((*tile).r6, subgroupBroadcast(held[6u / SHARE], 6u % SHARE), v);
  (*tile).r7 = add4((*tile).r7, subgroupBroadcast(held[7u / SHARE], 7u % SHARE), v);
  if (ROWS == 16u) {
    (*tile).r8 = add4((*tile).r8, subgroupBroadcast(held[8u / SHARE], 8u % SHARE), v);
    (*tile).r9 = add4((*tile).r9, subgroupBroadcast(held[9u / SHARE], 9u % SHARE), v);
    (*tile).r10 = add4((*tile).r10, subgroupBroadcast(held[10u / SHARE], 10u % SHARE), v);
    (*tile).r11 = add4((*tile).r11, subgroupBroadcast(held[11u / SHARE], 11u % SHARE), v);
    (*tile).r12 = add4((*tile).r12, subgroupBroadcast(held[12u / SHARE], 12u % SHARE), v);
    (*tile).r13 = add4((*tile).r13, subgroupBroadcast(held[13u / SHARE], 13u % SHARE), v);
    (*tile).r14 = add4((*tile).r14, subgroupBroadcast(held[14u / SHARE], 14u % SHARE), v);
    (*tile).r15 = add4((*tile).r15, subgroupBroadcast(held[15u / SHARE], 15u % SHARE), v);
  }
}

// Moves the next row into r0. Rows are stored in a loop whose bound is a uniform, so that it is not unrolled: separate
// stores of the rows would take lavapipe seconds to compile.
fn shift(tile: ptr<function, Tile>) {
  (*tile).r0 = (*tile).r1;
  (*tile).r1 = (*tile).r2;
  (*tile).r2 = (*tile).r3;
  (*tile).r3 = (*tile).r4;
  (*tile).r4 = (*tile).r5;
  (*tile).r5 = (*tile).r6;
  (*tile).r6 = (*tile).r7;
  if (ROWS == 16u) {
    (*tile).r7 = (*tile).r8;
    (*tile).r8 = (*tile).r9;
    (*tile).r9 = (*tile).r10;
    (*tile).r10 = (*tile).r11;
    (*tile).r11 = (*tile).r12;
    (*tile).r12 = (*tile).r13;
    (*tile).r13 = (*tile).r14;
    (*tile).r14 = (*tile).r15;
  }
}

// Rows that a lane holds: the second exists where ROWS > SHARE, the last two where ROWS > 2 SHARE.
fn rows_of(lane: u32) -> vec4u { return lane % SHARE + SHARE * vec4u(0u, 1u, 2u, 3u); }
// </shared>

// ---- Forward

// Weights of the rows that a lane holds, of input channels i and i + next; where next is 0 the second counts as 0.
fn weight_rows(rows: vec4u, i: u32, next: u32) -> mat4x2f {
  let more = f32(next);
  let at = rows + column_at(i);
  let beyond = rows + column_at(i + next);
  var held = mat4x2f();
  held[0] = vec2f(weight[at.x], more * weight[beyond.x]);
  if (ROWS > SHARE) { held[1] = vec2f(weight[at.y], more * weight[beyond.y]); }
  if (ROWS > 2u * SHARE) {
    held[2] = vec2f(weight[at.z], more * weight[beyond.z]);
    held[3] = vec2f(weight[at.w], more * weight[beyond.w]);
  }
  return held;
}

// One thread per ROWS output channels x two groups of 4 neighboring pixels, THREADS groups apart; a workgroup's
// threads share the channels. Two input channels per iteration.
@compute @workgroup_size(THREADS)
fn forward4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let plane = params.HW / 4u;
  let total = params.N * plane;
  let rows = (params.O + ROWS - 1u) / ROWS;
  let group = workgroup_index(wid, num);
  let o = group % rows * ROWS;
  let id = group / rows * 2u * THREADS + lid + vec2u(0u, THREADS);
  let n = min(id, vec2u(total - 1u)) / plane;
  let p = min(id, vec2u(total - 1u)) % plane;

  let w = rows_at(min(o + rows_of(lane), vec4u(params.O - 1u)));
  var at = n * params.I * plane + p;
  var tile: Tile;
  for (var i = 0u; i < params.I; i += 2u) {
    let next = select(0u, 1u, i + 1u < params.I);
    let beyond = at + next * plane;
    multiply2(&tile, weight_rows(w, i, next), Two(vec4f(x4[at.x]), vec4f(x4[at.y]), vec4f(x4[beyond.x]), vec4f(x4[beyond.y])));
    at += 2u * plane;
  }

  var out = (n * params.O + o) * plane + p;
  for (var r = 0u; r < min(params.rows, params.O - o); r++) {
    if (id.x < total) { y4[out.x] = Stored4(tile.r0.left); }
    if (id.y < total) { y4[out.y] = Stored4(tile.r0.right); }
    out += plane;
    shift(&tile);
  }
}

// forward4 for any HW: a group is four neighbors among the pixels of all images.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let total = params.N * params.HW;
  let rows = (params.O + ROWS - 1u) / ROWS;
  let group = workgroup_index(wid, num);
  let o = group % rows * ROWS;
  let left = (group / rows * 2u * THREADS + lid) * 4u;
  let right = left + 4u * THREADS;

  let w = rows_at(min(o + rows_of(lane), vec4u(params.O - 1u)));
  var left_at = place(left, params.I, 0u);
  var right_at = place(right, params.I, 0u);
  var tile: Tile;
  for (var i = 0u; i < params.I; i += 2u) {
    let next = select(0u, 1u, i + 1u < params.I);
    let beyond = next * params.HW;
    multiply2(&tile, weight_rows(w, i, next),
              Two(gather_x(left_at), gather_x(right_at), gather_x(left_at + beyond), gather_x(right_at + beyond)));
    left_at += 2u * params.HW;
    right_at += 2u * params.HW;
  }

  var left_out = place(left, params.O, o);
  var right_out = place(right, params.O, o);
  for (var r = 0u; r < min(params.rows, params.O - o); r++) {
    store(left_out, total - min(left, total), tile.r0.left);
    store(right_out, total - min(right, total), tile.r0.right);
    left_out += params.HW;
    right_out += params.HW;
    shift(&tile);
  }
}

// Offsets of four neighbors among the pixels of all images, in a tensor of so many channels; those beyond the last pixel
// are clamped to it.
fn place(pixel: u32, channels: u32, channel: u32) -> vec4u {
  let each = min(pixel + vec4u(0u, 1u, 2u, 3u), vec4u(params.N * params.HW - 1u));
  return (each / params.HW * channels + channel) * params.HW + each % params.HW;
}

fn store(at: vec4u, count: u32, v: vec4f) {
  if (count > 0u) { y[at.x] = Stored(v.x); }
  if (count > 1u) { y[at.y] = Stored(v.y); }
  if (count > 2u) { y[at.z] = Stored(v.z); }
  if (count > 3u) { y[at.w] = Stored(v.w); }
}

// ---- Gradient of the weight: split reduction

// Four pixels of each row of dy that a lane holds.
fn dy_rows4(at: vec4u) -> mat4x4f {
  var held = mat4x4f();
  held[0] = dy4[at.x];
  if (ROWS > SHARE) { held[1] = dy4[at.y]; }
  if (ROWS > 2u * SHARE) {
    held[2] = dy4[at.z];
    held[3] = dy4[at.w];
  }
  return held;
}

// dweight, or partial results that pointwise.wgsl adds up: one thread per ROWS output channels x 4 input channels x split;
// a workgroup's threads share the output channels. A split sums a range of groups of four pixels in order.
@compute @workgroup_size(COLUMNS)
fn backward_weight4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                    @builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let plane = params.HW / 4u;
  let rows = (params.O + ROWS - 1u) / ROWS;
  let columns = (params.I + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let group = workgroup_index(wid, num);
  let o = group % rows * ROWS;
  let i = group / rows % columns * 4u * COLUMNS + lid;
  let split = group / rows / columns;

  let total = params.N * plane;
  let begin = min(split * params.steps, total);
  let count = min(params.steps, total - begin);
  let outputs = min(o + rows_of(lane), vec4u(params.O - 1u)) * plane;
  let channels = min(i + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.I - 1u)) * plane;
  let n = begin / plane;
  var p = begin % plane;
  var dy_at = n * params.O * plane + p;
  var x_at = n * params.I * plane + p;
  var tile: Tile;
  for (var s = 0u; s < count; s++) {
    let at = x_at + channels;
    let v = transpose(mat4x4f(vec4f(x4[at.x]), vec4f(x4[at.y]), vec4f(x4[at.z]), vec4f(x4[at.w])));
    multiply4(&tile, dy_rows4(dy_at + outputs), v);
    p++;
    let wrap = p == plane;
    p = select(p, 0u, wrap);
    dy_at += select(1u, 1u + (params.O - 1u) * plane, wrap);
    x_at += select(1u, 1u + (params.I - 1u) * plane, wrap);
  }
  store_tile(split, o, i, &tile);
}

// backward_weight4 for any HW: a plane's last group is filled up with zeros.
@compute @workgroup_size(COLUMNS)
fn backward_weight(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let plane = (params.HW + 3u) / 4u;
  let rows = (params.O + ROWS - 1u) / ROWS;
  let columns = (params.I + 4u * COLUMNS - 1u) / (4u * COLUMNS);
  let group = workgroup_index(wid, num);
  let o = group % rows * ROWS;
  let i = group / rows % columns * 4u * COLUMNS + lid;
  let split = group / rows / columns;

  let total = params.N * plane;
  let begin = min(split * params.steps, total);
  let count = min(params.steps, total - begin);
  let outputs = min(o + rows_of(lane), vec4u(params.O - 1u)) * params.HW;
  let channels = min(i + COLUMNS * vec4u(0u, 1u, 2u, 3u), vec4u(params.I - 1u)) * params.HW;
  var n = begin / plane;
  var p = begin % plane;
  var tile: Tile;
  for (var s = 0u; s < count; s++) {
    let pixel = 4u * p + vec4u(0u, 1u, 2u, 3u);
    let inside = pixel < vec4u(params.HW);
    let at = min(pixel, vec4u(params.HW - 1u));
    let xs = channels + n * params.I * params.HW;
    let v = transpose(mat4x4f(gather_x(at + xs.x), gather_x(at + xs.y), gather_x(at + xs.z), gather_x(at + xs.w)));
    multiply4(&tile, dy_rows(at + n * params.O * params.HW, outputs, inside), v);
    p++;
    let wrap = p == plane;
    p = select(p, 0u, wrap);
    n += select(0u, 1u, wrap);
  }
  store_tile(split, o, i, &tile);
}

// Four pixels of each row of dy that a lane holds; 0 for those beyond the plane.
fn dy_rows(at: vec4u, rows: vec4u, inside: vec4<bool>) -> mat4x4f {
  var held = mat4x4f();
  held[0] = select(vec4f(), gather_dy(at + rows.x), inside);
  if (ROWS > SHARE) { held[1] = select(vec4f(), gather_dy(at + rows.y), inside); }
  if (ROWS > 2u * SHARE) {
    held[2] = select(vec4f(), gather_dy(at + rows.z), inside);
    held[3] = select(vec4f(), gather_dy(at + rows.w), inside);
  }
  return held;
}

fn store_tile(split: u32, o: u32, i: u32, tile: ptr<function, Tile>) {
  if (split >= params.splits) { return; }
  for (var r = 0u; r < min(params.rows, params.O - o); r++) {
    let at = split * params.O * params.I + row_at(o + r);
    let v = (*tile).r0.left;
    store_weight(at, i, v.x);
    store_weight(at, i + COLUMNS, v.y);
    store_weight(at, i + 2u * COLUMNS, v.z);
    store_weight(at, i + 3u * COLUMNS, v.w);
    shift(tile);
  }
}
