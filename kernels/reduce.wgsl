// Sum along one dimension of a dense tensor seen as (outer, L, inner), and its gradient:
//   y[o, i] = factor Σ_l x[o, l, i]        dx[o, l, i] = factor dy[o, i]
//
// Split reduction: a thread adds up few elements, in four running sums, and writes one of `splits` partial sums of its
// (o, i); the partial sums (outer, splits, inner) are summed in the same way until one is left. The error grows with
// log L, and the order of additions depends on the shape alone. Threads: each writes its own element, so nothing races.

const THREADS: u32 = 64;

alias Stored = f32; // activations in memory: f16 with precision 'f16'; sums are f32

struct Params {
  outer: u32, L: u32, inner: u32,
  splits: u32, // partial sums of L elements
  factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;      // (outer, L, inner)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // (outer, splits, inner)
@group(0) @binding(3) var<storage, read> dy: array<f32>;        // (outer, inner)
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // (outer, L, inner)

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// One thread per (o, s, i): sums elements s, s + splits, ... and writes y[o, s, i]. Neighboring threads read neighboring
// elements, whatever `inner` is.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  if (t >= params.outer * params.splits * params.inner) { return; }
  let i = t % params.inner;
  let s = t / params.inner % params.splits;
  let base = t / params.inner / params.splits * params.L * params.inner + i;
  var sums = vec4f();
  for (var first = s; first < params.L; first += 4u * params.splits) {
    let l = first + params.splits * vec4u(0u, 1u, 2u, 3u);
    let at = base + min(l, vec4u(params.L - 1u)) * params.inner;
    let v = vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w]));
    sums += select(vec4f(), v, l < vec4u(params.L));
  }
  y[t] = params.factor * ((sums.x + sums.y) + (sums.z + sums.w));
}

// One thread per element of x.
@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  if (t >= params.outer * params.L * params.inner) { return; }
  var source = t % params.inner;
  if (params.outer > 1u) { source += t / params.inner / params.L * params.inner; }
  dx[t] = params.factor * dy[source];
}
