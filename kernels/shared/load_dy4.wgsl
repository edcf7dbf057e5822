// Four neighboring pixels of a row of dy.
fn load_dy4(row: u32, column: u32, inside: bool) -> vec4f {
  return vec4f(load_dy(row, column, inside), load_dy(row, column + 1u, inside),
               load_dy(row, column + 2u, inside), load_dy(row, column + 3u, inside));
}
