// Four columns from ow on of `params.rows` rows from `first` on, in plane nc = n C + c of dy.
struct Strip { ow: u32, first: u32, nc: u32 }

fn strips() -> vec2u { return vec2u((params.OW + 3u) / 4u, (params.OH + params.rows - 1u) / params.rows); }

// The t-th strip of all planes: neighboring threads have neighboring columns.
fn strip_at(t: u32) -> Strip {
  let grid = strips();
  return Strip(t % grid.x * 4u, t / grid.x % grid.y * params.rows, t / (grid.x * grid.y));
}
