// The activation ACT and its derivative. NaN passes through. exp's argument is clamped so that it cannot overflow, and
// one exp gives both sigmoid(v) and 1 - sigmoid(v) without cancellation.
fn is_nan(v: vec4f) -> vec4<bool> { return (bitcast<vec4u>(v) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u); }
fn floored(v: vec4f) -> vec4f { return select(v, vec4f(-80.0), v < vec4f(-80.0)); }
fn decay(v: vec4f) -> vec4f { return exp(-floored(v)); }
fn ramp(v: vec4f) -> vec4f {
  return select(select(v / 6.0 + 0.5, vec4f(1.0), v >= vec4f(3.0)), vec4f(), v <= vec4f(-3.0));
}

fn activate(v: vec4f) -> vec4f {
  if (ACT == 1u) { return select(v, vec4f(), v < vec4f()); }
  if (ACT == 2u) { return select(select(v, vec4f(6.0), v > vec4f(6.0)), vec4f(), v < vec4f()); }
  if (ACT == 3u) { return v * ramp(v); }
  if (ACT == 4u) { return ramp(v); }
  if (ACT == 5u) { return floored(v) / (1.0 + decay(v)); }
  if (ACT == 6u) { return select(1.0 / (1.0 + decay(v)), v, is_nan(v)); }
  return v;
}

// d activate / d v; at a kink the derivative of the outer piece, as in PyTorch.
fn derivative(v: vec4f) -> vec4f {
  let inside = abs(v) < vec4f(3.0);
  if (ACT == 1u) { return select(vec4f(), vec4f(1.0), v > vec4f()); }
  if (ACT == 2u) { return select(vec4f(), vec4f(1.0), (v > vec4f()) & (v < vec4f(6.0))); }
  if (ACT == 3u) { return select(select(vec4f(), vec4f(1.0), v >= vec4f(3.0)), v / 3.0 + 0.5, inside); }
  if (ACT == 4u) { return select(vec4f(), vec4f(1.0 / 6.0), inside); }
  if (ACT == 0u) { return vec4f(1.0); }
  let e = decay(v);
  let s = 1.0 / (1.0 + e);
  if (ACT == 5u) { return s * (1.0 + floored(v) * (e * s)); }
  return s * (e * s);
}
