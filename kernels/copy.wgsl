// Copies between a dense block and a view that is part of something larger: of a matrix's columns, a transposed one, a slice of a
// host's weight by strides or by keep-lists.
//
// An element of the block has four indices, of sides (n / (n1 n2 n3), n1, n2, n3); the view has a stride for each, and lists, where
// they are bound, say which rows (index 0) and columns (index 1) of the host it keeps.

const THREADS: u32 = 64;
const ACCUMULATE: bool = false; // add to the view
const KEPT_ROWS: bool = false;
const KEPT_COLUMNS: bool = false;

alias Stored = f32; // how activations are kept: f16 where precision is f16
alias Kept = u32;   // elements of a keep-list

struct Params {
  n: u32, // elements of the block
  n1: u32, n2: u32, n3: u32,
  s0: u32, s1: u32, s2: u32, s3: u32, // strides of the view
  first: u32, // where it begins
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> view: array<Stored>;
@group(0) @binding(2) var<storage, read_write> dense_out: array<Stored>; // (n)
@group(0) @binding(3) var<storage, read> dense: array<Stored>;           // (n)
@group(0) @binding(4) var<storage, read_write> view_out: array<Stored>;
@group(0) @binding(5) var<storage, read> kept_rows: array<Kept>;
@group(0) @binding(6) var<storage, read> kept_columns: array<Kept>;

fn thread(wid: vec3u, num: vec3u, lane: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lane; }

// Where element i of the block lies in the view.
fn place(i: u32) -> u32 {
  let above = i / params.n3;
  let blocks = above / params.n2;
  var row = blocks / params.n1;
  var column = blocks % params.n1;
  if (KEPT_ROWS) { row = kept_rows[row]; }
  if (KEPT_COLUMNS) { column = kept_columns[column]; }
  return params.first + row * params.s0 + column * params.s1 + above % params.n2 * params.s2 + i % params.n3 * params.s3;
}

// One thread per element of the block, which it writes.
@compute @workgroup_size(THREADS)
fn gather(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) lane: u32) {
  let i = thread(wid, num, lane);
  if (i >= params.n) { return; }
  dense_out[i] = view[place(i)];
}

// One thread per element of the block; no two elements of a view lie in one place, so each thread alone writes its own.
@compute @workgroup_size(THREADS)
fn scatter(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lane: u32) {
  let i = thread(wid, num, lane);
  if (i >= params.n) { return; }
  let at = place(i);
  if (ACCUMULATE) { view_out[at] += dense[i]; } else { view_out[at] = dense[i]; }
}
