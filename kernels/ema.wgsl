// Exponential moving average of all weights, as for a teacher:
//   average = m average + (1 - m) source
// m is `momentum`, or the step's value where `scheduled` is 1. average may be longer than source; the rest is left alone.
// Threads: one per quad of four elements, so nothing races.

const THREADS: u32 = 64;

// <shared step>
// What changes from step to step; the runtime fills it in (src/runtime/step_scalars.ts).
struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
// </shared>

struct Params { quads: u32, scheduled: u32, momentum: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> source: array<vec4f>;        // (quads)
@group(0) @binding(3) var<storage, read_write> average: array<vec4f>; // (quads)

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// One thread per quad (four elements); no other thread reads or writes it.
@compute @workgroup_size(THREADS)
fn update(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.quads) { return; }
  let m = select(params.momentum, step.ema, params.scheduled == 1u);
  average[i] = m * average[i] + (1.0 - m) * source[i];
}
