// Stochastic gradient descent with momentum over all parameters at once:
//   g = grad + wd w;  buf = m buf + g;  w -= lr buf, or with Nesterov  w -= lr (g + m buf)
// buf starts at 0, so the first step's buf is g. Parameters, gradients and momentum lie alike, tensors on 64-float
// boundaries; what lies between them is zero and stays so.

const THREADS: u32 = 64;

struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
struct Params { quads: u32, momentum: f32, weight_decay: f32, nesterov: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> weights: array<vec4f>;   // (quads)
@group(0) @binding(3) var<storage, read> grads: array<vec4f>;           // (quads)
@group(0) @binding(4) var<storage, read_write> momentum: array<vec4f>;  // (quads)
@group(0) @binding(5) var<storage, read> decays: array<f32>;            // (quads / 16): 1 where a 64-float block decays

// One thread per quad, which no other reads or writes.
@compute @workgroup_size(THREADS)
fn update(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) lane: u32) {
  let i = (wid.x + wid.y * num.x) * THREADS + lane;
  if (i >= params.quads) { return; }
  let w = weights[i];
  let g = grads[i] + params.weight_decay * decays[i / 16u] * w;
  let buf = params.momentum * momentum[i] + g;
  momentum[i] = buf;
  weights[i] = w - step.lr * select(buf, g + params.momentum * buf, params.nesterov == 1u);
}
