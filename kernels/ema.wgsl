// An exponential moving average of all weights: target = m target + (1 - m) source. Both lie alike; the target may end
// where the source goes on. m is a constant or, where scheduled is 1, the step's.

const THREADS: u32 = 64;

struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
struct Params { quads: u32, scheduled: u32, momentum: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> source: array<vec4f>;       // (quads)
@group(0) @binding(3) var<storage, read_write> average: array<vec4f>; // (quads): the target

// One thread per quad, which no other reads or writes.
@compute @workgroup_size(THREADS)
fn update(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) lane: u32) {
  let i = (wid.x + wid.y * num.x) * THREADS + lane;
  if (i >= params.quads) { return; }
  let m = select(params.momentum, step.ema, params.scheduled == 1u);
  average[i] = m * average[i] + (1.0 - m) * source[i];
}
