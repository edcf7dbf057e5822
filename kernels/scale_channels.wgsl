// Scale each plane by a factor, as in squeeze-and-excitation, and its gradients:
//   y[n,c,p] = scale[n,c] x[n,c,p]        dx = scale dy        dscale[n,c] = Σ_p dy x, in one pass over dy and x
// NC = N·C planes of HW pixels. Threads: LANES per plane, each takes every LANES-th pixel, so nothing races.

const THREADS: u32 = 64;
const LANES: u32 = 8;

alias Stored = f32; // activations in memory: f16 with precision 'f16'

struct Params { NC: u32, HW: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;         // (NC, HW)
@group(0) @binding(2) var<storage, read> scale: array<f32>;        // (NC)
@group(0) @binding(3) var<storage, read> dy: array<f32>;           // (NC, HW)
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;   // (NC, HW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;     // (NC, HW)
@group(0) @binding(6) var<storage, read_write> dscale: array<f32>; // (NC)

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// <shared reduce_plane>
var<workgroup> tree: array<f32, THREADS>;

// Sum over the LANES threads of a plane: tree reduction in workgroup memory, in a fixed order. The first of them gets it.
fn reduce_plane(lid: u32, value: f32) -> f32 {
  tree[lid] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lid % LANES < half) { tree[lid] += tree[lid + half]; }
    workgroupBarrier();
  }
  return tree[lid];
}
// </shared>

// LANES threads per plane; each writes every LANES-th pixel.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  let plane = t / LANES;
  if (plane >= params.NC) { return; }
  let factor = scale[plane];
  let base = plane * params.HW;
  for (var i = t % LANES; i < params.HW; i += LANES) { y[base + i] = Stored(factor * f32(x[base + i])); }
}

// LANES threads per plane; each writes every LANES-th pixel of dx, the first one writes the sum.
@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
            @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  let plane = t / LANES;
  let inside = plane < params.NC;
  let base = select(0u, plane * params.HW, inside);
  let end = select(0u, params.HW, inside);
  let factor = scale[select(0u, plane, inside)];
  var sum = 0f;
  for (var i = t % LANES; i < end; i += LANES) {
    let g = dy[base + i];
    sum += g * f32(x[base + i]);
    dx[base + i] = factor * g;
  }
  let total = reduce_plane(lid, sum);
  if (t % LANES == 0u && inside) { dscale[plane] = total; }
}
