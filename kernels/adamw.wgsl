// AdamW over all parameters at once (decoupled weight decay, bias-corrected moments):
//   w *= 1 - lr wd;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g²;  w -= lr (m / bias1) / (sqrt(v / bias2) + eps)
// bias1 = 1 - b1^t and bias2 = 1 - b2^t come with the step. Parameters, gradients and moments lie alike, tensors on
// 64-float boundaries; what lies between them is zero and stays so.

const THREADS: u32 = 64;

struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
struct Params {
  quads: u32,
  beta2: f32,
  rest1: f32,  // 1 - beta1 and 1 - beta2, as rounded from f64: in f32 the subtraction would cost 1e-5
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
@group(0) @binding(6) var<storage, read> decays: array<f32>;           // (quads / 16): 1 where a 64-float block decays

// One thread per quad, which no other reads or writes.
@compute @workgroup_size(THREADS)
fn update(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) lane: u32) {
  let i = (wid.x + wid.y * num.x) * THREADS + lane;
  if (i >= params.quads) { return; }
  let g = grads[i];
  let m = first[i] + params.rest1 * (g - first[i]);
  let v = params.beta2 * second[i] + params.rest2 * g * g;
  first[i] = m;
  second[i] = v;
  let w = weights[i] * (1.0 - step.lr * params.weight_decay * decays[i / 16u]);
  weights[i] = w - step.lr * (m / step.bias1) / (sqrt(v / step.bias2) + params.eps);
}
