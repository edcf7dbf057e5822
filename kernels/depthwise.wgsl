// Depthwise convolution, NCHW, no bias: channel c of y depends on channel c of x alone. Any kernel side, stride and padding.
//
//   y[n,c,oh,ow] = Σ_kh,kw x[n, c, oh S + kh - pad, ow S + kw - pad] weight[c,kh,kw]
//   dx[n,c,h,w]  = Σ_kh,kw dy[n, c, (h + pad - kh) / S, (w + pad - kw) / S] weight[c,kh,kw], where the divisions are exact
//   dweight[c,kh,kw] += Σ_n,oh,ow x[n, c, oh S + kh - pad, ow S + kw - pad] dy[n,c,oh,ow]
//
// N batch, C channels, (H, W) → (OH, OW), k kernel side, S stride, pad padding. The weight may be C of a wider host's
// channels: ldw is the host's stride between channels.
//
// forward, backward_input and backward_weight are the reference: one thread per result. The _row variants, for any k and S,
// slide four pixels of a row under the kernel. Further variants are
//   depthwise.strip3.wgsl    k = 3, S = 1 or 2: a thread walks down a strip of four columns
//   depthwise.strip5.wgsl    k = 5, S = 1 or 2: the same
//   depthwise.subgroup.wgsl  k = 3, S = 1, pad = 1, subgroups: strips whose edge pixels come by subgroupShuffle
// Threads: in all variants a thread writes only its own results, so nothing races; backward_input gathers.

const k: u32 = 3;        // kernel side
const S: u32 = 1;        // stride
const THREADS: u32 = 64; // threads of a workgroup

alias Stored = f32; // activations in memory: f16 with precision 'f16'

// <shared slice_channels>
alias Strided = f32;       // element of a slice: strides or a list of kept channels say where it lies
alias Kept = u32;          // number of a kept channel in the host
const KEPT: bool = false;  // true where `kept` is bound
// </shared>

struct Params {
  N: u32, C: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  pad: u32,
  ldw: u32,    // stride of the weight between channels
  splits: u32, // _row: parts of the sum over images and rows
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, C, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (C, 1, k, k), ldw between channels
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, C, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, C, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, C, H, W)
@group(0) @binding(6) var<storage, read_write> dweight: array<Strided>; // (C, 1, k, k), ldw between channels; added to
@group(0) @binding(7) var<storage, read_write> partial: array<f32>; // (splits, C, k, k)
@group(0) @binding(8) var<storage, read> kept: array<Kept>;         // (C), optional: the kept channels

// <shared channel_offset>
// Offset of a channel's k x k kernel in the host's weight.
fn channel_at(c: u32) -> u32 {
  if (KEPT) { return kept[c] * params.ldw; }
  return c * params.ldw;
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
fn forward(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = thread_index(wid, num, lid);
  if (t >= params.N * params.C * params.OH * params.OW) { return; }
  let ow = t % params.OW;
  let oh = t / params.OW % params.OH;
  let nc = t / (params.OW * params.OH);
  let c = nc % params.C;

  var sum = 0f;
  for (var kh = 0u; kh < k; kh++) {
    for (var kw = 0u; kw < k; kw++) {
      // Unsigned: a tap above or left of the image wraps to a large number and fails the same test.
      let h = oh * S + kh - params.pad;
      let w = ow * S + kw - params.pad;
      if (h < params.H && w < params.W) {
        sum += f32(x[(nc * params.H + h) * params.W + w]) * weight[channel_at(c) + kh * k + kw];
      }
    }
  }
  y[t] = Stored(sum);
}

// One thread per input pixel: gathers dy of every output that read it.
@compute @workgroup_size(THREADS)
fn backward_input(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = thread_index(wid, num, lid);
  if (t >= params.N * params.C * params.H * params.W) { return; }
  let w = t % params.W;
  let h = t / params.W % params.H;
  let nc = t / (params.W * params.H);
  let c = nc % params.C;

  var sum = 0f;
  for (var kh = 0u; kh < k; kh++) {
    for (var kw = 0u; kw < k; kw++) {
      let down = h + params.pad - kh;
      let right = w + params.pad - kw;
      // A negative distance wraps to a large number, which is still beyond OH or OW after the division.
      if (down % S == 0u && right % S == 0u && down / S < params.OH && right / S < params.OW) {
        sum += dy[(nc * params.OH + down / S) * params.OW + right / S] * weight[channel_at(c) + kh * k + kw];
      }
    }
  }
  dx[t] = sum;
}

// One thread per weight, over the whole batch.
@compute @workgroup_size(THREADS)
fn backward_weight(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = thread_index(wid, num, lid);
  if (t >= params.C * k * k) { return; }
  let kw = t % k;
  let kh = t / k % k;
  let c = t / (k * k);

  var sum = 0f;
  for (var n = 0u; n < params.N; n++) {
    for (var oh = 0u; oh < params.OH; oh++) {
      for (var ow = 0u; ow < params.OW; ow++) {
        let h = oh * S + kh - params.pad;
        let w = ow * S + kw - params.pad;
        if (h < params.H && w < params.W) {
          let nc = n * params.C + c;
          sum += f32(x[(nc * params.H + h) * params.W + w]) * dy[(nc * params.OH + oh) * params.OW + ow];
        }
      }
    }
  }
  dweight[channel_at(c) + kh * k + kw] += sum;
}

// ---- Rows: register tile of four pixels

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

// <shared load_dy>
// Pixel of the row of dy that starts at offset `row`; zero left and right of it, and where the row itself is outside.
fn load_dy(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, dy[row + min(column, params.OW - 1u)], inside && column < params.OW);
}
// </shared>

