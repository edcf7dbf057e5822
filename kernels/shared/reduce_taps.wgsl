// Partial sums of a workgroup's threads, by thread and tap.
var<workgroup> shares: array<f32, THREADS * TAPS>;

// Adds up the threads' sums of each tap in the order of the threads, and stores them as the split's partial sums.
fn reduce_taps(lid: u32, split: u32, c: u32) {
  workgroupBarrier();
  if (split >= params.splits) { return; }
  for (var tap = lid; tap < TAPS; tap += THREADS) {
    var sum = 0f;
    for (var thread = 0u; thread < THREADS; thread++) { sum += shares[thread * TAPS + tap]; }
    partial[(split * params.C + c) * TAPS + tap] = sum;
  }
}
