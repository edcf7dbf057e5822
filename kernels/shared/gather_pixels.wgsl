// Pixels at four offsets of x and of dy.
fn gather_x(at: vec4u) -> vec4f { return vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])); }
fn gather_dy(at: vec4u) -> vec4f { return vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]); }
