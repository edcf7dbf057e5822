// Sums over one side of a dense tensor seen as (O, L, I): y[o, i] = factor Σ_l x[o, l, i]; and the gradient of that.
//
// A thread adds up few elements, in four sums, and leaves one of S partial sums of its (o, i); these are (O, S, I) and summed in
// the same way until S is 1. So the error grows with the logarithm of L, and the order of additions depends on shapes alone.

const THREADS: u32 = 64;

alias Stored = f32; // how activations are kept: f16 where precision is f16; sums are f32

struct Params {
  O: u32, L: u32, I: u32,
  S: u32, // sums that are left of L elements
  factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;      // (O, L, I)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // (O, S, I)
@group(0) @binding(3) var<storage, read> dy: array<f32>;        // (O, I)
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // (O, L, I)

fn thread(wid: vec3u, num: vec3u, lane: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lane; }

// One thread per (o, s, i): it adds up every S-th element from the s-th on and alone writes y[o, s, i]. Neighbours read neighbours,
// whether I is 1 or not.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  if (t >= params.O * params.S * params.I) { return; }
  let i = t % params.I;
  let s = t / params.I % params.S;
  let base = t / params.I / params.S * params.L * params.I + i;
  var sums = vec4f();
  for (var first = s; first < params.L; first += 4u * params.S) {
    let l = first + params.S * vec4u(0u, 1u, 2u, 3u);
    let at = base + min(l, vec4u(params.L - 1u)) * params.I;
    let v = vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w]));
    sums += select(vec4f(), v, l < vec4u(params.L));
  }
  y[t] = params.factor * ((sums.x + sums.y) + (sums.z + sums.w));
}

// One thread per element of x.
@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  if (t >= params.O * params.L * params.I) { return; }
  var source = t % params.I;
  if (params.O > 1u) { source += t / params.I / params.L * params.I; }
  dx[t] = params.factor * dy[source];
}
