// LARS: SGD with momentum whose step is scaled per tensor. For tensors of more than one dimension with nonzero norms
//   q = trust |w| / (|g| + wd |w| + 1e-8),  clipped: q = min(q / lr, 1);   g = (g + wd w) q
// other tensors take g as it is. Then  buf = m buf + g (buf is 0 before the first step),   w -= lr buf.
// Buffers have one layout: all parameters in a row. Tensors are split into chunks, so that a large one occupies many
// workgroups: `norms` writes a partial sum per chunk, `update` adds up those of its tensor.
// Threads: one workgroup per chunk in both entry points; chunks do not overlap, so nothing races.

const THREADS: u32 = 64;

// <shared step>
// What changes from step to step; the runtime fills it in (src/runtime/step_scalars.ts).
struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
// </shared>

struct Params { chunks: u32, momentum: f32, weight_decay: f32, trust: f32, clip: u32 }
// Quads begin to end of a tensor whose chunks are first to first + count; adapt: 1 for more than one dimension.
struct Chunk { begin: u32, end: u32, first: u32, count: u32, adapt: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> weights: array<vec4f>;   // (quads)
@group(0) @binding(3) var<storage, read> weights_in: array<vec4f>;      // (quads): weights, read only
@group(0) @binding(4) var<storage, read> grads: array<vec4f>;           // (quads)
@group(0) @binding(5) var<storage, read_write> momentum: array<vec4f>;  // (quads)
@group(0) @binding(6) var<storage, read> chunks: array<Chunk>;          // (chunks)
@group(0) @binding(7) var<storage, read_write> squares_out: array<vec2f>;  // (chunks): sums of w² and g²
@group(0) @binding(8) var<storage, read> squares: array<vec2f>;            // (chunks): squares_out, read only

var<workgroup> tree: array<vec2f, THREADS>;

// <shared workgroup_index>
// Linear index of a workgroup in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn workgroup_index(wid: vec3u, num: vec3u) -> u32 { return wid.x + wid.y * num.x; }
// </shared>

// Tree reduction in workgroup memory; every thread gets the sum.
fn tree_sum(lid: u32, value: vec2f) -> vec2f {
  tree[lid] = value;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (lid < half) { tree[lid] += tree[lid + half]; }
    workgroupBarrier();
  }
  return tree[0];
}

// One workgroup per chunk: tree reduction in workgroup memory; thread 0 writes.
@compute @workgroup_size(THREADS)
fn norms(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
         @builtin(local_invocation_index) lid: u32) {
  let index = workgroup_index(wid, num);
  let chunk = chunks[min(index, params.chunks - 1u)];
  var sum = vec2f();
  for (var i = chunk.begin + lid; i < chunk.end; i += THREADS) {
    let w = weights_in[i];
    let g = grads[i];
    sum += vec2f(dot(w, w), dot(g, g));
  }
  let total = tree_sum(lid, sum);
  if (lid == 0u && index < params.chunks) { squares_out[index] = total; }
}

// One workgroup per chunk: sums the tensor's squares in a fixed order, then each thread updates every THREADS-th quad.
@compute @workgroup_size(THREADS)
fn update(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) lid: u32) {
  let index = workgroup_index(wid, num);
  let chunk = chunks[min(index, params.chunks - 1u)];
  var sum = vec2f();
  for (var k = lid; k < chunk.count; k += THREADS) { sum += squares[chunk.first + k]; }
  let norm = sqrt(tree_sum(lid, sum));
  if (index >= params.chunks) { return; }
  var q = 1f;
  var decay = 0f;
  if (chunk.adapt == 1u && norm.x > 0.0 && norm.y > 0.0) {
    decay = params.weight_decay;
    q = params.trust * norm.x / (norm.y + decay * norm.x + 1e-8);
    // at lr = 0 the ratio is unbounded, and the clip applies
    if (params.clip == 1u) { q = select(1.0, q / step.lr, q < step.lr); }
  }
  for (var i = chunk.begin + lid; i < chunk.end; i += THREADS) {
    let w = weights[i];
    let buf = params.momentum * momentum[i] + (grads[i] + decay * w) * q;
    momentum[i] = buf;
    weights[i] = w - step.lr * buf;
  }
}
