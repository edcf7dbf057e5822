// Depthwise convolution, NCHW, no bias: channel c of y sees only channel c of x. Any kernel size, stride and padding.
//
//   y[n,c,p,q] = sum over ky, kx of x[n, c, p*S + ky - P, q*S + kx - P] * weight[c,ky,kx]
//
// N batch, C channels, H W input, OH OW output, K kernel side, S stride, P padding. A slim encoder's weight are C
// of the host's channels; ldw is the distance between these.
//
// Each pass has a plain form (one thread a result: the reference and the documentation) and a row form for any K and S,
// where 4 pixels of a row slide under the kernel. For K = 3 and 5 see depthwise.strip3.wgsl, depthwise.strip5.wgsl and
// depthwise.subgroup.wgsl.
// In all forms a thread owns what it writes, so nothing races.

const K: u32 = 3;        // kernel side
const S: u32 = 1;        // stride
const THREADS: u32 = 64; // a workgroup

alias Stored = f32;    // how activations are kept: f16 where precision is f16

alias Strided = f32; // of a view: rows and columns lie where strides or keep-lists say
alias Kept = u32;      // a channel's number in the host, of a slim encoder's keep-list
const KEPT: bool = false;

struct Params {
  N: u32, C: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  P: u32,
  ldw: u32,
  splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, C, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (C, 1, K, K), ldw between channels
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, C, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, C, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, C, H, W)
@group(0) @binding(6) var<storage, read_write> dweight: array<Strided>; // (C, 1, K, K), ldw as above; added to
@group(0) @binding(7) var<storage, read_write> partial: array<f32>; // (splits, C, K, K)
@group(0) @binding(8) var<storage, read> kept: array<Kept>;        // (C), where the channels are kept by a list

// Where a channel's kernel lies in the host's weight.
fn channel_at(c: u32) -> u32 {
  if (KEPT) { return kept[c] * params.ldw; }
  return c * params.ldw;
}

// Plain: one thread an output pixel.
@compute @workgroup_size(THREADS)
fn forward(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  if (t >= params.N * params.C * params.OH * params.OW) { return; }
  let q = t % params.OW;
  let p = t / params.OW % params.OH;
  let nc = t / (params.OW * params.OH);
  let c = nc % params.C;

  var sum = 0f;
  for (var ky = 0u; ky < K; ky++) {
    for (var kx = 0u; kx < K; kx++) {
      // Unsigned: a tap above or left of the image wraps round and fails the same test as one below or right of it.
      let h = p * S + ky - params.P;
      let w = q * S + kx - params.P;
      if (h < params.H && w < params.W) {
        sum += f32(x[(nc * params.H + h) * params.W + w]) * weight[channel_at(c) + ky * K + kx];
      }
    }
  }
  y[t] = Stored(sum);
}

// Plain: one thread an input pixel, which gathers every output that saw it, so nothing races.
@compute @workgroup_size(THREADS)
fn backward_input(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  if (t >= params.N * params.C * params.H * params.W) { return; }
  let w = t % params.W;
  let h = t / params.W % params.H;
  let nc = t / (params.W * params.H);
  let c = nc % params.C;

  var sum = 0f;
  for (var ky = 0u; ky < K; ky++) {
    for (var kx = 0u; kx < K; kx++) {
      let down = h + params.P - ky;
      let right = w + params.P - kx;
      // A wrapped (negative) distance is huge, and stays beyond OH or OW after the division.
      if (down % S == 0u && right % S == 0u && down / S < params.OH && right / S < params.OW) {
        sum += dy[(nc * params.OH + down / S) * params.OW + right / S] * weight[channel_at(c) + ky * K + kx];
      }
    }
  }
  dx[t] = sum;
}

// Plain: one thread a weight, over the whole batch.
@compute @workgroup_size(THREADS)
fn backward_weight(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  if (t >= params.C * K * K) { return; }
  let kx = t % K;
  let ky = t / K % K;
  let c = t / (K * K);

  var sum = 0f;
  for (var n = 0u; n < params.N; n++) {
    for (var p = 0u; p < params.OH; p++) {
      for (var q = 0u; q < params.OW; q++) {
        let h = p * S + ky - params.P;
        let w = q * S + kx - params.P;
        if (h < params.H && w < params.W) {
          let nc = n * params.C + c;
          sum += f32(x[(nc * params.H + h) * params.W + w]) * dy[(nc * params.OH + p) * params.OW + q];
        }
      }
    }
  }
  dweight[channel_at(c) + ky * K + kx] += sum;
}

