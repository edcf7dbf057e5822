// Offsets of an output channel's and of an input channel's k x k kernels in the host's weight.
fn row_at(o: u32) -> u32 {
  if (KEPT_ROWS) { return kept_rows[o] * params.ldw; }
  return o * params.ldw;
}
fn column_at(i: u32) -> u32 {
  if (KEPT_COLUMNS) { return kept_columns[i] * k * k; }
  return i * k * k;
}
