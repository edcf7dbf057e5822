alias Strided = f32;              // element of a slice: strides or lists of kept channels say where it lies
alias Kept = u32;                 // number of a kept channel in the host
const KEPT_ROWS: bool = false;    // true where kept_rows is bound
const KEPT_COLUMNS: bool = false; // true where kept_columns is bound
