// Offsets of rows and columns of op(B), and of rows and columns of C.
fn k_at(k: u32) -> u32 {
  if (KEPT_K) { return kept_k[k] * params.bk; }
  return k * params.bk;
}
fn n_at(n: vec4u) -> vec4u {
  if (KEPT_N) { return params.b0 + vec4u(kept_n[n.x], kept_n[n.y], kept_n[n.z], kept_n[n.w]) * params.bn; }
  return params.b0 + n * params.bn;
}
fn row_at(m: u32) -> u32 {
  if (KEPT_ROWS) { return params.c0 + kept_rows[m] * params.ldc; }
  return params.c0 + m * params.ldc;
}
fn column_at(n: u32) -> u32 {
  if (KEPT_COLUMNS) { return kept_columns[n]; }
  return n;
}
