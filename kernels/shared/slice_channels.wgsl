alias Strided = f32;       // element of a slice: strides or a list of kept channels say where it lies
alias Kept = u32;          // number of a kept channel in the host
const KEPT: bool = false;  // true where `kept` is bound
