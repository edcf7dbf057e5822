// Targets that give equal mass to column 0 of each row of similarities s (N, L) and to its `count` largest other columns;
// of equal values the leftmost wins:  targets[n, l] = 1 / (count + 1) where l is chosen, else 0.
// Columns are chosen one after the other: each round finds the first, by value and then from the left, of those that
// come after the last one chosen. Threads: LANES per row, each takes every LANES-th column, so nothing races.

const THREADS: u32 = 64;
const LANES: u32 = 32;

struct Params {
  N: u32, L: u32,
  count: u32,
  mass: f32, // 1 / (count + 1)
  half: u32, // LANES / 2, for reduce_row
}

struct Column { value: f32, index: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> s: array<f32>;              // (N, L)
@group(0) @binding(2) var<storage, read_write> targets: array<f32>;  // (N, L)

fn comes_before(a: Column, b: Column) -> bool {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}

alias Reduced = Column; // what reduce_row combines
fn merge(a: Column, b: Column) -> Column {
  if (comes_before(a, b)) { return a; }
  return b;
}

// The better of `best` and a column to its right; `open`: it comes after the last one chosen.
fn better(best: Column, value: f32, index: u32, open: bool) -> Column {
  let is = open && value > best.value;
  return Column(select(best.value, value, is), select(best.index, index, is));
}

// <shared reduce_row>
var<workgroup> tree: array<Reduced, THREADS>;

// Tree reduction in workgroup memory over the LANES threads of a row, in a fixed order; every thread gets the result.
// params.half is LANES / 2 as a uniform, so that compilers do not unroll the loop, which would be slow to compile.
fn reduce_row(lid: u32, value: Reduced) -> Reduced {
  if (LANES == 1u) { return value; }
  tree[lid] = value;
  workgroupBarrier();
  for (var half = params.half; half > 0u; half /= 2u) {
    if (lid % LANES < half) { tree[lid] = merge(tree[lid], tree[lid + half]); }
    workgroupBarrier();
  }
  return tree[lid / LANES * LANES];
}
// </shared>

// <shared row_index>
// Index of the row that a thread works on: LANES consecutive threads share a row.
fn row_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return ((wid.x + wid.y * num.x) * THREADS + lid) / LANES; }
// </shared>

// LANES threads per row; each writes every LANES-th column.
@compute @workgroup_size(THREADS)
fn spread(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) lid: u32) {
  let n = row_index(wid, num, lid);
  let base = min(n, params.N - 1u) * params.L;
  let begin = select(lid % LANES, LANES, lid % LANES == 0u); // column 0 is always chosen
  var last = Column(3.4028234e38, 0u);
  for (var round = 0u; round < params.count; round++) {
    var best = Column(-3.4028234e38, 0xffffffffu);
    for (var i = begin; i < params.L; i += 4u * LANES) {
      let four = min(i + LANES * vec4u(0u, 1u, 2u, 3u), vec4u(params.L - 1u));
      let at = base + four;
      let v = vec4f(s[at.x], s[at.y], s[at.z], s[at.w]);
      let open = (v < vec4f(last.value)) | ((v == vec4f(last.value)) & (four > vec4u(last.index)));
      best = better(best, v.x, four.x, open.x);
      best = better(best, v.y, four.y, open.y);
      best = better(best, v.z, four.z, open.z);
      best = better(best, v.w, four.w, open.w);
    }
    last = reduce_row(lid, best);
    if (LANES > 1u) { workgroupBarrier(); } // the next round writes the tree again
  }
  if (n >= params.N) { return; }
  for (var i = lid % LANES; i < params.L; i += LANES) {
    let beyond = i > 0u && comes_before(last, Column(s[base + i], i));
    targets[base + i] = select(params.mass, 0.0, beyond);
  }
}
