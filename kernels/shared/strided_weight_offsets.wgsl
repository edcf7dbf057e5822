// Offsets of output channels (rows) and of an input channel (column) in the host's weight.
fn row_at(o: u32) -> u32 {
  if (KEPT_ROWS) { return kept_rows[o] * params.row; }
  return o * params.row;
}
fn rows_at(o: vec4u) -> vec4u {
  if (KEPT_ROWS) { return vec4u(kept_rows[o.x], kept_rows[o.y], kept_rows[o.z], kept_rows[o.w]) * params.row; }
  return o * params.row;
}
fn column_at(i: u32) -> u32 {
  if (KEPT_COLUMNS) { return kept_columns[i] * params.column; }
  return i * params.column;
}
