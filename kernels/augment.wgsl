// Augmentation: one view x (N, 3, side, side) of N stored 8-bit images, in the order
//   RandomResizedCrop, RandomHorizontalFlip, ColorJitter, RandomGrayscale, GaussianBlur, Solarize, Normalize,
// or, with random = 0, Resize, CenterCrop, Normalize; named and defined as in torchvision. Dispatches, each of which reads
// what the one before wrote:
//   draw_words -> draw -> crop_rows -> crop_columns -> tone_finish                          without blur
//                         crop_turned                  tone -> blur_rows -> blur_finish     with blur
// crop_turned is instead of crop_rows and crop_columns where crops may be rotated.
// N batch, W H sides of a stored image, R rows that `rows` can hold for an image (R >= H, R >= side).
//
// Colors are f32 in 0..1, unrounded; resizing clamps after either direction, as Pillow's does by storing bytes.
//
// A view is a function of (seed, step, sample, view) alone, with sample the image's number in the data set, so that it
// depends neither on the rest of the batch nor on the machine. Its random draws are the i-th words of
// philox((seed, step, sample, view), (i / 4, 0)):
//    0 flip?   1 jitter?      2 grayscale?   3 blur?     4 solarize?   5 blur sigma   6 order of jitter   7 rotate?
//    8 brightness   9 contrast   10 saturation   11 hue  12 crop left  13 crop top    14 angle            15 -
//   16 + 2t, 17 + 2t: area and log aspect ratio of the crop's try t, t = 0..9
// Threads: each entry point says what a thread or a workgroup writes; nothing else writes it, so nothing races.

const BLOCKS: u32 = 9; // blocks of four random words per image

alias Stored = f32; // activations in memory: f16 with precision 'f16'

struct Params {
  N: u32, side: u32, R: u32,
  first: u32,                                // index in the batch of the first of these N images
  view: u32,                                 // 0 or 1
  tries: u32,                                // of a crop: at most 2 (BLOCKS - 4)
  random: u32,                               // 0: resize the shorter side to `resize`, crop the center
  resize: u32,
  scale_min: f32, scale_max: f32,            // of the crop's area
  ratio_min: f32, ratio_max: f32,            // of the crop's width to its height
  flip: f32, jitter: f32, grayscale: f32, blur: f32, solarize: f32, // probabilities
  brightness: f32, contrast: f32, saturation: f32, hue: f32,
  radius: u32,                               // the blur's window is 2 radius + 1
  sigma_min: f32, sigma_max: f32,
  mean_r: f32, mean_g: f32, mean_b: f32,
  std_r: f32, std_g: f32, std_b: f32,
  rotate: f32,                               // a probability
  turn: f32,                                 // the largest angle, in turns of 90 degrees
}

// <shared step>
// What changes from step to step; the runtime fills it in (src/runtime/step_scalars.ts).
struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
// </shared>

