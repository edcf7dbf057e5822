// Pooling over the pixels of each plane: global average, k x k average, k x k maximum.
//   global   pooled[nc] = (1 / HW) Σ_p x[nc, p]
//   average  y[nc,oh,ow] = (1 / k²) Σ_kh,kw x[nc, oh S + kh, ow S + kw]
//   maximum  y[nc,oh,ow] = max_kh,kw x[nc, oh S + kh - pad, ow S + kw - pad]
// NC = N·C planes (H, W) → (OH, OW), k window side, S stride, pad padding.
// Threads: each writes its own outputs. Backward passes gather: a thread writes an input pixel, so nothing races.

const THREADS: u32 = 64;
const LANES: u32 = 8; // threads of a plane, in the global average

alias Stored = f32; // activations in memory: f16 with precision 'f16'

struct Params { NC: u32, H: u32, W: u32, OH: u32, OW: u32, k: u32, S: u32, pad: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (NC, H, W)
@group(0) @binding(2) var<storage, read> dy: array<f32>;            // (NC, OH, OW)
@group(0) @binding(3) var<storage, read> chosen: array<u32>;        // (NC, OH, OW): index of the largest pixel in its plane
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;    // (NC, OH, OW)
@group(0) @binding(5) var<storage, read_write> choice: array<u32>;  // (NC, OH, OW): chosen, written
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;      // (NC, H, W)
@group(0) @binding(7) var<storage, read_write> pooled: array<f32>;  // (NC): the global average

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// <shared reduce_plane>
var<workgroup> tree: array<f32, THREADS>;

// Sum over the LANES threads of a plane: tree reduction in workgroup memory, in a fixed order. The first of them gets it.
fn reduce_plane(lid: u32, value: f32) -> f32 {
  tree[lid] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lid % LANES < half) { tree[lid] += tree[lid + half]; }
    workgroupBarrier();
  }
  return tree[lid];
}
// </shared>

// ---- Global average

// LANES threads per plane; each sums every LANES-th pixel, the first one writes.
@compute @workgroup_size(THREADS)
fn forward_global(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  let plane = t / LANES;
  let HW = params.H * params.W;
  let base = min(plane, params.NC - 1u) * HW;
  var sum = 0f;
  for (var i = t % LANES; i < HW; i += LANES) { sum += f32(x[base + i]); }
  let total = reduce_plane(lid, sum);
  if (t % LANES == 0u && plane < params.NC) { pooled[plane] = total / f32(HW); }
}

// LANES threads per plane; each writes every LANES-th pixel.
@compute @workgroup_size(THREADS)
fn backward_input_global(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                         @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  let plane = t / LANES;
  if (plane >= params.NC) { return; }
  let HW = params.H * params.W;
  let g = dy[plane] / f32(HW);
  for (var i = t % LANES; i < HW; i += LANES) { dx[plane * HW + i] = g; }
}

// ---- Average

// One thread per output.
@compute @workgroup_size(THREADS)
fn forward_average(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  if (t >= params.NC * params.OH * params.OW) { return; }
  let nc = t / (params.OH * params.OW);
  let top = t / params.OW % params.OH * params.S;
  let left = t % params.OW * params.S;
  let corner = (nc * params.H + top) * params.W + left;
  var sum = 0f;
  for (var kh = 0u; kh < params.k; kh++) {
    for (var kw = 0u; kw < params.k; kw++) { sum += f32(x[corner + kh * params.W + kw]); }
  }
  y[t] = Stored(sum / f32(params.k * params.k));
}

// First of the outputs whose windows contain a coordinate of the padded input.
fn first_window(at: u32) -> u32 { return (max(at + 1u, params.k) - params.k + params.S - 1u) / params.S; }

// One thread per input: sums dy of the outputs whose window contains it.
@compute @workgroup_size(THREADS)
fn backward_input_average(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                          @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  if (t >= params.NC * params.H * params.W) { return; }
  let nc = t / (params.H * params.W);
  let h = t / params.W % params.H;
  let w = t % params.W;
  let last_h = min(h / params.S + 1u, params.OH);
  let last_w = min(w / params.S + 1u, params.OW);
  var sum = 0f;
  for (var oh = first_window(h); oh < last_h; oh++) {
    for (var ow = first_window(w); ow < last_w; ow++) { sum += dy[(nc * params.OH + oh) * params.OW + ow]; }
  }
  dx[t] = sum / f32(params.k * params.k);
}

// ---- Maximum

// By its bits: compilers may assume that v != v is false.
fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }

// One thread per output. The first of equal maxima wins, NaN wins over all, as in PyTorch; padding never wins.
@compute @workgroup_size(THREADS)
fn forward_max(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
               @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  if (t >= params.NC * params.OH * params.OW) { return; }
  let base = t / (params.OH * params.OW) * params.H * params.W;
  let top = t / params.OW % params.OH * params.S;  // in padded coordinates
  let left = t % params.OW * params.S;
  let h0 = max(top, params.pad) - params.pad;
  let w0 = max(left, params.pad) - params.pad;
  let h1 = min(top + params.k - params.pad, params.H);
  let w1 = min(left + params.k - params.pad, params.W);
  var best = h0 * params.W + w0;
  var value = f32(x[base + best]);
  for (var h = h0; h < h1; h++) {
    for (var w = w0; w < w1; w++) {
      let v = f32(x[base + h * params.W + w]);
      if (v > value || is_nan(v)) { value = v; best = h * params.W + w; }
    }
  }
  y[t] = Stored(value);
  choice[t] = best;
}

// One thread per input: sums dy of the outputs that chose it.
@compute @workgroup_size(THREADS)
fn backward_input_max(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                      @builtin(local_invocation_index) lid: u32) {
  let t = thread_index(wid, num, lid);
  if (t >= params.NC * params.H * params.W) { return; }
  let nc = t / (params.H * params.W);
  let pixel = t % (params.H * params.W);
  let h = pixel / params.W + params.pad;
  let w = pixel % params.W + params.pad;
  let last_h = min(h / params.S + 1u, params.OH);
  let last_w = min(w / params.S + 1u, params.OW);
  var sum = 0f;
  for (var oh = first_window(h); oh < last_h; oh++) {
    for (var ow = first_window(w); ow < last_w; ow++) {
      let o = (nc * params.OH + oh) * params.OW + ow;
      sum += select(0.0, dy[o], chosen[o] == pixel);
    }
  }
  dx[t] = sum;
}
