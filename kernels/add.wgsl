// Elementwise sum y = a + b over n elements: the residual add, and the meeting of two gradients; or total += part.
// Its backward is the identity on both sides, so it has no kernel.

alias Stored4 = vec4f; // how activations are kept, by fours: f16 where precision is f16

struct Params {
  n: u32, // elements
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored4>;     // (n)
@group(0) @binding(2) var<storage, read> b: array<Stored4>;     // (n)
@group(0) @binding(3) var<storage, read_write> y: array<Stored4>; // (n)
@group(0) @binding(4) var<storage, read> part: array<f32>;        // (n)
@group(0) @binding(5) var<storage, read_write> total: array<f32>; // (n)

// One thread per 4 elements; each writes its own. Buffers are padded to 16 bytes, so the last vector may overhang.
@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wid.x + wid.y * num.x) * 64u + lane;
  if (i * 4u >= params.n) { return; }
  y[i] = Stored4(vec4f(a[i]) + vec4f(b[i]));
}

// One thread per element of what is added: nothing behind the last is touched, which may be a neighbour's.
@compute @workgroup_size(64)
fn accumulate(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wid.x + wid.y * num.x) * 64u + lane;
  if (i >= params.n) { return; }
  total[i] += part[i];
}
