// Copy between a dense tensor and a view of a larger one: columns of a matrix, a transpose, a slice of a host's weight by
// strides or by lists of kept channels.
//   gather: dense[i] = view[offset(i)]        scatter: view[offset(i)] = dense[i], or += with ACCUMULATE
//
// An element of the dense tensor (n / (n1 n2 n3), n1, n2, n3) has four indices; the view has a stride for each, and the
// lists, where bound, give the host's row for index 0 and the host's column for index 1.
// Threads: one per element of the dense tensor. No two elements of a view have the same offset, so nothing races.

const THREADS: u32 = 64;
const ACCUMULATE: bool = false;   // add to the view
const KEPT_ROWS: bool = false;    // true where kept_rows is bound
const KEPT_COLUMNS: bool = false; // true where kept_columns is bound

alias Stored = f32; // activations in memory: f16 with precision 'f16'
alias Kept = u32;   // number of a kept channel in the host

struct Params {
  n: u32, // elements of the dense tensor
  n1: u32, n2: u32, n3: u32,
  s0: u32, s1: u32, s2: u32, s3: u32, // strides of the view
  first: u32, // offset of its first element
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> view: array<Stored>;
@group(0) @binding(2) var<storage, read_write> dense_out: array<Stored>; // (n)
@group(0) @binding(3) var<storage, read> dense: array<Stored>;           // (n)
@group(0) @binding(4) var<storage, read_write> view_out: array<Stored>;
@group(0) @binding(5) var<storage, read> kept_rows: array<Kept>;
@group(0) @binding(6) var<storage, read> kept_columns: array<Kept>;

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// Offset in the view of element i of the dense tensor.
fn offset(i: u32) -> u32 {
  let above = i / params.n3;
  let blocks = above / params.n2;
  var row = blocks / params.n1;
  var column = blocks % params.n1;
  if (KEPT_ROWS) { row = kept_rows[row]; }
  if (KEPT_COLUMNS) { column = kept_columns[column]; }
  return params.first + row * params.s0 + column * params.s1 + above % params.n2 * params.s2 + i % params.n3 * params.s3;
}

// One thread per element of the dense tensor, which it writes.
@compute @workgroup_size(THREADS)
fn gather(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.n) { return; }
  dense_out[i] = view[offset(i)];
}

// One thread per element of the dense tensor, which it writes or adds to the view.
@compute @workgroup_size(THREADS)
fn scatter(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.n) { return; }
  let at = offset(i);
  if (ACCUMULATE) { view_out[at] += dense[i]; } else { view_out[at] = dense[i]; }
}
