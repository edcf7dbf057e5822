var<workgroup> tree: array<f32, THREADS>;

// Sum over the LANES threads of a plane: tree reduction in workgroup memory, in a fixed order. The first of them gets it.
fn reduce_plane(lid: u32, value: f32) -> f32 {
  tree[lid] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lid % LANES < half) { tree[lid] += tree[lid + half]; }
    workgroupBarrier();
  }
  return tree[lid];
}
