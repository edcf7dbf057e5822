// SGD with momentum over all parameters at once:
//   g = grad + wd w;   buf = m buf + g;   w -= lr buf, or with Nesterov momentum  w -= lr (g + m buf)
// buf is 0 before the first step, so the first step's buf is g.
// Buffers have one layout: all parameters in a row, each tensor padded to a multiple of 64 floats. The padding is zero and
// stays zero. Threads: one per quad of four elements, so nothing races.

const THREADS: u32 = 64;

// <shared step>
// What changes from step to step; the runtime fills it in (src/runtime/step_scalars.ts).
struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
// </shared>

struct Params { quads: u32, momentum: f32, weight_decay: f32, nesterov: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> weights: array<vec4f>;   // (quads)
@group(0) @binding(3) var<storage, read> grads: array<vec4f>;           // (quads)
@group(0) @binding(4) var<storage, read_write> momentum: array<vec4f>;  // (quads)
@group(0) @binding(5) var<storage, read> decays: array<f32>;            // (quads / 16): 1 where 64 floats decay

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
  let w = weights[i];
  let g = grads[i] + params.weight_decay * decays[i / 16u] * w;
  let buf = params.momentum * momentum[i] + g;
  momentum[i] = buf;
  weights[i] = w - step.lr * select(buf, g + params.momentum * buf, params.nesterov == 1u);
}
