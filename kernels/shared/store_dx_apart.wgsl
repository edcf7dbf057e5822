// Stores up to four inputs of a row, S apart, at least one.
fn store_dx(at: u32, v: vec4f, count: u32) {
  dx[at] = v.x;
  if (count > 1u) { dx[at + S] = v.y; }
  if (count > 2u) { dx[at + 2u * S] = v.z; }
  if (count > 3u) { dx[at + 3u * S] = v.w; }
}
