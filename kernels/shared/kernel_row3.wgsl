// Row kh of a channel's 3x3 kernel.
fn kernel_row(c: u32, kh: u32) -> vec3f {
  let at = channel_at(c);
  let row = kh * 3u;
  if (params.turn == 1u) { return vec3f(weight[at + 8u - row], weight[at + 7u - row], weight[at + 6u - row]); }
  return vec3f(weight[at + row], weight[at + row + 1u], weight[at + row + 2u]);
}
