// Writes a batch of keys (N, D) into a queue (Q, D) used as a ring buffer, over the oldest rows:
//   queue[(step N + n) mod Q] = rows[n]
// The position follows from the step, so the queue is the only state. N <= Q, and N Q < 2^32, so that (step mod Q) N + n
// does not overflow. Threads: one per element of rows; as N <= Q no two rows go to the same place.

const THREADS: u32 = 64;

// <shared step>
// What changes from step to step; the runtime fills it in (src/runtime/step_scalars.ts).
struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
// </shared>

struct Params { N: u32, Q: u32, D: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<f32>;        // (N, D)
@group(0) @binding(3) var<storage, read_write> queue: array<f32>; // (Q, D)

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// One thread per element of rows.
@compute @workgroup_size(THREADS)
fn store(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
         @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  let n = i / params.D;
  if (n >= params.N) { return; }
  let row = (step.step % params.Q * params.N + n) % params.Q;
  queue[row * params.D + i % params.D] = rows[i];
}