// The transformations of one image.
struct Draw {
  origin: u32,               // pixel index of the window's top left corner
  pitch: u32,                // pixels from row to row
  left: u32, top: u32,       // the crop window; nothing outside of it is read
  width: u32, height: u32,
  whole_x: u32, whole_y: u32, // size that the window is resized to
  part_x: u32, part_y: u32,  // top left corner of the view in that
  flip: u32,
  jitters: u32,              // 4, or 0
  order: u32,                // of the four jitters, two bits each, first lowest
  contrast_at: u32, hue_at: u32, // their places in the order
  brightness: f32, contrast: f32, saturation: f32, hue: f32,
  grayscale: u32,
  sigma: f32,                // 0: no blur
  solarize: u32,
  cosine: f32, sine: f32,    // of the angle by which the picture is turned counterclockwise about the window's center
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> pixels: array<u32>;            // RGBA, 8 bits each, red lowest; alpha is ignored
@group(0) @binding(3) var<storage, read> table: array<vec4u>;           // of a stored image: first pixel, W, H, -
@group(0) @binding(4) var<storage, read> batch: array<vec4u>;           // per image of the batch: sample, entries of view 0 and view 1, -
@group(0) @binding(5) var<storage, read> draws: array<Draw>;            // (N)
@group(0) @binding(6) var<storage, read_write> drawn: array<Draw>;      // (N): draws, written
@group(0) @binding(7) var<storage, read_write> words: array<vec4u>;     // (N, BLOCKS)
@group(0) @binding(13) var<storage, read> given: array<vec4u>;          // (N, BLOCKS): words, read only
@group(0) @binding(8) var<storage, read> rows: array<vec4f>;            // (N, R, side)
@group(0) @binding(9) var<storage, read_write> new_rows: array<vec4f>;  // (N, R, side)
@group(0) @binding(10) var<storage, read> image: array<vec4f>;          // (N, side, side)
@group(0) @binding(11) var<storage, read_write> new_image: array<vec4f>; // (N, side, side)
@group(0) @binding(12) var<storage, read_write> x: array<Stored>;       // (N, 3, side, side)

// ---- Random numbers: Philox

// Upper 32 bits of a product.
fn multiply_high(a: u32, b: u32) -> u32 {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let middle = a1 * b0 + ((a0 * b0) >> 16u);
  let carry = ((middle & 0xffffu) + a0 * b1) >> 16u;
  return a1 * b1 + (middle >> 16u) + carry;
}

// Philox4x32-10, as in src/core/random.ts.
fn philox(counter: vec4u, quad: u32) -> vec4u {
  var c = counter;
  var key = vec2u(quad, 0u);
  for (var i = 0u; i < 10u; i++) {
    c = vec4u(
      multiply_high(0xcd9e8d57u, c.z) ^ c.y ^ key.x, 0xcd9e8d57u * c.z,
      multiply_high(0xd2511f53u, c.x) ^ c.w ^ key.y, 0xd2511f53u * c.x
    );
    key += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

fn counter(n: u32) -> vec4u {
  return vec4u(step.seed, step.step, batch[params.first + n].x, params.view);
}

// Words as numbers in [0, 1): their upper 24 bits times 2^-24.
fn unit(random: vec4u) -> vec4f { return vec4f(random >> vec4u(8u)) * 5.9604644775390625e-8; }

// The index-th permutation of 0..3, two bits each.
fn order_of_four(index: u32) -> u32 {
  var rest = index;
  var pool = 0xe4u; // 3, 2, 1, 0
  var order = 0u;
  for (var left = 4u; left > 0u; left--) {
    let at = 2u * (rest % left);
    rest /= left;
    order |= ((pool >> at) & 3u) << (8u - 2u * left);
    let below = (1u << at) - 1u;
    pool = (pool & below) | ((pool >> 2u) & ~below);
  }
  return order;
}

// Position of `item` in an order.
fn place_of(item: u32, order: u32) -> u32 {
  for (var i = 0u; i < 3u; i++) {
    if (((order >> (2u * i)) & 3u) == item) { return i; }
  }
  return 3u;
}

// ---- RandomResizedCrop, Resize and CenterCrop: the window

struct Window { left: u32, top: u32, width: u32, height: u32 }

// RandomResizedCrop: the first of `tries` tries that fits, else the largest center crop of an allowed ratio.
fn random_window(at: u32, size: vec2u) -> Window {
  let extent = vec2f(size);
  let log_ratio = log(vec2f(params.ratio_min, params.ratio_max));
  for (var t = 0u; t < params.tries; t++) {
    let u = unit(given[at + 4u + t / 2u]);
    let area = extent.x * extent.y * mix(params.scale_min, params.scale_max, select(u.x, u.z, t % 2u == 1u));
    let ratio = exp(mix(log_ratio.x, log_ratio.y, select(u.y, u.w, t % 2u == 1u)));
    let side = vec2u(round(vec2f(sqrt(area * ratio), sqrt(area / ratio))));
    if (all(side > vec2u(0u)) && all(side <= size)) {
      let place = given[at + 3u];
      let left = multiply_high(place.x, size.x - side.x + 1u);
      let top = multiply_high(place.y, size.y - side.y + 1u);
      return Window(left, top, side.x, side.y);
    }
  }
  var side = size;
  if (extent.x / extent.y < params.ratio_min) { side.y = u32(round(extent.x / params.ratio_min)); }
  else if (extent.x / extent.y > params.ratio_max) { side.x = u32(round(extent.y * params.ratio_max)); }
  side = clamp(side, vec2u(1u), size);
  let corner = (size - side) / 2u;
  return Window(corner.x, corner.y, side.x, side.y);
}

// ---- Draws of all transformations

// A factor in 1 ± strength, from u in [0, 1).
fn around_one(strength: f32, u: f32) -> f32 { return mix(max(0.0, 1.0 - strength), 1.0 + strength, u); }

// Cosine and sine of an angle in turns of 90 degrees, by their Taylor series within half a turn: WGSL's own may be off by 2^-11.
fn cosine_and_sine(turns: f32) -> vec2f {
  let whole = round(turns);
  let a = (turns - whole) * 1.5707964;
  let b = a * a;
  let c = 1.0 - b * (0.5 - b * (0.041666668 - b * (0.0013888889 - b * 2.4801588e-5)));
  let s = a * (1.0 - b * (0.16666667 - b * (0.008333334 - b * (1.984127e-4 - b * 2.7557319e-6))));
  let quarter = u32(i32(whole)) % 4u;
  let other = select(vec2f(c, s), vec2f(-s, c), quarter % 2u == 1u);
  return select(other, -other, quarter >= 2u);
}

fn random_draw(n: u32, entry: vec4u) -> Draw {
  let at = n * BLOCKS;
  let window = random_window(at, entry.yz);
  let first = given[at];
  let second = given[at + 1u];
  let factor = unit(given[at + 2u]);
  let happens = unit(first) < vec4f(params.flip, params.jitter, params.grayscale, params.blur);
  let u = unit(second);
  var draw: Draw;
  draw.origin = entry.x + window.top * entry.y + window.left;
  draw.pitch = entry.y;
  draw.left = window.left;
  draw.top = window.top;
  draw.width = window.width;
  draw.height = window.height;
  draw.whole_x = params.side;
  draw.whole_y = params.side;
  draw.flip = u32(happens.x);
  draw.jitters = select(0u, 4u, happens.y);
  draw.order = order_of_four(multiply_high(second.z, 24u));
  draw.contrast_at = place_of(1u, draw.order);
  draw.hue_at = place_of(3u, draw.order);
  draw.brightness = around_one(params.brightness, factor.x);
  draw.contrast = around_one(params.contrast, factor.y);
  draw.saturation = around_one(params.saturation, factor.z);
  draw.hue = params.hue * (2.0 * factor.w - 1.0);
  draw.grayscale = u32(happens.z);
  draw.sigma = select(0.0, mix(params.sigma_min, params.sigma_max, u.y), happens.w);
  draw.solarize = u32(u.x < params.solarize);
  let is_turned = u.w < params.rotate;
  let angle = cosine_and_sine(params.turn * (2.0 * unit(given[at + 3u]).z - 1.0));
  draw.cosine = select(1.0, angle.x, is_turned);
  draw.sine = select(0.0, angle.y, is_turned);
  return draw;
}

// Resize(resize), then CenterCrop(side).
fn center_draw(entry: vec4u) -> Draw {
  let size = entry.yz;
  let shorter = min(size.x, size.y);
  let resized = size * params.resize / shorter;
  let corner = vec2u(round(vec2f(resized - params.side) / 2.0));
  var draw: Draw;
  draw.origin = entry.x;
  draw.pitch = entry.y;
  draw.width = size.x;
  draw.height = size.y;
  draw.whole_x = resized.x;
  draw.whole_y = resized.y;
  draw.part_x = corner.x;
  draw.part_y = corner.y;
  return draw;
}

// Image n's in the table of stored images.
fn entry_of(n: u32) -> vec4u {
  let place = batch[params.first + n];
  return table[select(place.y, place.z, params.view == 1u)];
}

// One thread per image.
@compute @workgroup_size(64)
fn draw(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= params.N) { return; }
  let entry = entry_of(n);
  var draw: Draw;
  if (params.random == 1u) { draw = random_draw(n, entry); } else { draw = center_draw(entry); }
  drawn[n] = draw;
}

// One thread per block of four random words, which `draw` reads.
@compute @workgroup_size(64)
fn draw_words(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.N * BLOCKS) { return; }
  words[id.x] = philox(counter(id.x / BLOCKS), id.x % BLOCKS);
}

// ---- ColorJitter

fn gray(color: vec3f) -> f32 { return dot(color, vec3f(0.2989, 0.587, 0.114)); }

fn blend(color: vec3f, other: vec3f, factor: f32) -> vec3f {
  return saturate(factor * color + (1.0 - factor) * other);
}

// Rotates the hue by `turn` of a full circle, through HSV.
fn turn_hue(color: vec3f, turn: f32) -> vec3f {
  let high = max(color.r, max(color.g, color.b));
  let low = min(color.r, min(color.g, color.b));
  let chroma = high - low;
  let d = (vec3f(high) - color) / select(chroma, 1.0, chroma == 0.0);
  var hue = select(4.0 + d.g - d.r, 2.0 + d.r - d.b, high == color.g);
  hue = fract(select(hue, d.b - d.g, high == color.r) / 6.0 + 1.0 + turn);
  // f(n) = V - V S max(0, min(k, 4 - k, 1)), k = (n + 6 H) mod 6, for n = 5, 3, 1; V S is the chroma
  let k = fract((vec3f(5.0, 3.0, 1.0) + 6.0 * hue) / 6.0) * 6.0;
  return saturate(vec3f(high) - chroma * saturate(min(k, vec3f(4.0) - k)));
}

// The i-th jitter in the image's order, where it is a blend: brightness 0, contrast 1, saturation 2.
fn jitter_blend(c: vec3f, draw: Draw, i: u32, mean: f32) -> vec3f {
  let what = (draw.order >> (2u * i)) & 3u;
  let other = select(select(0.0, gray(c), what == 2u), mean, what == 1u);
  return blend(c, vec3f(other), select(select(draw.brightness, draw.saturation, what == 2u), draw.contrast, what == 1u));
}

// The image's first `end` jitters; `mean` is the gray mean that contrast blends with. The hue is a loop of one iteration
// between two loops of blends: a software adapter computes both sides of a branch, but skips an empty loop.
fn jitter(color: vec3f, draw: Draw, end: u32, mean: f32) -> vec3f {
  var c = color;
  for (var i = 0u; i < min(draw.hue_at, end); i++) { c = jitter_blend(c, draw, i, mean); }
  for (var i = draw.hue_at; i < min(draw.hue_at + 1u, end); i++) { c = turn_hue(c, draw.hue); }
  for (var i = draw.hue_at + 1u; i < end; i++) { c = jitter_blend(c, draw, i, mean); }
  return c;
}

// ---- Solarize and Normalize

// Stores pixel p of image n.
fn finish(n: u32, p: u32, color: vec3f, solarize: bool) {
  let c = select(color, 1.0 - color, vec3<bool>(solarize) & (color >= vec3f(0.5)));
  let plane = params.side * params.side;
  let at = (params.first + n) * 3u * plane + p;
  x[at] = Stored((c.r - params.mean_r) / params.std_r);
  x[at + plane] = Stored((c.g - params.mean_g) / params.std_g);
  x[at + 2u * plane] = Stored((c.b - params.mean_b) / params.std_b);
}

// ---- Resizing and RandomHorizontalFlip: bicubic, a = -1/2, antialias (wider where it shrinks), taps inside the window

fn cubic(distance: f32) -> f32 {
  let d = abs(distance);
  let near = (1.5 * d - 2.5) * d * d + 1.0;
  let far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
  return select(select(0.0, far, d < 2.0), near, d < 1.0);
}

// Taps from begin up to end around `pixel` + `inside` (0 to 1), in pixels of the window.
struct Taps { begin: u32, end: u32, pixel: i32, inside: f32, shrink: f32 }

// Taps of pixel `at` of the `whole` pixels that `length` pixels are resized to. The center is a quotient of integers, as
// precise at the far end of a large image as at the near end.
fn taps(at: u32, whole: u32, length: u32) -> Taps {
  let center = (2u * at + 1u) * length;
  let pixel = i32(center / (2u * whole));
  let inside = f32(center % (2u * whole)) / f32(2u * whole);
  let width = max(f32(length) / f32(whole), 1.0);
  let begin = clamp(pixel + i32(floor(inside - 2.0 * width + 0.5)), 0, i32(length) - 1);
  let end = clamp(pixel + i32(floor(inside + 2.0 * width + 0.5)), 1, i32(length));
  return Taps(u32(begin), u32(end), pixel, inside, 1.0 / width);
}

fn weight_of(tap: u32, t: Taps) -> f32 { return cubic((f32(i32(tap) - t.pixel) + 0.5 - t.inside) * t.shrink); }

// Pixels of a thread, which share their weights. Accumulators are named, so the number is fixed at four.
const ROWS: u32 = 4;    // of crop_rows
const COLUMNS: u32 = 4; // of crop_columns

// One thread per column of x x ROWS rows of the window; the dispatch's y is the image.
@compute @workgroup_size(64)
fn crop_rows(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let n = group.y;
  let draw = draws[n];
  let column = id.x % params.side;
  let row = id.x / params.side * ROWS;
  if (row >= draw.height) { return; }
  let t = taps(draw.part_x + select(column, params.side - 1u - column, draw.flip == 1u), draw.whole_x, draw.width);
  let last = draw.height - 1u;
  let row0 = draw.origin + row * draw.pitch;
  let row1 = draw.origin + min(row + 1u, last) * draw.pitch;
  let row2 = draw.origin + min(row + 2u, last) * draw.pitch;
  let row3 = draw.origin + min(row + 3u, last) * draw.pitch;
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  var total = 0.0;
  for (var i = t.begin; i < t.end; i++) {
    let weight = weight_of(i, t);
    total += weight;
    c0 += weight * unpack4x8unorm(pixels[row0 + i]);
    c1 += weight * unpack4x8unorm(pixels[row1 + i]);
    c2 += weight * unpack4x8unorm(pixels[row2 + i]);
    c3 += weight * unpack4x8unorm(pixels[row3 + i]);
  }
  let to = (n * params.R + row) * params.side + column;
  new_rows[to] = saturate(c0 / total);
  if (row + 1u <= last) { new_rows[to + params.side] = saturate(c1 / total); }
  if (row + 2u <= last) { new_rows[to + 2u * params.side] = saturate(c2 / total); }
  if (row + 3u <= last) { new_rows[to + 3u * params.side] = saturate(c3 / total); }
}

// One thread per row of x x COLUMNS of its columns; the dispatch's y is the image.
@compute @workgroup_size(64)
fn crop_columns(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let n = group.y;
  let draw = draws[n];
  let across = (params.side + COLUMNS - 1u) / COLUMNS;
  let row = id.x / across;
  let column = id.x % across * COLUMNS;
  if (row >= params.side) { return; }
  let t = taps(draw.part_y + row, draw.whole_y, draw.height);
  let last = params.side - 1u;
  let source = n * params.R * params.side;
  let column0 = source + column;
  let column1 = source + min(column + 1u, last);
  let column2 = source + min(column + 2u, last);
  let column3 = source + min(column + 3u, last);
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  var total = 0.0;
  for (var i = t.begin; i < t.end; i++) {
    let weight = weight_of(i, t);
    total += weight;
    c0 += weight * rows[column0 + i * params.side];
    c1 += weight * rows[column1 + i * params.side];
    c2 += weight * rows[column2 + i * params.side];
    c3 += weight * rows[column3 + i * params.side];
  }
  let to = (n * params.side + row) * params.side + column;
  new_image[to] = saturate(c0 / total);
  if (column + 1u <= last) { new_image[to + 1u] = saturate(c1 / total); }
  if (column + 2u <= last) { new_image[to + 2u] = saturate(c2 / total); }
  if (column + 3u <= last) { new_image[to + 3u] = saturate(c3 / total); }
}

// ---- Resizing, RandomHorizontalFlip and rotation in one pass

// The mean of a grid of bilinear samples a pixel, spread evenly over its part of the turned window: across and down the least whole
// number that is not below the pixels of the window to one of the view, so that none is passed over. Samples may lie outside of
// the window, and are clamped to the image's edge. Without an angle and at the window's own size, pixels pass unchanged.
//
// One thread per pixel; the dispatch's y is the image.
@compute @workgroup_size(64)
fn crop_turned(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let n = group.y;
  let side = params.side;
  if (id.x >= side * side) { return; }
  let draw = draws[n];
  let entry = entry_of(n);
  let last = vec2i(entry.yz) - 1;
  let window = vec2u(draw.width, draw.height);
  let grid = (window + side - 1u) / side;
  let column = select(id.x % side, side - 1u - id.x % side, draw.flip == 1u);
  // the window's center is a pixel's center or half a pixel after: a whole pixel and the rest, as in `taps`
  let twice = 2u * vec2u(draw.left, draw.top) + window - 1u;
  let center = vec2i(twice / 2u);
  let rest = vec2f(twice % 2u) / 2.0;
  let scale = vec2f(window) / vec2f(2u * grid * side);
  let corner = vec2i(2u * vec2u(column, id.x / side) * grid + 1u) - vec2i(grid * side);
  var sum = vec4f();
  for (var j = 0u; j < grid.y; j++) {
    for (var i = 0u; i < grid.x; i++) {
      let d = vec2f(corner + 2 * vec2i(vec2u(i, j))) * scale;
      let at = rest + vec2f(draw.cosine * d.x - draw.sine * d.y, draw.sine * d.x + draw.cosine * d.y);
      let whole = floor(at);
      let inside = at - whole;
      let pixel = center + vec2i(whole);
      let near = vec2u(clamp(pixel, vec2i(0), last));
      let far = vec2u(clamp(pixel + 1, vec2i(0), last));
      let row0 = entry.x + near.y * entry.y;
      let row1 = entry.x + far.y * entry.y;
      let c0 = mix(unpack4x8unorm(pixels[row0 + near.x]), unpack4x8unorm(pixels[row0 + far.x]), inside.x);
      let c1 = mix(unpack4x8unorm(pixels[row1 + near.x]), unpack4x8unorm(pixels[row1 + far.x]), inside.x);
      sum += mix(c0, c1, inside.y);
    }
  }
  new_image[n * side * side + id.x] = sum / f32(grid.x * grid.y);
}

// ---- ColorJitter and RandomGrayscale: passes over an image

var<workgroup> sums: array<f32, 64>;

// Mean gray of image n after the jitters before contrast: tree reduction in workgroup memory, called by all threads.
fn contrast_mean(n: u32, lid: u32, draw: Draw) -> f32 {
  let plane = params.side * params.side;
  var sum = 0.0;
  if (draw.jitters > 0u) {
    for (var p = lid; p < plane; p += 64u) {
      sum += gray(jitter(new_image[n * plane + p].rgb, draw, draw.contrast_at, 0.0));
    }
  }
  sums[lid] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lid < half) { sums[lid] += sums[lid + half]; }
  }
  workgroupBarrier();
  return sums[0] / f32(plane);
}

