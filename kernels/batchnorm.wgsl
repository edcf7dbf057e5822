// Batch normalization, and the activation that follows it.
//
//   xhat = (x - mean[c]) / sqrt(var[c] + eps)      y = act(gamma[c] xhat + beta[c])
//   dx = gamma / sqrt(var + eps) · (dy' - mean(dy') - xhat · mean(dy'·xhat)),   dy' = dy act'(gamma xhat + beta)
//   dbeta += Σ dy'      dgamma += Σ dy'·xhat
//
// N batch, C channels, HW pixels of a plane, M = N·HW elements of a channel; x, y, dy, dx are (N, C, HW), contiguous.
// Two layouts of the threads:
//   planes   HW a multiple of 4: a workgroup walks through the quads (4 pixels) of one channel;
//   columns  any HW, meant for HW = 1 and small odd planes: x is a matrix of N rows and C·HW columns, one thread per column.
// Split reduction: either may cut its reduction into `splits` parts; a channel then has `partials` = splits · width partial
// results (width: 1 in planes, HW in columns), stored (splits, C, width), which a merge adds up in a fixed order.
//
// Variance in one pass: each partial is shifted by its own first element, so that a large mean cancels before anything is
// squared, and partials are merged by Chan's formula. A mean is stored as the channel's first element and the distance from
// it: rounded to f32, a large mean would cost xhat its precision.
// The backward pass needs only `channel`, and recomputes xhat and the activation's derivative from x.
// Threads: thread 0 of a workgroup, or the thread of a column, writes a result; elements are written by one thread each, so
// nothing races.

const THREADS: u32 = 64;
const ACT: u32 = 0; // 0 none, 1 relu, 2 relu6, 3 hardswish, 4 hardsigmoid, 5 silu, 6 sigmoid

alias Stored = f32;    // activations in memory: f16 with precision 'f16'
alias Stored4 = vec4f;

// <shared slice_channels>
alias Strided = f32;       // element of a slice: strides or a list of kept channels say where it lies
alias Kept = u32;          // number of a kept channel in the host
const KEPT: bool = false;  // true where `kept` is bound
// </shared>

struct Params {
  N: u32, C: u32, HW: u32,
  splits: u32,
  chunk: u32,    // quads (planes) or rows (columns) of a split
  tiles: u32,    // columns: workgroups side by side over C·HW
  width: u32,
  partials: u32,
  half: u32,     // THREADS / 2 as a uniform, so that compilers do not unroll the reduction loops
  update: u32,   // 1: update the running statistics
  momentum: f32,
  eps: f32,
  inverse: f32,  // 1 / M; 0 where the statistics are constants (evaluation mode)
}

