fn store_weight(row: u32, i: u32, v: f32) {
  if (i >= params.I) { return; }
  let at = row + column_at(i);
  if (params.accumulate == 1u) { dweight[at] += v; } else { dweight[at] = v; }
}
