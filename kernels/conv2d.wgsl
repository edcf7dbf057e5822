// Convolution, NCHW times OIHW, no bias; any kernel size, stride and padding.
//
//   y[n,o,p,q] = sum over i, ky, kx of x[n, i, p*S + ky - P, q*S + kx - P] * weight[o,i,ky,kx]
//
// N batch, I input channels, O output channels, H W input, OH OW output, K kernel side, S stride, P padding.
// The weight may be a slice of a wider host's: ldw is the host's distance between output channels.
//
// Here: one thread a result, the reference and the documentation of the faster forms in conv2d.window.wgsl and
// conv2d.subgroup.wgsl; and the sum of partial weight gradients, which those share. In all forms a thread owns what it
// writes, so nothing races.

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
@group(0) @binding(6) var<storage, read_write> dweight: array<Strided>; // (O, I, K, K), ldw as above; added to
@group(0) @binding(7) var<storage, read_write> partial: array<f32>; // (splits, O, I, K, K)
@group(0) @binding(8) var<storage, read> kept_rows: array<Kept>;    // (O), where the weight's rows are kept by a list
@group(0) @binding(9) var<storage, read> kept_columns: array<Kept>; // (I), its columns likewise

// Where an output channel's and an input channel's kernels lie in the host's weight.
fn row_at(o: u32) -> u32 {
  if (KEPT_ROWS) { return kept_rows[o] * params.ldw; }
  return o * params.ldw;
}
fn column_at(i: u32) -> u32 {
  if (KEPT_COLUMNS) { return kept_columns[i] * K * K; }
  return i * K * K;
}

// Plain: one thread an output pixel.
@compute @workgroup_size(THREADS)
fn forward(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  if (t >= params.N * params.O * params.OH * params.OW) { return; }
  let q = t % params.OW;
  let p = t / params.OW % params.OH;
  let o = t / (params.OW * params.OH) % params.O;
  let n = t / (params.OW * params.OH * params.O);

  var sum = 0f;
  for (var i = 0u; i < params.I; i++) {
    for (var ky = 0u; ky < K; ky++) {
      for (var kx = 0u; kx < K; kx++) {
        // Unsigned: a tap above or left of the image wraps round and fails the same test as one below or right of it.
        let h = p * S + ky - params.P;
        let w = q * S + kx - params.P;
        if (h < params.H && w < params.W) {
          sum += f32(x[((n * params.I + i) * params.H + h) * params.W + w]) * weight[row_at(o) + column_at(i) + ky * K + kx];
        }
      }
    }
  }
  y[t] = Stored(sum);
}

// Plain: one thread an input pixel, which gathers every output that saw it, so nothing races.
@compute @workgroup_size(THREADS)
fn backward_input(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  if (t >= params.N * params.I * params.H * params.W) { return; }
  let w = t % params.W;
  let h = t / params.W % params.H;
  let i = t / (params.W * params.H) % params.I;
  let n = t / (params.W * params.H * params.I);

  var sum = 0f;
  for (var o = 0u; o < params.O; o++) {
    for (var ky = 0u; ky < K; ky++) {
      for (var kx = 0u; kx < K; kx++) {
        let down = h + params.P - ky;
        let right = w + params.P - kx;
        // A wrapped (negative) distance is huge, and stays beyond OH or OW after the division.
        if (down % S == 0u && right % S == 0u && down / S < params.OH && right / S < params.OW) {
          sum += dy[((n * params.O + o) * params.OH + down / S) * params.OW + right / S]
            * weight[row_at(o) + column_at(i) + ky * K + kx];
        }
      }
    }
  }
  dx[t] = sum;
}

// Plain: one thread a weight, over the whole batch.
@compute @workgroup_size(THREADS)
fn backward_weight(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let row = params.I * K * K;
  if (t >= params.O * row) { return; }
  let kx = t % K;
  let ky = t / K % K;
  let i = t / (K * K) % params.I;
  let o = t / row;

  var sum = 0f;
  for (var n = 0u; n < params.N; n++) {
    for (var p = 0u; p < params.OH; p++) {
      for (var q = 0u; q < params.OW; q++) {
        let h = p * S + ky - params.P;
        let w = q * S + kx - params.P;
        if (h < params.H && w < params.W) {
          sum += f32(x[((n * params.I + i) * params.H + h) * params.W + w])
            * dy[((n * params.O + o) * params.OH + p) * params.OW + q];
        }
      }
    }
  }
  dweight[row_at(o) + column_at(i) + t % (K * K)] += sum;
}

// One thread a weight: adds its partials to the gradient, in the order of the splits.
@compute @workgroup_size(THREADS)
fn backward_weight_sum(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let row = params.I * K * K;
  let count = params.O * row;
  if (t >= count) { return; }
  var sum = 0f;
  for (var split = 0u; split < params.splits; split++) { sum += partial[split * count + t]; }
  dweight[row_at(t / row) + column_at(t % row / (K * K)) + t % (K * K)] += sum;
}
