// A thread's tile of eight rows and four columns. Named members, not an array: SwiftShader runs arrays several times slower.
struct Tile { c0: vec4f, c1: vec4f, c2: vec4f, c3: vec4f, c4: vec4f, c5: vec4f, c6: vec4f, c7: vec4f }

// Adds the outer product of a column of eight (lo, hi) and a row of four.
fn multiply(tile: ptr<function, Tile>, lo: vec4f, hi: vec4f, v: vec4f) {
  (*tile).c0 = fma(vec4f(lo.x), v, (*tile).c0);
  (*tile).c1 = fma(vec4f(lo.y), v, (*tile).c1);
  (*tile).c2 = fma(vec4f(lo.z), v, (*tile).c2);
  (*tile).c3 = fma(vec4f(lo.w), v, (*tile).c3);
  (*tile).c4 = fma(vec4f(hi.x), v, (*tile).c4);
  (*tile).c5 = fma(vec4f(hi.y), v, (*tile).c5);
  (*tile).c6 = fma(vec4f(hi.z), v, (*tile).c6);
  (*tile).c7 = fma(vec4f(hi.w), v, (*tile).c7);
}

// Moves the next row into c0. Rows are stored in a loop whose bound is a uniform, so that it is not unrolled: eight
// separate stores would take lavapipe long to compile.
fn shift(tile: ptr<function, Tile>) {
  (*tile).c0 = (*tile).c1;
  (*tile).c1 = (*tile).c2;
  (*tile).c2 = (*tile).c3;
  (*tile).c3 = (*tile).c4;
  (*tile).c4 = (*tile).c5;
  (*tile).c5 = (*tile).c6;
  (*tile).c6 = (*tile).c7;
}
