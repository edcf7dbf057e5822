// What a fully connected layer y = x weightᵀ + bias needs besides the matrix products of matmul.wgsl.
// N rows (batch), O outputs. Every thread writes elements of its own, so nothing races.

const THREADS: u32 = 64;

alias Strided = f32; // of a view: rows and columns lie where strides or keep-lists say
alias Kept = u32; // a channel's number in the host, of a slim encoder's keep-list
const KEPT: bool = false;

struct Params {
  N: u32, O: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> bias: array<Strided>;    // (O)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;     // (N, O)
@group(0) @binding(3) var<storage, read> dy: array<f32>;          // (N, O)
@group(0) @binding(4) var<storage, read_write> dbias: array<Strided>; // (O), accumulated
@group(0) @binding(5) var<storage, read> kept: array<Kept>;       // (O), where the outputs are kept by a list

// Where an output's bias lies in the host's.
fn output_at(o: u32) -> u32 {
  if (KEPT) { return kept[o]; }
  return o;
}

// Adds the bias to the product that y holds. One thread per element.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) li: u32) {
  let id = (wid.x + wid.y * num.x) * THREADS + li;
  if (id >= params.N * params.O) { return; }
  y[id] += bias[output_at(id % params.O)];
}

// One thread per output: it adds up the rows in their order.
@compute @workgroup_size(THREADS)
fn backward_bias(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                 @builtin(local_invocation_index) li: u32) {
  let o = (wid.x + wid.y * num.x) * THREADS + li;
  if (o >= params.O) { return; }
  var sum = 0f;
  for (var n = 0u; n < params.N; n++) { sum += dy[n * params.O + o]; }
  dbias[output_at(o)] += sum;
}
