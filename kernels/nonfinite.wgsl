// Numbers that are not finite, in memory that a dispatch reads or writes: the checks of debug level 2. Memory is looked at as
// words of 32 bits, which hold one f32 or two f16 each, so that NaNs keep their bits.

const THREADS: u32 = 64;
const MARK: u32 = 0x7fdb7fdb; // a NaN that no arithmetic makes, in f32 and in each half; the plan's poison

struct Params {
  n: u32,    // numbers
  half: u32, // 1 where they are f16
  at: u32,   // where the results begin in found
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> memory: array<u32>;        // (words)
@group(0) @binding(2) var<storage, read_write> before: array<u32>;        // (words): memory as mark left it
@group(0) @binding(3) var<storage, read_write> found: array<atomic<u32>>; // (3) a check: NaNs, infinities, index of the first

fn words() -> u32 { return select(params.n, (params.n + 1u) / 2u, params.half == 1u); }

fn is_nan(bits: u32) -> bool {
  return select((bits & 0x7fffffffu) > 0x7f800000u, (bits & 0x7fffu) > 0x7c00u, params.half == 1u);
}

fn is_infinite(bits: u32) -> bool {
  return select((bits & 0x7fffffffu) == 0x7f800000u, (bits & 0x7fffu) == 0x7c00u, params.half == 1u);
}

fn mark() -> u32 { return select(MARK, MARK & 0xffffu, params.half == 1u); }

// Counts a number that is not finite, unless its bits are those of old.
fn count(bits: u32, old: u32, i: u32) {
  if (i >= params.n || bits == old) { return; }
  if (is_nan(bits)) { atomicAdd(&found[params.at], 1u); }
  else if (is_infinite(bits)) { atomicAdd(&found[params.at + 1u], 1u); }
  else { return; }
  atomicMin(&found[params.at + 2u], i);
}

fn marked(bits: u32) -> u32 { return select(bits, mark(), is_nan(bits)); }

// One thread per word, again and again at the distance of all threads; each touches its own words alone.
@compute @workgroup_size(THREADS)
fn inspect(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) num: vec3u) {
  for (var w = id.x; w < words(); w += num.x * THREADS) {
    let word = memory[w];
    if (params.half == 0u) { count(word, mark(), w); continue; }
    count(word & 0xffffu, mark(), 2u * w);
    count(word >> 16u, mark(), 2u * w + 1u);
  }
}

// As inspect. Before a dispatch: gives every NaN in memory the bits of the mark, and keeps a copy.
@compute @workgroup_size(THREADS)
fn prepare(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) num: vec3u) {
  for (var w = id.x; w < words(); w += num.x * THREADS) {
    let word = memory[w];
    var kept = marked(word);
    if (params.half == 1u) { kept = marked(word & 0xffffu) | (marked(word >> 16u) << 16u); }
    before[w] = kept;
    if (kept != word) { memory[w] = kept; }
  }
}

// As inspect. After it: counts what is not finite and was written, which is what has other bits than before.
@compute @workgroup_size(THREADS)
fn check(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) num: vec3u) {
  for (var w = id.x; w < words(); w += num.x * THREADS) {
    let word = memory[w];
    let old = before[w];
    if (params.half == 0u) { count(word, old, w); continue; }
    count(word & 0xffffu, old & 0xffffu, 2u * w);
    count(word >> 16u, old >> 16u, 2u * w + 1u);
  }
}
