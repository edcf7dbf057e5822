// LARS: SGD with momentum whose step is scaled per tensor. For tensors of more than one dimension with nonzero norms
//   q = trust |w| / (|g| + wd |w| + 1e-8),  clipped: q = min(q / lr, 1);   g = (g + wd w) q
// others take g as it is. Then buf = m buf + g (buf starts at 0),  w -= lr buf.
// Parameters, gradients and momentum lie alike. Tensors are cut into chunks, so that a large one keeps many workgroups
// busy.

const THREADS: u32 = 64;

struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
struct Params { chunks: u32, momentum: f32, weight_decay: f32, trust: f32, clip: u32 }
// begin, end: quads; first, count: the chunks of the whole tensor; adapt: 1 for more than one dimension
struct Chunk { begin: u32, end: u32, first: u32, count: u32, adapt: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> weights: array<vec4f>;   // (quads)
@group(0) @binding(3) var<storage, read> weights_in: array<vec4f>;      // (quads), the same
@group(0) @binding(4) var<storage, read> grads: array<vec4f>;           // (quads)
@group(0) @binding(5) var<storage, read_write> momentum: array<vec4f>;  // (quads)
@group(0) @binding(6) var<storage, read> chunks: array<Chunk>;          // (chunks)
@group(0) @binding(7) var<storage, read_write> squares_out: array<vec2f>;  // (chunks): sums of w² and g²
@group(0) @binding(8) var<storage, read> squares: array<vec2f>;            // (chunks), the same

var<workgroup> tree: array<vec2f, THREADS>;

fn tree_sum(lane: u32, value: vec2f) -> vec2f {
  tree[lane] = value;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (lane < half) { tree[lane] += tree[lane + half]; }
    workgroupBarrier();
  }
  return tree[0];
}

// One workgroup per chunk; its threads meet in a tree, thread 0 alone writes.
@compute @workgroup_size(THREADS)
fn norms(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
         @builtin(local_invocation_index) lane: u32) {
  let index = wid.x + wid.y * num.x;
  let chunk = chunks[min(index, params.chunks - 1u)];
  var sum = vec2f();
  for (var i = chunk.begin + lane; i < chunk.end; i += THREADS) {
    let w = weights_in[i];
    let g = grads[i];
    sum += vec2f(dot(w, w), dot(g, g));
  }
  let total = tree_sum(lane, sum);
  if (lane == 0u && index < params.chunks) { squares_out[index] = total; }
}

// One workgroup per chunk: it adds up its tensor's norms in a fixed order; then each thread updates quads of its own.
@compute @workgroup_size(THREADS)
fn update(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
          @builtin(local_invocation_index) lane: u32) {
  let index = wid.x + wid.y * num.x;
  let chunk = chunks[min(index, params.chunks - 1u)];
  var sum = vec2f();
  for (var k = lane; k < chunk.count; k += THREADS) { sum += squares[chunk.first + k]; }
  let norm = sqrt(tree_sum(lane, sum));
  if (index >= params.chunks) { return; }
  var q = 1f;
  var decay = 0f;
  if (chunk.adapt == 1u && norm.x > 0.0 && norm.y > 0.0) {
    decay = params.weight_decay;
    q = params.trust * norm.x / (norm.y + decay * norm.x + 1e-8);
    // at lr = 0 the ratio is unbounded, so the clip is what holds
    if (params.clip == 1u) { q = select(1.0, q / step.lr, q < step.lr); }
  }
  for (var i = chunk.begin + lane; i < chunk.end; i += THREADS) {
    let w = weights[i];
    let buf = params.momentum * momentum[i] + (grads[i] + decay * w) * q;
    momentum[i] = buf;
    weights[i] = w - step.lr * buf;
  }
}
