// AdamW over all parameters at once (decoupled weight decay, bias-corrected moments):
//   w *= 1 - lr wd;   m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g²;   w -= lr (m / bias1) / (sqrt(v / bias2) + eps)
// bias1 = 1 - b1^t and bias2 = 1 - b2^t come with the step.
// Buffers have one layout: all parameters in a row, each tensor padded to a multiple of 64 floats. The padding is zero and
// stays zero. Threads: one per quad of four elements, so nothing races.

const THREADS: u32 = 64;

// <shared step>
// What changes from step to step; the runtime fills it in (src/runtime/step_scalars.ts).
struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
// </shared>

struct Params {
  quads: u32,
  beta2: f32,
  rest1: f32,  // 1 - beta1 and 1 - beta2, rounded from f64: the subtraction in f32 is off by 1e-5
  rest2: f32,
  eps: f32,
  weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> weights: array<vec4f>;  // (quads)
@group(0) @binding(3) var<storage, read> grads: array<vec4f>;          // (quads)
@group(0) @binding(4) var<storage, read_write> first: array<vec4f>;    // (quads): m
@group(0) @binding(5) var<storage, read_write> second: array<vec4f>;   // (quads): v
@group(0) @binding(6) var<storage, read> decays: array<f32>;           // (quads / 16): 1 where 64 floats decay

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
  let g = grads[i];
  let m = first[i] + params.rest1 * (g - first[i]);
  let v = params.beta2 * second[i] + params.rest2 * g * g;
  first[i] = m;
  second[i] = v;
  let w = weights[i] * (1.0 - step.lr * params.weight_decay * decays[i / 16u]);
  weights[i] = w - step.lr * (m / step.bias1) / (sqrt(v / step.bias2) + params.eps);
}