// A pixel of the row of x that starts at `row`; zero beyond its ends (negative columns wrap) and where there is no row.
fn pixel(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, f32(x[row + min(column, params.W - 1u)]), inside && column < params.W);
}

// 4 of them, S apart.
fn pixels(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(
    pixel(row, column, inside),
    pixel(row, column + S, inside),
    pixel(row, column + 2u * S, inside),
    pixel(row, column + 3u * S, inside),
  );
}

// The same of dy.
fn slope(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, dy[row + min(column, params.OW - 1u)], inside && column < params.OW);
}

fn slopes(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(
    slope(row, column, inside),
    slope(row, column + 1u, inside),
    slope(row, column + 2u, inside),
    slope(row, column + 3u, inside),
  );
}

fn store_y(at: u32, v: vec4f, count: u32) {
  y[at] = Stored(v.x);
  if (count > 1u) { y[at + 1u] = Stored(v.y); }
  if (count > 2u) { y[at + 2u] = Stored(v.z); }
  if (count > 3u) { y[at + 3u] = Stored(v.w); }
}

// Row: one thread 4 neighbouring outputs of a row.
@compute @workgroup_size(THREADS)
fn forward_row(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let tiles = (params.OW + 3u) / 4u;
  if (t >= params.N * params.C * params.OH * tiles) { return; }
  let q = t % tiles * 4u;
  let p = t / tiles % params.OH;
  let nc = t / (tiles * params.OH);
  let taps = channel_at(nc % params.C);

  var sum = vec4f();
  let left = q * S - params.P;
  for (var ky = 0u; ky < K; ky++) {
    let h = p * S + ky - params.P;
    let inside = h < params.H;
    let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
    // Columns S apart follow one another under kx, kx + S, kx + 2S ...: one new pixel a step.
    for (var phase = 0u; phase < min(S, K); phase++) {
      var column = left + phase;
      var window = vec4f(
        0f,
        pixel(row, column, inside),
        pixel(row, column + S, inside),
        pixel(row, column + 2u * S, inside),
      );
      column += 3u * S;
      for (var kx = phase; kx < K; kx += S) {
        window = vec4f(window.yzw, pixel(row, column, inside));
        column += S;
        sum += weight[taps + ky * K + kx] * window;
      }
    }
  }
  store_y((nc * params.OH + p) * params.OW + q, sum, params.OW - q);
}

// Row: one thread 4 inputs of a row, S apart. Inputs S apart see the same taps of different outputs, so a row falls
// into S phases.
@compute @workgroup_size(THREADS)
fn backward_input_row(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let tiles = ((params.W + S - 1u) / S + 3u) / 4u;
  if (t >= params.N * params.C * params.H * S * tiles) { return; }
  let right = t / tiles % S;
  let w = t % tiles * 4u * S + right;
  let h = t / (tiles * S) % params.H;
  let nc = t / (tiles * S * params.H);
  let taps = channel_at(nc % params.C);

  var sum = vec4f();
  let q0 = (w + params.P) / S;
  for (var ky = (h + params.P) % S; ky < K; ky += S) {
    let p = (h + params.P) / S - ky / S;
    let inside = p < params.OH;
    let row = (nc * params.OH + min(p, params.OH - 1u)) * params.OW;
    var window = vec4f(slope(row, q0 + 1u, inside), slope(row, q0 + 2u, inside), slope(row, q0 + 3u, inside), 0f);
    for (var kx = (right + params.P) % S; kx < K; kx += S) {
      window = vec4f(slope(row, q0 - kx / S, inside), window.xyz);
      sum += weight[taps + ky * K + kx] * window;
    }
  }
  if (w >= params.W) { return; }
  let at = (nc * params.H + h) * params.W + w;
  dx[at] = sum.x;
  if (w + S < params.W) { dx[at + S] = sum.y; }
  if (w + 2u * S < params.W) { dx[at + 2u * S] = sum.z; }
  if (w + 3u * S < params.W) { dx[at + 3u * S] = sum.w; }
}

// Partials of a workgroup's threads, by thread and tap.
var<workgroup> shares: array<f32, THREADS * 7u>;

// The pixels of x under the next tap, from those under the tap S before it: they move on by one.
fn slide(previous: vec4f, row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(previous.yzw, pixel(row, column + 3u * S, inside));
}