fn toned(color: vec3f, draw: Draw, mean: f32) -> vec3f {
  let c = jitter(color, draw, draw.jitters, mean);
  return select(c, vec3f(gray(c)), draw.grayscale == 1u);
}

// One workgroup per image, in place: a pixel is read and written by one thread.
@compute @workgroup_size(64)
fn tone(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lid: u32) {
  let n = group.x;
  let draw = draws[n];
  let plane = params.side * params.side;
  let mean = contrast_mean(n, lid, draw);
  for (var p = lid; p < plane; p += 64u) {
    new_image[n * plane + p] = vec4f(toned(new_image[n * plane + p].rgb, draw, mean), 1.0);
  }
}

// One workgroup per image; the last pass where there is no blur.
@compute @workgroup_size(64)
fn tone_finish(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lid: u32) {
  let n = group.x;
  let draw = draws[n];
  let plane = params.side * params.side;
  let mean = contrast_mean(n, lid, draw);
  for (var p = lid; p < plane; p += 64u) {
    finish(n, p, toned(new_image[n * plane + p].rgb, draw, mean), draw.solarize == 1u);
  }
}

// ---- GaussianBlur: window 2 radius + 1, borders reflected without repeating the edge

fn gauss(distance: u32, sigma: f32) -> f32 {
  let d = f32(distance) / max(sigma, 1e-6);
  return exp(-0.5 * d * d);
}