// <shared load_dy4>
// Four neighboring pixels of a row of dy.
fn load_dy4(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(load_dy(row, column, inside), load_dy(row, column + 1u, inside),
               load_dy(row, column + 2u, inside), load_dy(row, column + 3u, inside));
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

// One thread per four neighboring outputs of a row.
@compute @workgroup_size(THREADS)
fn forward_row(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = thread_index(wid, num, lid);
  let tiles = (params.OW + 3u) / 4u;
  if (t >= params.N * params.C * params.OH * tiles) { return; }
  let ow = t % tiles * 4u;
  let oh = t / tiles % params.OH;
  let nc = t / (tiles * params.OH);
  let taps = channel_at(nc % params.C);

  var sum = vec4f();
  let left = ow * S - params.pad;
  for (var kh = 0u; kh < k; kh++) {
    let h = oh * S + kh - params.pad;
    let inside = h < params.H;
    let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
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
        sum += weight[taps + kh * k + kw] * window;
      }
    }
  }
  store_y((nc * params.OH + oh) * params.OW + ow, sum, params.OW - ow);
}

// One thread per four inputs of a row, S apart. Inputs S apart are under the same taps of different outputs, so a row falls
// into S phases.
@compute @workgroup_size(THREADS)
fn backward_input_row(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = thread_index(wid, num, lid);
  let tiles = ((params.W + S - 1u) / S + 3u) / 4u;
  if (t >= params.N * params.C * params.H * S * tiles) { return; }
  let right = t / tiles % S;
  let w = t % tiles * 4u * S + right;
  let h = t / (tiles * S) % params.H;
  let nc = t / (tiles * S * params.H);
  let taps = channel_at(nc % params.C);

  var sum = vec4f();
  let ow0 = (w + params.pad) / S;
  for (var kh = (h + params.pad) % S; kh < k; kh += S) {
    let oh = (h + params.pad) / S - kh / S;
    let inside = oh < params.OH;
    let row = (nc * params.OH + min(oh, params.OH - 1u)) * params.OW;
    var window = vec4f(load_dy(row, ow0 + 1u, inside), load_dy(row, ow0 + 2u, inside), load_dy(row, ow0 + 3u, inside), 0f);
    for (var kw = (right + params.pad) % S; kw < k; kw += S) {
      window = vec4f(load_dy(row, ow0 - kw / S, inside), window.xyz);
      sum += weight[taps + kh * k + kw] * window;
    }
  }
  if (w >= params.W) { return; }
  let at = (nc * params.H + h) * params.W + w;
  dx[at] = sum.x;
  if (w + S < params.W) { dx[at + S] = sum.y; }
  if (w + 2u * S < params.W) { dx[at + 2u * S] = sum.z; }
  if (w + 3u * S < params.W) { dx[at + 3u * S] = sum.w; }
}

// ---- Rows: split reduction of the weight's gradient

