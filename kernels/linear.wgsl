// Bias of a fully connected layer y = x weightᵀ + bias, and its gradient; the products are matmul.wgsl's.
// N rows (batch), O outputs. Threads: each writes its own elements, so nothing races.

const THREADS: u32 = 64;

// <shared slice_channels>
alias Strided = f32;       // element of a slice: strides or a list of kept channels say where it lies
alias Kept = u32;          // number of a kept channel in the host
const KEPT: bool = false;  // true where `kept` is bound
// </shared>

struct Params {
  N: u32, O: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> bias: array<Strided>;        // (O)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;         // (N, O)
@group(0) @binding(3) var<storage, read> dy: array<f32>;              // (N, O)
@group(0) @binding(4) var<storage, read_write> dbias: array<Strided>; // (O), accumulated
@group(0) @binding(5) var<storage, read> kept: array<Kept>;           // (O), optional: the kept outputs

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// Offset of an output's bias in the host's.
fn output_at(o: u32) -> u32 {
  if (KEPT) { return kept[o]; }
  return o;
}

// y += bias, of y that holds the product. One thread per element.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let id = thread_index(wid, num, lid);
  if (id >= params.N * params.O) { return; }
  y[id] += bias[output_at(id % params.O)];
}

// dbias += Σ_n dy[n]. One thread per output, which adds up the rows in order.
@compute @workgroup_size(THREADS)
fn backward_bias(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                 @builtin(local_invocation_index) lid: u32) {
  let o = thread_index(wid, num, lid);
  if (o >= params.O) { return; }
  var sum = 0f;
  for (var n = 0u; n < params.N; n++) { sum += dy[n * params.O + o]; }
  dbias[output_at(o)] += sum;
}
