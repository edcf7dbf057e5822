// Elementwise sum y = a + b of n elements (residual connections, gradients that meet), or total += part in place.
// The gradient of a sum is dy for both operands, so there is no backward kernel.
// Threads: each writes its own elements, so nothing races.

const THREADS: u32 = 64;

alias Stored4 = vec4f; // four activations in memory: f16 with precision 'f16'

struct Params {
  n: u32, // elements
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored4>;       // (n)
@group(0) @binding(2) var<storage, read> b: array<Stored4>;       // (n)
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>; // (n)
@group(0) @binding(4) var<storage, read> part: array<f32>;         // (n)
@group(0) @binding(5) var<storage, read_write> total: array<f32>; // (n)

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// One thread per four elements. Buffers are padded to 16 bytes, so the last vector may reach into the padding.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i * 4u >= params.n) { return; }
  y[i] = Stored4(vec4f(a[i]) + vec4f(b[i]));
}

// One thread per element: `total` may be a slice, whose next elements belong to another tensor.
@compute @workgroup_size(THREADS)
fn accumulate(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
              @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.n) { return; }
  total[i] += part[i];
}
