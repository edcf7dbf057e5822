alias Strided = f32;              // element of a slice: strides or lists of kept channels say where it lies
alias Kept = u32;                 // number of a kept channel in the host
const KEPT_K: bool = false;       // true where kept_k is bound; the others likewise
const KEPT_N: bool = false;
const KEPT_ROWS: bool = false;
const KEPT_COLUMNS: bool = false;