// A channel: its mean is origin + mean; rstd = 1 / sqrt(var + eps).
struct Channel { origin: f32, mean: f32, rstd: f32, gamma: f32, beta: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;                   // (N, C, HW)
@group(0) @binding(2) var<storage, read> x4: array<Stored4>;                 // (N, C, HW / 4)
@group(0) @binding(3) var<storage, read> dy: array<f32>;                     // (N, C, HW)
@group(0) @binding(4) var<storage, read> dy4: array<vec4f>;                  // (N, C, HW / 4)
@group(0) @binding(5) var<storage, read_write> y: array<Stored>;             // (N, C, HW)
@group(0) @binding(6) var<storage, read_write> y4: array<Stored4>;           // (N, C, HW / 4)
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;               // (N, C, HW)
@group(0) @binding(8) var<storage, read_write> dx4: array<vec4f>;            // (N, C, HW / 4)
@group(0) @binding(9) var<storage, read> gamma: array<Strided>;              // (C)
@group(0) @binding(10) var<storage, read> beta: array<Strided>;              // (C)
@group(0) @binding(11) var<storage, read_write> running_mean: array<Strided>; // (C)
@group(0) @binding(12) var<storage, read_write> running_var: array<Strided>; // (C), unbiased
@group(0) @binding(13) var<storage, read_write> moments: array<vec4f>;       // (splits, C, width): Moments
@group(0) @binding(14) var<storage, read_write> channel_out: array<Channel>; // (C)
@group(0) @binding(15) var<storage, read> channel: array<Channel>;           // (C): channel_out, read only
@group(0) @binding(16) var<storage, read_write> sums_part: array<vec2f>;     // (splits, C, width)
@group(0) @binding(17) var<storage, read_write> sums_out: array<vec2f>;      // (C): Σ dy', Σ dy'·xhat
@group(0) @binding(18) var<storage, read> sums: array<vec2f>;                // (C): sums_out, read only
@group(0) @binding(19) var<storage, read_write> dgamma: array<Strided>;      // (C), accumulated
@group(0) @binding(20) var<storage, read_write> dbeta: array<Strided>;       // (C), accumulated
@group(0) @binding(21) var<storage, read> kept: array<Kept>;                 // (C), optional: the kept channels

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// <shared workgroup_index>
// Linear index of a workgroup in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn workgroup_index(wid: vec3u, num: vec3u) -> u32 { return wid.x + wid.y * num.x; }
// </shared>

// A channel's number in the host.
fn in_host(c: u32) -> u32 {
  if (KEPT) { return kept[c]; }
  return c;
}

// <shared activation>
// The activation ACT and its derivative. NaN passes through. exp's argument is clamped so that it cannot overflow, and
// one exp gives both sigmoid(v) and 1 - sigmoid(v) without cancellation.
fn is_nan(v: vec4f) -> vec4<bool> { return (bitcast<vec4u>(v) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u); }
fn floored(v: vec4f) -> vec4f { return select(v, vec4f(-80.0), v < vec4f(-80.0)); }
fn decay(v: vec4f) -> vec4f { return exp(-floored(v)); }
fn ramp(v: vec4f) -> vec4f {
  return select(select(v / 6.0 + 0.5, vec4f(1.0), v >= vec4f(3.0)), vec4f(), v <= vec4f(-3.0));
}

fn activate(v: vec4f) -> vec4f {
  if (ACT == 1u) { return select(v, vec4f(), v < vec4f()); }
  if (ACT == 2u) { return select(select(v, vec4f(6.0), v > vec4f(6.0)), vec4f(), v < vec4f()); }
  if (ACT == 3u) { return v * ramp(v); }
  if (ACT == 4u) { return ramp(v); }
  if (ACT == 5u) { return floored(v) / (1.0 + decay(v)); }
  if (ACT == 6u) { return select(1.0 / (1.0 + decay(v)), v, is_nan(v)); }
  return v;
}

// d activate / d v; at a kink the derivative of the outer piece, as in PyTorch.
fn derivative(v: vec4f) -> vec4f {
  let inside = abs(v) < vec4f(3.0);
  if (ACT == 1u) { return select(vec4f(), vec4f(1.0), v > vec4f()); }
  if (ACT == 2u) { return select(vec4f(), vec4f(1.0), (v > vec4f()) & (v < vec4f(6.0))); }
  if (ACT == 3u) { return select(select(vec4f(), vec4f(1.0), v >= vec4f(3.0)), v / 3.0 + 0.5, inside); }
  if (ACT == 4u) { return select(vec4f(), vec4f(1.0 / 6.0), inside); }
  if (ACT == 0u) { return vec4f(1.0); }
  let e = decay(v);
  let s = 1.0 / (1.0 + e);
  if (ACT == 5u) { return s * (1.0 + floored(v) * (e * s)); }
  return s * (e * s);
}
// </shared>

// ---- Statistics

// Moments are (count, mean - origin, M2, origin); the origin is the same for all of a channel.
// Chan's formula; an empty side changes nothing.
fn merge(a: vec4f, b: vec4f) -> vec4f {
  let count = a.x + b.x;
  let share = b.x / max(count, 1.0);
  let delta = b.y - a.y;
  return vec4f(count, a.y + delta * share, a.z + b.z + delta * delta * a.x * share, select(b.w, a.w, a.x > 0.0));
}

fn finish_statistics(c: u32, moment: vec4f) {
  let variance = moment.z / moment.x;
  let h = in_host(c);
  channel_out[c] = Channel(moment.w, moment.y, 1.0 / sqrt(variance + params.eps), gamma[h], beta[h]);
  if (params.update == 1u) {
    running_mean[h] += params.momentum * (moment.w - running_mean[h] + moment.y);
    running_var[h] += params.momentum * (moment.z / (moment.x - 1.0) - running_var[h]);
  }
}

fn finish_sums(c: u32, sum: vec2f) {
  sums_out[c] = sum;
  let h = in_host(c);
  dbeta[h] += sum.x;
  dgamma[h] += sum.y;
}

fn normalized(v: vec4f, ch: Channel) -> vec4f { return (v - ch.origin) * ch.rstd - ch.mean * ch.rstd; }

// dy' = dy · act'(gamma xhat + beta)
fn through_activation(xhat: vec4f, g: vec4f, ch: Channel) -> vec4f { return g * derivative(xhat * ch.gamma + ch.beta); }

// ---- Reductions and the two layouts

var<workgroup> tree: array<vec4f, THREADS>;
var<workgroup> tree2: array<vec2f, THREADS>;

// Tree reductions in workgroup memory; tree[0] and tree2[0] hold the results, visible to the whole workgroup.
fn tree_merge(lid: u32) {
  workgroupBarrier();
  for (var half = params.half; half > 0u; half /= 2u) {
    if (lid < half) { tree[lid] = merge(tree[lid], tree[lid + half]); }
    workgroupBarrier();
  }
}
fn tree_sum(lid: u32) {
  workgroupBarrier();
  for (var half = params.half; half > 0u; half /= 2u) {
    if (lid < half) { tree2[lid] += tree2[lid + half]; }
    workgroupBarrier();
  }
}

// A thread's walk through the quads of a channel: every THREADS-th quad of one split, without a division per step.
struct Walk { at: u32, end: u32, n: u32, q: u32, step_n: u32, step_q: u32, quads: u32 }

fn walk(split: u32, lid: u32) -> Walk {
  let quads = params.HW / 4u;
  let at = split * params.chunk + lid;
  let end = min(split * params.chunk + params.chunk, params.N * quads);
  return Walk(at, end, at / quads, at % quads, THREADS / quads, THREADS % quads, quads);
}
fn quad(w: Walk, c: u32) -> u32 { return (w.n * params.C + c) * w.quads + w.q; }
fn advance(w: ptr<function, Walk>) {
  (*w).at += THREADS;
  (*w).n += (*w).step_n;
  (*w).q += (*w).step_q;
  if ((*w).q >= (*w).quads) { (*w).q -= (*w).quads; (*w).n += 1u; }
}

// A thread's column j of the (N, C·HW) matrix and the rows of its split; j may be out of range in the last tile.
struct Column { j: u32, split: u32, begin: u32, end: u32 }

fn column(group: u32, lid: u32) -> Column {
  let split = group / params.tiles;
  let begin = split * params.chunk;
  return Column(group % params.tiles * THREADS + lid, split, begin, min(begin + params.chunk, params.N));
}

// ---- Forward

// One workgroup per (channel, split): tree reduction in workgroup memory; thread 0 writes.
@compute @workgroup_size(THREADS)
fn statistics_planes(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let c = wid.x;
  var w = walk(wid.y, lid);
  var count = 0f;
  var sum = vec4f();
  var squares = vec4f();
  var shift = vec4f();
  if (w.at < w.end) { shift = vec4f(x4[quad(w, c)]); }
  for (; w.at < w.end; advance(&w)) {
    let d = vec4f(x4[quad(w, c)]) - shift;
    sum += d;
    squares += d * d;
    count += 1.0;
  }
  // four partials of equal count, one per component
  let off = sum / max(count, 1.0);
  let m2 = dot(squares - sum * off, vec4f(1.0));
  let origin = vec4f(x4[c * w.quads]).x;
  let means = (shift - origin) + off;
  let mean = dot(means, vec4f(0.25));
  let spread = means - mean;
  tree[lid] = select(vec4f(), vec4f(4.0 * count, mean, m2 + count * dot(spread, spread), origin), count > 0.0);
  tree_merge(lid);
  if (lid == 0u) {
    if (params.partials == 1u) { finish_statistics(c, tree[0]); } else { moments[wid.y * params.C + c] = tree[0]; }
  }
}

// One thread per (column, split).
@compute @workgroup_size(THREADS)
fn statistics_columns(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                      @builtin(local_invocation_index) lid: u32) {
  let at = column(workgroup_index(wid, num), lid);
  let columns = params.C * params.HW;
  if (at.j >= columns || at.split >= params.splits) { return; }
  let shift = f32(x[at.begin * columns + at.j]);
  var sum = 0f;
  var squares = 0f;
  for (var n = at.begin; n < at.end; n++) {
    let d = f32(x[n * columns + at.j]) - shift;
    sum += d;
    squares += d * d;
  }
  let count = f32(at.end - at.begin);
  let origin = f32(x[at.j / params.HW * params.HW]);
  let moment = vec4f(count, (shift - origin) + sum / count, squares - sum * (sum / count), origin);
  if (params.partials == 1u) { finish_statistics(at.j, moment); } else { moments[at.split * columns + at.j] = moment; }
}

// One workgroup per channel: each thread merges every THREADS-th partial, then tree reduction; thread 0 writes.
@compute @workgroup_size(THREADS)
fn merge_statistics(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  var total = vec4f();
  for (var k = lid; k < params.partials; k += THREADS) {
    total = merge(total, moments[(k / params.width * params.C + wid.x) * params.width + k % params.width]);
  }
  tree[lid] = total;
  tree_merge(lid);
  if (lid == 0u) { finish_statistics(wid.x, tree[0]); }
}

// Evaluation mode, one thread per channel: the running statistics in place of the batch's.
@compute @workgroup_size(THREADS)
fn running_statistics(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                      @builtin(local_invocation_index) lid: u32) {
  let c = thread_index(wid, num, lid);
  if (c >= params.C) { return; }
  let h = in_host(c);
  channel_out[c] = Channel(running_mean[h], 0.0, 1.0 / sqrt(running_var[h] + params.eps), gamma[h], beta[h]);
}

// One workgroup per (channel, split), one thread per quad: each quad is written once.
@compute @workgroup_size(THREADS)
fn forward_planes(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let c = wid.x;
  let ch = channel[c];
  let scale = ch.gamma * ch.rstd;
  let offset = ch.beta - ch.mean * scale;
  for (var w = walk(wid.y, lid); w.at < w.end; advance(&w)) {
    let at = quad(w, c);
    y4[at] = Stored4(activate((vec4f(x4[at]) - ch.origin) * scale + offset));
  }
}

// One thread per (column, split), which writes its rows.
@compute @workgroup_size(THREADS)
fn forward_columns(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) lid: u32) {
  let at = column(workgroup_index(wid, num), lid);
  let columns = params.C * params.HW;
  if (at.j >= columns || at.split >= params.splits) { return; }
  let ch = channel[at.j / params.HW];
  let scale = ch.gamma * ch.rstd;
  let offset = ch.beta - ch.mean * scale;
  for (var n = at.begin; n < at.end; n++) {
    let i = n * columns + at.j;
    y[i] = Stored(activate(vec4f((f32(x[i]) - ch.origin) * scale + offset)).x);
  }
}

