// Pooling over the pixels of each plane: global average, average K x K, maximum K x K. NC = N·C planes.
// Backward passes gather: a thread owns an input pixel (or a plane's share of them), so nothing races.

const THREADS: u32 = 64;
const LANES: u32 = 8; // threads that share a plane in the global average

alias Stored = f32;    // how activations are kept: f16 where precision is f16

struct Params { NC: u32, H: u32, W: u32, OH: u32, OW: u32, K: u32, stride: u32, padding: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (NC, H, W)
@group(0) @binding(2) var<storage, read> dy: array<f32>;            // (NC, OH, OW)
@group(0) @binding(3) var<storage, read> chosen: array<u32>;        // (NC, OH, OW): pixel of the plane that was largest
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;    // (NC, OH, OW)
@group(0) @binding(5) var<storage, read_write> choice: array<u32>;  // (NC, OH, OW), the same as chosen
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;      // (NC, H, W)
@group(0) @binding(7) var<storage, read_write> pooled: array<f32>;      // (NC), of the global average

var<workgroup> shared_sum: array<f32, THREADS>;

fn thread(wid: vec3u, num: vec3u, lane: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lane; }

// LANES threads per plane sum every LANES-th pixel and meet in a tree; the first of them writes.
@compute @workgroup_size(THREADS)
fn global_forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  let plane = t / LANES;
  let P = params.H * params.W;
  let base = min(plane, params.NC - 1u) * P;
  var sum = 0f;
  for (var i = t % LANES; i < P; i += LANES) { sum += f32(x[base + i]); }
  shared_sum[lane] = sum;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (t % LANES < half) { shared_sum[lane] += shared_sum[lane + half]; }
    workgroupBarrier();
  }
  if (t % LANES == 0u && plane < params.NC) { pooled[plane] = shared_sum[lane] / f32(P); }
}

// LANES threads per plane, each writes every LANES-th pixel.
@compute @workgroup_size(THREADS)
fn global_backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  let plane = t / LANES;
  if (plane >= params.NC) { return; }
  let P = params.H * params.W;
  let g = dy[plane] / f32(P);
  for (var i = t % LANES; i < P; i += LANES) { dx[plane * P + i] = g; }
}

// One thread per output.
@compute @workgroup_size(THREADS)
fn average_forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                   @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  if (t >= params.NC * params.OH * params.OW) { return; }
  let nc = t / (params.OH * params.OW);
  let top = t / params.OW % params.OH * params.stride;
  let left = t % params.OW * params.stride;
  let corner = (nc * params.H + top) * params.W + left;
  var sum = 0f;
  for (var kh = 0u; kh < params.K; kh++) {
    for (var kw = 0u; kw < params.K; kw++) { sum += f32(x[corner + kh * params.W + kw]); }
  }
  y[t] = Stored(sum / f32(params.K * params.K));
}

// The outputs whose windows hold a padded input coordinate are [first, last).
fn first_window(at: u32) -> u32 { return (max(at + 1u, params.K) - params.K + params.stride - 1u) / params.stride; }

// One thread per input: sums the outputs whose window it is in.
@compute @workgroup_size(THREADS)
fn average_backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                    @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  if (t >= params.NC * params.H * params.W) { return; }
  let nc = t / (params.H * params.W);
  let h = t / params.W % params.H;
  let w = t % params.W;
  let last_h = min(h / params.stride + 1u, params.OH);
  let last_w = min(w / params.stride + 1u, params.OW);
  var sum = 0f;
  for (var oh = first_window(h); oh < last_h; oh++) {
    for (var ow = first_window(w); ow < last_w; ow++) { sum += dy[(nc * params.OH + oh) * params.OW + ow]; }
  }
  dx[t] = sum / f32(params.K * params.K);
}

// By its bits: compilers may assume that v != v is false.
fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }

// One thread per output. The first of equal maxima wins and NaN wins over all, as PyTorch; padding never wins.
@compute @workgroup_size(THREADS)
fn max_forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
               @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  if (t >= params.NC * params.OH * params.OW) { return; }
  let base = t / (params.OH * params.OW) * params.H * params.W;
  let top = t / params.OW % params.OH * params.stride;  // in padded coordinates
  let left = t % params.OW * params.stride;
  let h0 = max(top, params.padding) - params.padding;
  let w0 = max(left, params.padding) - params.padding;
  let h1 = min(top + params.K - params.padding, params.H);
  let w1 = min(left + params.K - params.padding, params.W);
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

// One thread per input: sums the outputs that chose it.
@compute @workgroup_size(THREADS)
fn max_backward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                @builtin(local_invocation_index) lane: u32) {
  let t = thread(wid, num, lane);
  if (t >= params.NC * params.H * params.W) { return; }
  let nc = t / (params.H * params.W);
  let pixel = t % (params.H * params.W);
  let h = pixel / params.W + params.padding;
  let w = pixel % params.W + params.padding;
  let last_h = min(h / params.stride + 1u, params.OH);
  let last_w = min(w / params.stride + 1u, params.OW);
  var sum = 0f;
  for (var oh = first_window(h); oh < last_h; oh++) {
    for (var ow = first_window(w); ow < last_w; ow++) {
      let o = (nc * params.OH + oh) * params.OW + ow;
      sum += select(0.0, dy[o], chosen[o] == pixel);
    }
  }
  dx[t] = sum;
}
