// Index of the row that a thread works on: LANES consecutive threads share a row.
fn row_index(wid: vec3u, num: vec3u, lid: u32) -> u32 { return ((wid.x + wid.y * num.x) * THREADS + lid) / LANES; }
