// Pixel of the row of x that starts at offset `row`: zero padding left and right of it (negative columns wrap to large
// unsigned ones), and where the row itself is outside.
fn load_x(row: u32, column: u32, inside: bool) -> f32 {
  return select(0f, f32(x[row + min(column, params.W - 1u)]), inside && column < params.W);
}