fn reflect(at: i32) -> u32 {
  let last = i32(params.side) - 1;
  return u32(last - abs(last - abs(at)));
}

// One thread per pixel; the dispatch's y is the image.
@compute @workgroup_size(64)
fn blur_rows(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let n = group.y;
  if (id.x >= params.side * params.side) { return; }
  let sigma = draws[n].sigma;
  let line = n * params.side * params.side + id.x / params.side * params.side;
  let column = i32(id.x % params.side);
  let radius = select(params.radius, 0u, sigma == 0.0);
  var c = image[line + u32(column)].rgb;
  var total = 1.0;
  for (var d = 1u; d <= radius; d++) {
    let weight = gauss(d, sigma);
    total += 2.0 * weight;
    c += weight * (image[line + reflect(column - i32(d))].rgb + image[line + reflect(column + i32(d))].rgb);
  }
  new_rows[(n * params.R + id.x / params.side) * params.side + u32(column)] = vec4f(c / total, 1.0);
}

// One thread per pixel of x; the dispatch's y is the image.
@compute @workgroup_size(64)
fn blur_finish(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let n = group.y;
  if (id.x >= params.side * params.side) { return; }
  let draw = draws[n];
  let column = n * params.R * params.side + id.x % params.side;
  let row = i32(id.x / params.side);
  let radius = select(params.radius, 0u, draw.sigma == 0.0);
  var c = rows[column + u32(row) * params.side].rgb;
  var total = 1.0;
  for (var d = 1u; d <= radius; d++) {
    let weight = gauss(d, draw.sigma);
    total += 2.0 * weight;
    c += weight * (rows[column + reflect(row - i32(d)) * params.side].rgb + rows[column + reflect(row + i32(d)) * params.side].rgb);
  }
  finish(n, id.x, c / total, draw.solarize == 1u);
}
