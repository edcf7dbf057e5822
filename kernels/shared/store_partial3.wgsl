// Stores the partial sums of up to three neighboring taps of a kernel row, at least one.
fn store_partial(at: u32, first: f32, second: f32, third: f32, taps: u32) {
  partial[at] = first;
  if (taps > 1u) { partial[at + 1u] = second; }
  if (taps > 2u) { partial[at + 2u] = third; }
}
