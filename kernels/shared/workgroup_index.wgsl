// Linear index of a workgroup in the dispatch. Workgroups beyond the device's limit on x continue in y, hence num.x.
fn workgroup_index(wid: vec3u, num: vec3u) -> u32 { return wid.x + wid.y * num.x; }
