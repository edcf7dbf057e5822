// Elementwise arithmetic of two tensors, broadcast to one shape, or of one tensor, and its gradients. The gradient of a
// broadcast operand is made at every element of the output; reduce.wgsl sums it.
//
//   OP   forward      map                  gradients of forward, over dy     derivative of map
//   0    a + b        factor x + shift     1, 1                              factor
//   1    a - b        exp x                1, -1                             exp x
//   2    a b          log x                b, a                              1 / x
//   3    a / b        sqrt x               1 / b, -a / b²                    1 / (2 sqrt x)
//   4                 x²                                                     2 x
//   5                 factor / x                                             -factor / x²
//
// Tensors are dense and padded to 16 bytes. Where both operands have the output's shape, a thread takes four elements; the
// last four may reach into the padding. Otherwise an element has four indices in (n / (n1 n2 n3), n1, n2, n3), and an
// operand has a stride for each, 0 where it is broadcast. Threads: each writes its own elements, so nothing races.

const THREADS: u32 = 64;
const OP: u32 = 0;
const SIDE: u32 = 0; // operand whose gradient is computed: 0 a, 1 b

alias Stored = f32;    // activations in memory: f16 with precision 'f16'
alias Stored4 = vec4f;

struct Params {
  n: u32, // elements of the output
  n1: u32, n2: u32, n3: u32,
  a0: u32, a1: u32, a2: u32, a3: u32, // strides of a
  b0: u32, b1: u32, b2: u32, b3: u32, // strides of b
  factor: f32, shift: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored>;
@group(0) @binding(2) var<storage, read> b: array<Stored>;
@group(0) @binding(3) var<storage, read> a4: array<Stored4>;       // (n / 4)
@group(0) @binding(4) var<storage, read> b4: array<Stored4>;       // (n / 4)
@group(0) @binding(5) var<storage, read> x4: array<Stored4>;       // (n / 4)
@group(0) @binding(6) var<storage, read_write> y: array<Stored>;   // (n)
@group(0) @binding(7) var<storage, read_write> y4: array<Stored4>; // (n / 4)
@group(0) @binding(8) var<storage, read> dy: array<f32>;           // (n)
@group(0) @binding(9) var<storage, read> dy4: array<vec4f>;        // (n / 4)
@group(0) @binding(10) var<storage, read_write> dx: array<f32>;    // (n)
@group(0) @binding(11) var<storage, read_write> dx4: array<vec4f>; // (n / 4)

fn combine(u: vec4f, v: vec4f) -> vec4f {
  if (OP == 0u) { return u + v; }
  if (OP == 1u) { return u - v; }
  if (OP == 2u) { return u * v; }
  return u / v;
}

// d combine / d u or d v.
fn share(u: vec4f, v: vec4f) -> vec4f {
  if (OP == 2u) { return select(u, v, SIDE == 0u); }
  if (OP == 3u) { return select(-(u / v) / v, 1.0 / v, SIDE == 0u); }
  return vec4f(select(1.0, -1.0, OP == 1u && SIDE == 1u));
}

fn value(v: vec4f) -> vec4f {
  if (OP == 0u) { return params.factor * v + params.shift; }
  if (OP == 1u) { return exp(v); }
  if (OP == 2u) { return log(v); }
  if (OP == 3u) { return sqrt(v); }
  if (OP == 4u) { return v * v; }
  return params.factor / v;
}

// d value / d v.
fn derivative(v: vec4f) -> vec4f {
  if (OP == 0u) { return vec4f(params.factor); }
  if (OP == 1u) { return exp(v); }
  if (OP == 2u) { return 1.0 / v; }
  if (OP == 3u) { return 0.5 / sqrt(v); }
  if (OP == 4u) { return 2.0 * v; }
  return -(params.factor / v) / v;
}

// <shared thread_index>
// Linear index of a thread in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn thread_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return (wid.x + wid.y * num.x) * THREADS + lid; }
// </shared>

// The four indices of element i of the output.
fn indices(i: u32) -> vec4u {
  let rows = i / params.n3;
  let column = i - rows * params.n3;
  if (params.n == params.n2 * params.n3) { return vec4u(0u, 0u, rows, column); } // divisions are slow on software adapters
  let blocks = rows / params.n2;
  return vec4u(blocks / params.n1, blocks % params.n1, rows % params.n2, column);
}

fn offset(at: vec4u, s0: u32, s1: u32, s2: u32, s3: u32) -> u32 {
  return at.x * s0 + at.y * s1 + at.z * s2 + at.w * s3;
}

fn element_of_a(at: vec4u) -> f32 { return f32(a[offset(at, params.a0, params.a1, params.a2, params.a3)]); }
fn element_of_b(at: vec4u) -> f32 { return f32(b[offset(at, params.b0, params.b1, params.b2, params.b3)]); }

// One thread per four elements of the output, whose shape both operands have.
@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
           @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i * 4u >= params.n) { return; }
  y4[i] = Stored4(combine(vec4f(a4[i]), vec4f(b4[i])));
}

// One thread per element of the output.
@compute @workgroup_size(THREADS)
fn forward_broadcast(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                     @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.n) { return; }
  let at = indices(i);
  y[i] = Stored(combine(vec4f(element_of_a(at)), vec4f(element_of_b(at))).x);
}

// One thread per four elements of the output, whose shape both operands have.
@compute @workgroup_size(THREADS)
fn backward_input(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                  @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i * 4u >= params.n) { return; }
  dx4[i] = dy4[i] * share(vec4f(a4[i]), vec4f(b4[i]));
}

// One thread per element of the output.
@compute @workgroup_size(THREADS)
fn backward_input_broadcast(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                            @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i >= params.n) { return; }
  let at = indices(i);
  dx[i] = dy[i] * share(vec4f(element_of_a(at)), vec4f(element_of_b(at))).x;
}

// One thread per four elements.
@compute @workgroup_size(THREADS)
fn forward_map(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
               @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i * 4u >= params.n) { return; }
  y4[i] = Stored4(value(vec4f(x4[i])));
}

// One thread per four elements; the derivative is recomputed from x.
@compute @workgroup_size(THREADS)
fn backward_input_map(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) num: vec3u,
                      @builtin(local_invocation_index) lid: u32) {
  let i = thread_index(wid, num, lid);
  if (i * 4u >= params.n) { return; }
  dx4[i] = dy4[i] * derivative(vec4f(x4[i]));
}
