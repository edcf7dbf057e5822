// A queue of keys (K, D) as a ring: row n of N new ones goes to row (step N + n) mod K, over the oldest. Where it stands follows
// from the step alone, so there is no state but the queue. N <= K, and N K < 2^32, so that (step mod K) N + n fits.

const THREADS: u32 = 64;

struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
struct Params { N: u32, K: u32, D: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<f32>;        // (N, D)
@group(0) @binding(3) var<storage, read_write> queue: array<f32>; // (K, D)

// One thread per element of rows. As N <= K, no two rows go to one place.
@compute @workgroup_size(THREADS)
fn store(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
         @builtin(local_invocation_index) lane: u32) {
  let i = (wid.x + wid.y * num.x) * THREADS + lane;
  let n = i / params.D;
  if (n >= params.N) { return; }
  let k = (step.step % params.K * params.N + n) % params.K;
  queue[k * params.D + i % params.D] = rows[i];
}