// ---- Backward

// Sums of dy' and dy'·xhat. One workgroup per (channel, split), as in statistics_planes.
@compute @workgroup_size(THREADS)
fn sums_planes(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let c = wid.x;
  let ch = channel[c];
  var sum = vec4f();
  var product = vec4f();
  for (var w = walk(wid.y, lid); w.at < w.end; advance(&w)) {
    let at = quad(w, c);
    let xhat = normalized(vec4f(x4[at]), ch);
    let g = through_activation(xhat, dy4[at], ch);
    sum += g;
    product += g * xhat;
  }
  tree2[lid] = vec2f(dot(sum, vec4f(1.0)), dot(product, vec4f(1.0)));
  tree_sum(lid);
  if (lid == 0u) {
    if (params.partials == 1u) { finish_sums(c, tree2[0]); } else { sums_part[wid.y * params.C + c] = tree2[0]; }
  }
}

// The same, one thread per (column, split).
@compute @workgroup_size(THREADS)
fn sums_columns(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                @builtin(local_invocation_index) lid: u32) {
  let at = column(workgroup_index(wid, num), lid);
  let columns = params.C * params.HW;
  if (at.j >= columns || at.split >= params.splits) { return; }
  let ch = channel[at.j / params.HW];
  var sum = vec2f();
  for (var n = at.begin; n < at.end; n++) {
    let i = n * columns + at.j;
    let xhat = normalized(vec4f(f32(x[i])), ch).x;
    let g = through_activation(vec4f(xhat), vec4f(dy[i]), ch).x;
    sum += vec2f(g, g * xhat);
  }
  if (params.partials == 1u) { finish_sums(at.j, sum); } else { sums_part[at.split * columns + at.j] = sum; }
}

