// Convolution, NCHW times OIHW, no bias; any kernel side, stride and padding.
//
//   y[n,o,oh,ow]  = Σ_i,kh,kw x[n, i, oh S + kh - pad, ow S + kw - pad] weight[o,i,kh,kw]
//   dx[n,i,h,w]   = Σ_o,kh,kw dy[n, o, (h + pad - kh) / S, (w + pad - kw) / S] weight[o,i,kh,kw], where the divisions are exact
//   dweight[o,i,kh,kw] += Σ_n,oh,ow x[n, i, oh S + kh - pad, ow S + kw - pad] dy[n,o,oh,ow]
//
// N batch, I input and O output channels, (H, W) → (OH, OW), k kernel side, S stride, pad padding.
// The weight may be a slice of a wider host's: ldw is the host's stride between output channels.
//
// This file is the reference: one thread per result. Its variants are
//   conv2d.window.wgsl    register tile: four pixels of a row for eight channels; any k and S
//   conv2d.subgroup.wgsl  the same with subgroupBroadcast
//   conv2d.tile.wgsl      3x3, subgroups: two rows of four pixels for up to 16 channels; forward and backward_input
//   conv2d.weight.wgsl    3x3, subgroups: backward_weight with nine taps in registers
// It also has backward_weight_sum, the second pass of their split reductions.
// Threads: in all variants a thread writes only its own results, so nothing races; backward_input gathers.

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

struct Params {
  N: u32, I: u32, O: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  pad: u32,
  ldw: u32,    // stride of the weight between output channels
  splits: u32, // backward_weight_sum: partial sums of a weight
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, I, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (O, I, k, k), ldw between rows
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, O, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, O, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, I, H, W)
@group(0) @binding(6) var<storage, read_write> dweight: array<Strided>; // (O, I, k, k), ldw between rows; added to
@group(0) @binding(7) var<storage, read_write> partial: array<f32>; // (splits, O, I, k, k)
@group(0) @binding(8) var<storage, read> kept_rows: array<Kept>;    // (O), optional: the kept rows of the weight
@group(0) @binding(9) var<storage, read> kept_columns: array<Kept>; // (I), optional: its kept columns

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

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// One thread per output pixel.
@compute @workgroup_size(THREADS)
fn forward(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = thread_index(wid, num, lid);
  if (t >= params.N * params.O * params.OH * params.OW) { return; }
  let ow = t % params.OW;
  let oh = t / params.OW % params.OH;
  let o = t / (params.OW * params.OH) % params.O;
  let n = t / (params.OW * params.OH * params.O);

  var sum = 0f;
  for (var i = 0u; i < params.I; i++) {
    for (var kh = 0u; kh < k; kh++) {
      for (var kw = 0u; kw < k; kw++) {
        // Unsigned: a tap above or left of the image wraps to a large number and fails the same test.
        let h = oh * S + kh - params.pad;
        let w = ow * S + kw - params.pad;
        if (h < params.H && w < params.W) {
          sum += f32(x[((n * params.I + i) * params.H + h) * params.W + w]) * weight[row_at(o) + column_at(i) + kh * k + kw];
        }
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
  if (t >= params.N * params.I * params.H * params.W) { return; }
  let w = t % params.W;
  let h = t / params.W % params.H;
  let i = t / (params.W * params.H) % params.I;
  let n = t / (params.W * params.H * params.I);

  var sum = 0f;
  for (var o = 0u; o < params.O; o++) {
    for (var kh = 0u; kh < k; kh++) {
      for (var kw = 0u; kw < k; kw++) {
        let down = h + params.pad - kh;
        let right = w + params.pad - kw;
        // A negative distance wraps to a large number, which is still beyond OH or OW after the division.
        if (down % S == 0u && right % S == 0u && down / S < params.OH && right / S < params.OW) {
          sum += dy[((n * params.O + o) * params.OH + down / S) * params.OW + right / S]
            * weight[row_at(o) + column_at(i) + kh * k + kw];
        }
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
  let row = params.I * k * k;
  if (t >= params.O * row) { return; }
  let kw = t % k;
  let kh = t / k % k;
  let i = t / (k * k) % params.I;
  let o = t / row;

  var sum = 0f;
  for (var n = 0u; n < params.N; n++) {
    for (var oh = 0u; oh < params.OH; oh++) {
      for (var ow = 0u; ow < params.OW; ow++) {
        let h = oh * S + kh - params.pad;
        let w = ow * S + kw - params.pad;
        if (h < params.H && w < params.W) {
          sum += f32(x[((n * params.I + i) * params.H + h) * params.W + w])
            * dy[((n * params.O + o) * params.OH + oh) * params.OW + ow];
        }
      }
    }
  }
  dweight[row_at(o) + column_at(i) + t % (k * k)] += sum;
}

// Second pass of a split reduction, one thread per weight: adds the partial sums to the gradient, in the order of the splits.
@compute @workgroup_size(THREADS)
fn backward_weight_sum(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = thread_index(wid, num, lid);
  let row = params.I * k * k;
  let count = params.O * row;
  if (t >= count) { return; }
  var sum = 0f;
  for (var split = 0u; split < params.splits; split++) { sum += partial[split * count + t]; }
  dweight[row_at(t / row) + column_at(t % row / (k * k)) + t % (k * k)] += sum;
}