// Partial sums of a workgroup's threads, by thread and tap.
var<workgroup> shares: array<f32, THREADS * 7u>;

// Pixels under the next tap, from those under the tap S before it: they move on by one.
fn slide(previous: vec4f, row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(previous.yzw, load_x(row, column + 3u * S, inside));
}

// One workgroup per channel, split, and up to seven neighboring taps of a kernel row. Each thread takes every THREADS-th
// tile of four outputs; then the threads' sums of each tap are added up in the order of the threads.
@compute @workgroup_size(THREADS)
fn backward_weight_row(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let group = workgroup_index(wid, num);
  let parts = (k + 6u) / 7u;
  let kw = group % parts * 7u;
  let kh = group / parts % k;
  let c = group / (parts * k) % params.C;
  let split = group / (parts * k * params.C);
  let tiles = (params.OW + 3u) / 4u;
  let items = select(0u, params.N * params.OH * tiles, split < params.splits);

  var a0 = 0f; var a1 = 0f; var a2 = 0f; var a3 = 0f; var a4 = 0f; var a5 = 0f; var a6 = 0f;
  for (var item = split * THREADS + lid; item < items; item += params.splits * THREADS) {
    let ow = item % tiles * 4u;
    let oh = item / tiles % params.OH;
    let nc = item / (tiles * params.OH) * params.C + c;
    let d = load_dy4((nc * params.OH + oh) * params.OW, ow, true);
    let h = oh * S + kh - params.pad;
    let inside = h < params.H;
    let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
    let left = ow * S + kw - params.pad;
    let x0 = load_x4(row, left, inside);
    a0 += dot(d, x0);
    if (k > 1u) {
      var x1: vec4f;
      if (S == 1u) { x1 = slide(x0, row, left + 1u, inside); } else { x1 = load_x4(row, left + 1u, inside); }
      a1 += dot(d, x1);
      if (k > 2u) {
        var x2: vec4f;
        if (S == 1u) { x2 = slide(x1, row, left + 2u, inside); }
        else if (S == 2u) { x2 = slide(x0, row, left + 2u, inside); }
        else { x2 = load_x4(row, left + 2u, inside); }
        a2 += dot(d, x2);
        if (k > 3u) {
          var x3: vec4f;
          if (S == 1u) { x3 = slide(x2, row, left + 3u, inside); }
          else if (S == 2u) { x3 = slide(x1, row, left + 3u, inside); }
          else { x3 = load_x4(row, left + 3u, inside); }
          a3 += dot(d, x3);
          if (k > 4u) {
            var x4: vec4f;
            if (S == 1u) { x4 = slide(x3, row, left + 4u, inside); }
            else if (S == 2u) { x4 = slide(x2, row, left + 4u, inside); }
            else { x4 = load_x4(row, left + 4u, inside); }
            a4 += dot(d, x4);
            if (k > 5u) {
              var x5: vec4f;
              if (S == 1u) { x5 = slide(x4, row, left + 5u, inside); }
              else if (S == 2u) { x5 = slide(x3, row, left + 5u, inside); }
              else { x5 = load_x4(row, left + 5u, inside); }
              a5 += dot(d, x5);
              if (k > 6u) {
                var x6: vec4f;
                if (S == 1u) { x6 = slide(x5, row, left + 6u, inside); }
                else if (S == 2u) { x6 = slide(x4, row, left + 6u, inside); }
                else { x6 = load_x4(row, left + 6u, inside); }
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
  for (var tap = lid; tap < min(7u, k - kw); tap += THREADS) {
    var sum = 0f;
    for (var thread = 0u; thread < THREADS; thread++) { sum += shares[thread * 7u + tap]; }
    partial[((split * params.C + c) * k + kh) * k + kw + tap] = sum;
  }
}

// Second pass of all split reductions, one thread per weight: adds the partial sums to the gradient, in the order of the splits.
@compute @workgroup_size(THREADS)
fn backward_weight_sum(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = thread_index(wid, num, lid);
  let count = params.C * k * k;
  if (t >= count) { return; }
  var sum = 0f;
  for (var split = 0u; split < params.splits; split++) { sum += partial[split * count + t]; }
  dweight[channel_at(t / (k * k)) + t % (k * k)] += sum;
}
