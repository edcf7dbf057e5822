// Pixels of a row of x under each of three neighboring taps of a kernel row, for four neighboring outputs. With stride 1
// or 2 the taps share pixels, which are loaded once.
struct Taps3 { first: vec4f, second: vec4f, third: vec4f }

fn load_taps3(row: u32, column: u32, inside: bool) -> Taps3 {
  let first = load_x4(row, column, inside);
  if (S == 1u) {
    let second = vec4f(first.yzw, load_x(row, column + 4u, inside));
    return Taps3(first, second, vec4f(second.yzw, load_x(row, column + 5u, inside)));
  }
  let second = load_x4(row, column + 1u, inside);
  if (S == 2u) { return Taps3(first, second, vec4f(first.yzw, load_x(row, column + 8u, inside))); }
  return Taps3(first, second, load_x4(row, column + 2u, inside));
}
