// Targets that spread a mass of 1 equally over column 0 of each row of similarities s (N, L) and its `count` largest other
// columns; of equal ones the leftmost wins.
// Columns are chosen one after the other: each round takes the first, by value and then from the left, of those that come after
// the last one chosen. LANES threads share a row, each looks at every LANES-th column; what they found meets in a tree.

const THREADS: u32 = 64;
const LANES: u32 = 32;

struct Params {
  N: u32, L: u32,
  count: u32,
  mass: f32, // 1 / (count + 1)
  half: u32, // LANES / 2: taken from here, the tree's loop stays a loop, which compiles faster
}

struct Column { value: f32, index: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> s: array<f32>;              // (N, L)
@group(0) @binding(2) var<storage, read_write> targets: array<f32>;  // (N, L)

var<workgroup> tree: array<Column, THREADS>;

fn comes_before(a: Column, b: Column) -> bool {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}

fn first_of(a: Column, b: Column) -> Column {
  if (comes_before(a, b)) { return a; }
  return b;
}

// What is best among columns that come from left to right, with one more; `open` says whether it comes after the last chosen.
fn better(best: Column, value: f32, index: u32, open: bool) -> Column {
  let is = open && value > best.value;
  return Column(select(best.value, value, is), select(best.index, index, is));
}

// The first of what the threads of a row have; each gets the result.
fn meet(li: u32, value: Column) -> Column {
  if (LANES == 1u) { return value; }
  tree[li] = value;
  workgroupBarrier();
  for (var half = params.half; half > 0u; half /= 2u) {
    if (li % LANES < half) { tree[li] = first_of(tree[li], tree[li + half]); }
    workgroupBarrier();
  }
  let result = tree[li / LANES * LANES];
  workgroupBarrier();
  return result;
}

// LANES threads per row, each writes every LANES-th column.
@compute @workgroup_size(THREADS)
fn spread(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) li: u32) {
  let n = ((wid.x + wid.y * num.x) * THREADS + li) / LANES;
  let base = min(n, params.N - 1u) * params.L;
  let begin = select(li % LANES, LANES, li % LANES == 0u); // column 0 is not among them
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
    last = meet(li, best);
  }
  if (n >= params.N) { return; }
  for (var i = li % LANES; i < params.L; i += LANES) {
    let beyond = i > 0u && comes_before(last, Column(s[base + i], i));
    targets[base + i] = select(params.mass, 0.0, beyond);
  }
}