// Row: one workgroup a channel, a split, and up to 7 neighbouring taps of a kernel row. Its threads take tiles of 4
// outputs in turn; then each tap's sums are added up in the order of the threads.
@compute @workgroup_size(THREADS)
fn backward_weight_row(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.x + wid.y * num.x;
  let parts = (K + 6u) / 7u;
  let kx = group % parts * 7u;
  let ky = group / parts % K;
  let c = group / (parts * K) % params.C;
  let split = group / (parts * K * params.C);
  let tiles = (params.OW + 3u) / 4u;
  let items = select(0u, params.N * params.OH * tiles, split < params.splits);

  var a0 = 0f; var a1 = 0f; var a2 = 0f; var a3 = 0f; var a4 = 0f; var a5 = 0f; var a6 = 0f;
  for (var item = split * THREADS + lid; item < items; item += params.splits * THREADS) {
    let q = item % tiles * 4u;
    let p = item / tiles % params.OH;
    let nc = item / (tiles * params.OH) * params.C + c;
    let d = slopes((nc * params.OH + p) * params.OW, q, true);
    let h = p * S + ky - params.P;
    let inside = h < params.H;
    let row = (nc * params.H + min(h, params.H - 1u)) * params.W;
    let left = q * S + kx - params.P;
    let x0 = pixels(row, left, inside);
    a0 += dot(d, x0);
    if (K > 1u) {
      var x1: vec4f;
      if (S == 1u) { x1 = slide(x0, row, left + 1u, inside); } else { x1 = pixels(row, left + 1u, inside); }
      a1 += dot(d, x1);
      if (K > 2u) {
        var x2: vec4f;
        if (S == 1u) { x2 = slide(x1, row, left + 2u, inside); }
        else if (S == 2u) { x2 = slide(x0, row, left + 2u, inside); }
        else { x2 = pixels(row, left + 2u, inside); }
        a2 += dot(d, x2);
        if (K > 3u) {
          var x3: vec4f;
          if (S == 1u) { x3 = slide(x2, row, left + 3u, inside); }
          else if (S == 2u) { x3 = slide(x1, row, left + 3u, inside); }
          else { x3 = pixels(row, left + 3u, inside); }
          a3 += dot(d, x3);
          if (K > 4u) {
            var x4: vec4f;
            if (S == 1u) { x4 = slide(x3, row, left + 4u, inside); }
            else if (S == 2u) { x4 = slide(x2, row, left + 4u, inside); }
            else { x4 = pixels(row, left + 4u, inside); }
            a4 += dot(d, x4);
            if (K > 5u) {
              var x5: vec4f;
              if (S == 1u) { x5 = slide(x4, row, left + 5u, inside); }
              else if (S == 2u) { x5 = slide(x3, row, left + 5u, inside); }
              else { x5 = pixels(row, left + 5u, inside); }
              a5 += dot(d, x5);
              if (K > 6u) {
                var x6: vec4f;
                if (S == 1u) { x6 = slide(x5, row, left + 6u, inside); }
                else if (S == 2u) { x6 = slide(x4, row, left + 6u, inside); }
                else { x6 = pixels(row, left + 6u, inside); }
                a6 += dot(d, x6);
              }
            }
          }
        }
      }
    }
  }

  let mine = lid * 7u;
  shares[mine] = a0; shares[mine + 1u] = a1; shares[mine + 2u] = a2; shares[mine + 3u] = a3;
  shares[mine + 4u] = a4; shares[mine + 5u] = a5; shares[mine + 6u] = a6;
  workgroupBarrier();
  if (split >= params.splits) { return; }
  for (var tap = lid; tap < min(7u, K - kx); tap += THREADS) {
    var sum = 0f;
    for (var thread = 0u; thread < THREADS; thread++) { sum += shares[thread * 7u + tap]; }
    partial[((split * params.C + c) * K + ky) * K + kx + tap] = sum;
  }
}

// One thread a weight: adds its partials to the gradient, in the order of the splits.
@compute @workgroup_size(THREADS)
fn backward_weight_sum(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u, @builtin(local_invocation_index) lid: u32,
) {
  let t = (wid.x + wid.y * num.x) * THREADS + lid;
  let count = params.C * K * K;
  if (t >= count) { return; }
  var sum = 0f;
  for (var split = 0u; split < params.splits; split++) { sum += partial[split * count + t]; }
  dweight[channel_at(t / (K * K)) + t % (K * K)] += sum;
}