// One workgroup per channel, as in merge_statistics.
@compute @workgroup_size(THREADS)
fn merge_sums(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  var total = vec2f();
  for (var k = lid; k < params.partials; k += THREADS) {
    total += sums_part[(k / params.width * params.C + wid.x) * params.width + k % params.width];
  }
  tree2[lid] = total;
  tree_sum(lid);
  if (lid == 0u) { finish_sums(wid.x, tree2[0]); }
}

// dx; its means are 0 in evaluation mode, where the statistics are constants.
// One workgroup per (channel, split), one thread per quad: each quad is written once.
@compute @workgroup_size(THREADS)
fn backward_input_planes(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let c = wid.x;
  let ch = channel[c];
  let mean = sums[c] * params.inverse;
  let scale = ch.gamma * ch.rstd;
  for (var w = walk(wid.y, lid); w.at < w.end; advance(&w)) {
    let at = quad(w, c);
    let xhat = normalized(vec4f(x4[at]), ch);
    dx4[at] = scale * (through_activation(xhat, dy4[at], ch) - mean.x - xhat * mean.y);
  }
}

// One thread per (column, split), which writes its rows.
@compute @workgroup_size(THREADS)
fn backward_input_columns(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                          @builtin(local_invocation_index) lid: u32) {
  let at = column(workgroup_index(wid, num), lid);
  let columns = params.C * params.HW;
  if (at.j >= columns || at.split >= params.splits) { return; }
  let c = at.j / params.HW;
  let ch = channel[c];
  let mean = sums[c] * params.inverse;
  let scale = ch.gamma * ch.rstd;
  for (var n = at.begin; n < at.end; n++) {
    let i = n * columns + at.j;
    let xhat = normalized(vec4f(f32(x[i])), ch).x;
    dx[i] = scale * (through_activation(vec4f(xhat), vec4f(dy[i]), ch).x - mean.x - xhat * mean.y);
  }
}
