// A thread's tile: ROWS rows of two vectors of four columns. Where ROWS is 8, r8 to r15 are unused and compiled away.
// Named members, not arrays: SwiftShader runs arrays several times slower.
struct Row { left: vec4f, right: vec4f }

struct Tile {
  r0: Row, r1: Row, r2: Row, r3: Row, r4: Row, r5: Row, r6: Row, r7: Row,
  r8: Row, r9: Row, r10: Row, r11: Row, r12: Row, r13: Row, r14: Row, r15: Row,
}

// Operands of two steps of the reduction: left and right columns u0 and v0 of the first, u1 and v1 of the second.
struct Two { u0: vec4f, v0: vec4f, u1: vec4f, v1: vec4f }

fn add2(row: Row, w: vec2f, by: Two) -> Row {
  return Row(fma(vec4f(w.y), by.u1, fma(vec4f(w.x), by.u0, row.left)),
             fma(vec4f(w.y), by.v1, fma(vec4f(w.x), by.v0, row.right)));
}

// Adds two outer products, each of a column of ROWS and a row of eight. Row r is held[r / SHARE] of lane r % SHARE and
// reaches all lanes by subgroupBroadcast. Two steps at once load and store the tile's sums half as often.
fn multiply2(tile: ptr<function, Tile>, held: mat4x2f, by: Two) {
  (*tile).r0 = add2((*tile).r0, subgroupBroadcast(held[0u / SHARE], 0u % SHARE), by);
  (*tile).r1 = add2((*tile).r1, subgroupBroadcast(held[1u / SHARE], 1u % SHARE), by);
  (*tile).r2 = add2((*tile).r2, subgroupBroadcast(held[2u / SHARE], 2u % SHARE), by);
  (*tile).r3 = add2((*tile).r3, subgroupBroadcast(held[3u / SHARE], 3u % SHARE), by);
  (*tile).r4 = add2((*tile).r4, subgroupBroadcast(held[4u / SHARE], 4u % SHARE), by);
  (*tile).r5 = add2((*tile).r5, subgroupBroadcast(held[5u / SHARE], 5u % SHARE), by);
  (*tile).r6 = add2((*tile).r6, subgroupBroadcast(held[6u / SHARE], 6u % SHARE), by);
  (*tile).r7 = add2((*tile).r7, subgroupBroadcast(held[7u / SHARE], 7u % SHARE), by);
  if (ROWS == 16u) {
    (*tile).r8 = add2((*tile).r8, subgroupBroadcast(held[8u / SHARE], 8u % SHARE), by);
    (*tile).r9 = add2((*tile).r9, subgroupBroadcast(held[9u / SHARE], 9u % SHARE), by);
    (*tile).r10 = add2((*tile).r10, subgroupBroadcast(held[10u / SHARE], 10u % SHARE), by);
    (*tile).r11 = add2((*tile).r11, subgroupBroadcast(held[11u / SHARE], 11u % SHARE), by);
    (*tile).r12 = add2((*tile).r12, subgroupBroadcast(held[12u / SHARE], 12u % SHARE), by);
    (*tile).r13 = add2((*tile).r13, subgroupBroadcast(held[13u / SHARE], 13u % SHARE), by);
    (*tile).r14 = add2((*tile).r14, subgroupBroadcast(held[14u / SHARE], 14u % SHARE), by);
    (*tile).r15 = add2((*tile).r15, subgroupBroadcast(held[15u / SHARE], 15u % SHARE), by);
  }
}

// Four steps of the reduction, of the left columns only.
fn add4(row: Row, w: vec4f, v: mat4x4f) -> Row {
  let half = fma(vec4f(w.y), v[1], fma(vec4f(w.x), v[0], row.left));
  return Row(fma(vec4f(w.w), v[3], fma(vec4f(w.z), v[2], half)), row.right);
}

// Adds four outer products, each of a column of ROWS and a row of four. Rows are held as in multiply2.
fn multiply4(tile: ptr<function, Tile>, held: mat4x4f, v: mat4x4f) {
  (*tile).r0 = add4((*tile).r0, subgroupBroadcast(held[0u / SHARE], 0u % SHARE), v);
  (*tile).r1 = add4((*tile).r1, subgroupBroadcast(held[1u / SHARE], 1u % SHARE), v);
  (*tile).r2 = add4((*tile).r2, subgroupBroadcast(held[2u / SHARE], 2u % SHARE), v);
  (*tile).r3 = add4((*tile).r3, subgroupBroadcast(held[3u / SHARE], 3u % SHARE), v);
  (*tile).r4 = add4((*tile).r4, subgroupBroadcast(held[4u / SHARE], 4u % SHARE), v);
  (*tile).r5 = add4((*tile).r5, subgroupBroadcast(held[5u / SHARE], 5u % SHARE), v);
  (*tile).r6 = add4((*tile).r6, subgroupBroadcast(held[6u / SHARE], 6u % SHARE), v);
  (*tile).r7 = add4((*tile).r7, subgroupBroadcast(held[7u / SHARE], 7u % SHARE), v);
  if (ROWS == 16u) {
    (*tile).r8 = add4((*tile).r8, subgroupBroadcast(held[8u / SHARE], 8u % SHARE), v);
    (*tile).r9 = add4((*tile).r9, subgroupBroadcast(held[9u / SHARE], 9u % SHARE), v);
    (*tile).r10 = add4((*tile).r10, subgroupBroadcast(held[10u / SHARE], 10u % SHARE), v);
    (*tile).r11 = add4((*tile).r11, subgroupBroadcast(held[11u / SHARE], 11u % SHARE), v);
    (*tile).r12 = add4((*tile).r12, subgroupBroadcast(held[12u / SHARE], 12u % SHARE), v);
    (*tile).r13 = add4((*tile).r13, subgroupBroadcast(held[13u / SHARE], 13u % SHARE), v);
    (*tile).r14 = add4((*tile).r14, subgroupBroadcast(held[14u / SHARE], 14u % SHARE), v);
    (*tile).r15 = add4((*tile).r15, subgroupBroadcast(held[15u / SHARE], 15u % SHARE), v);
  }
}

// Moves the next row into r0. Rows are stored in a loop whose bound is a uniform, so that it is not unrolled: separate
// stores of the rows would take lavapipe seconds to compile.
fn shift(tile: ptr<function, Tile>) {
  (*tile).r0 = (*tile).r1;
  (*tile).r1 = (*tile).r2;
  (*tile).r2 = (*tile).r3;
  (*tile).r3 = (*tile).r4;
  (*tile).r4 = (*tile).r5;
  (*tile).r5 = (*tile).r6;
  (*tile).r6 = (*tile).r7;
  if (ROWS == 16u) {
    (*tile).r7 = (*tile).r8;
    (*tile).r8 = (*tile).r9;
    (*tile).r9 = (*tile).r10;
    (*tile).r10 = (*tile).r11;
    (*tile).r11 = (*tile).r12;
    (*tile).r12 = (*tile).r13;
    (*tile).r13 = (*tile).r14;
    (*tile).r14 = (*tile).r15;
  }
}

// Rows that a lane holds: the second exists where ROWS > SHARE, the last two where ROWS > 2 SHARE.
fn rows_of(lane: u32) -> vec4u { return lane % SHARE + SHARE * vec4u(0u, 1u, 2u, 3u); }
