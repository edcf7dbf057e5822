// What an adapter can do at best: multiply-adds out of registers, and a copy from memory to memory.
// The chains of multiply-adds do not depend on each other, so that none waits for another's result; how many hide the
// latency without spilling registers differs between adapters, hence several shapes, of which the best counts.

const TRIPS: u32 = 256;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;       // copies: as long as y; otherwise one element, below 1
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>; // copies: as long as x; otherwise one element a thread

fn flat(wid: vec3u, num: vec3u, lane: u32) -> u32 { return (wid.x + wid.y * num.x) * 64u + lane; }

// One thread per TRIPS * 32 multiply-adds, in 8 chains of scalars.
@compute @workgroup_size(64)
fn scalar8(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lane: u32) {
  let m = x[0].x;
  let b = x[0].y;
  var a0 = f32(lane); var a1 = a0 + 1f; var a2 = a0 + 2f; var a3 = a0 + 3f;
  var a4 = a0 + 4f; var a5 = a0 + 5f; var a6 = a0 + 6f; var a7 = a0 + 7f;
  for (var i = 0u; i < TRIPS; i++) {
    a0 = fma(a0, m, b); a1 = fma(a1, m, b); a2 = fma(a2, m, b); a3 = fma(a3, m, b);
    a4 = fma(a4, m, b); a5 = fma(a5, m, b); a6 = fma(a6, m, b); a7 = fma(a7, m, b);
    a0 = fma(a0, m, b); a1 = fma(a1, m, b); a2 = fma(a2, m, b); a3 = fma(a3, m, b);
    a4 = fma(a4, m, b); a5 = fma(a5, m, b); a6 = fma(a6, m, b); a7 = fma(a7, m, b);
    a0 = fma(a0, m, b); a1 = fma(a1, m, b); a2 = fma(a2, m, b); a3 = fma(a3, m, b);
    a4 = fma(a4, m, b); a5 = fma(a5, m, b); a6 = fma(a6, m, b); a7 = fma(a7, m, b);
    a0 = fma(a0, m, b); a1 = fma(a1, m, b); a2 = fma(a2, m, b); a3 = fma(a3, m, b);
    a4 = fma(a4, m, b); a5 = fma(a5, m, b); a6 = fma(a6, m, b); a7 = fma(a7, m, b);
  }
  y[flat(wid, num, lane)] = vec4f(a0, a1, a2, a3) + vec4f(a4, a5, a6, a7);
}

// One thread per TRIPS * 32 multiply-adds, in 2 chains of vectors.
@compute @workgroup_size(64)
fn vector2(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lane: u32) {
  let m = x[0];
  let b = x[0].yzwx;
  var a0 = vec4f(f32(lane)); var a1 = a0 + 1f;
  for (var i = 0u; i < TRIPS; i++) {
    a0 = fma(a0, m, b); a1 = fma(a1, m, b); a0 = fma(a0, m, b); a1 = fma(a1, m, b);
    a0 = fma(a0, m, b); a1 = fma(a1, m, b); a0 = fma(a0, m, b); a1 = fma(a1, m, b);
  }
  y[flat(wid, num, lane)] = a0 + a1;
}

// One thread per TRIPS * 32 multiply-adds, in 8 chains of vectors.
@compute @workgroup_size(64)
fn vector8(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lane: u32) {
  let m = x[0];
  let b = x[0].yzwx;
  var a0 = vec4f(f32(lane)); var a1 = a0 + 1f; var a2 = a0 + 2f; var a3 = a0 + 3f;
  var a4 = a0 + 4f; var a5 = a0 + 5f; var a6 = a0 + 6f; var a7 = a0 + 7f;
  for (var i = 0u; i < TRIPS; i++) {
    a0 = fma(a0, m, b); a1 = fma(a1, m, b); a2 = fma(a2, m, b); a3 = fma(a3, m, b);
    a4 = fma(a4, m, b); a5 = fma(a5, m, b); a6 = fma(a6, m, b); a7 = fma(a7, m, b);
  }
  y[flat(wid, num, lane)] = (a0 + a1 + a2 + a3) + (a4 + a5 + a6 + a7);
}

// One thread per element: 16 bytes read, 16 written.
@compute @workgroup_size(64)
fn copy(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat(wid, num, lane);
  y[i] = x[i];
}

// One thread per four elements, 64 apart: neighbors read neighbors, as memory systems of GPUs like it.
@compute @workgroup_size(64)
fn copy_apart(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wid.x + wid.y * num.x) * 256u + lane;
  y[i] = x[i];
  y[i + 64u] = x[i + 64u];
  y[i + 128u] = x[i + 128u];
  y[i + 192u] = x[i + 192u];
}

// One thread per four elements in a row: a thread walks through a cache line, as CPUs like it.
@compute @workgroup_size(64)
fn copy_along(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat(wid, num, lane) * 4u;
  y[i] = x[i];
  y[i + 1u] = x[i + 1u];
  y[i + 2u] = x[i + 2u];
  y[i + 3u] = x[i + 3u];
}
