// Stores up to eight neighboring inputs of a row, at least one: even columns and odd columns interleaved.
fn store_dx(at: u32, even: vec4f, odd: vec4f, count: u32) {
  dx[at] = even.x;
  if (count > 1u) { dx[at + 1u] = odd.x; }
  if (count > 2u) { dx[at + 2u] = even.y; }
  if (count > 3u) { dx[at + 3u] = odd.y; }
  if (count > 4u) { dx[at + 4u] = even.z; }
  if (count > 5u) { dx[at + 5u] = odd.z; }
  if (count > 6u) { dx[at + 6u] = even.w; }
  if (count > 7u) { dx[at + 7u] = odd.w; }
}
