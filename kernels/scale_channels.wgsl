// Scaling of planes, the excitation of squeeze-and-excitation: y[n,c,p] = scale[n,c] x[n,c,p].
// NC = N·C planes of P pixels. Backward, in one pass over dy and x: dx = scale dy and dscale[n,c] = Σ_p dy x.
// LANES threads share a plane, each takes every LANES-th pixel; their sums meet in a tree of fixed order.

const THREADS: u32 = 64;
const LANES: u32 = 8;

alias Stored = f32;    // how activations are kept: f16 where precision is f16

struct Params { NC: u32, P: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;         // (NC, P)
@group(0) @binding(2) var<storage, read> scale: array<f32>;        // (NC)
@group(0) @binding(3) var<storage, read> dy: array<f32>;           // (NC, P)
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;   // (NC, P)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;     // (NC, P)
@group(0) @binding(6) var<storage, read_write> dscale: array<f32>; // (NC)

var<workgroup> shared_sum: array<f32, THREADS>;

fn thread(wid: vec3u, num: vec3u, lane: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lane; }

// LANES threads per plane, each writes every LANES-th pixel.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  let plane = t / LANES;
  if (plane >= params.NC) { return; }
  let factor = scale[plane];
  let base = plane * params.P;
  for (var i = t % LANES; i < params.P; i += LANES) { y[base + i] = Stored(factor * f32(x[base + i])); }
}

// LANES threads per plane, each writes every LANES-th pixel of dx; the first of them writes the sum.
@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  let plane = t / LANES;
  let inside = plane < params.NC;
  let base = select(0u, plane * params.P, inside);
  let end = select(0u, params.P, inside);
  let factor = scale[select(0u, plane, inside)];
  var sum = 0f;
  for (var i = t % LANES; i < end; i += LANES) {
    let g = dy[base + i];
    sum += g * f32(x[base + i]);
    dx[base + i] = factor * g;
  }
  shared_sum[lane] = sum;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (t % LANES < half) { shared_sum[lane] += shared_sum[lane + half]; }
    workgroupBarrier();
  }
  if (t % LANES == 0u && inside) { dscale[plane] = shared_sum[lane]; }
}
