struct Params {
  N: u32, I: u32, O: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  pad: u32,
  ldw: u32,    // stride of the weight between output channels
  splits: u32, // backward_weight: parts of the sum over rows of dy
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, I, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (O, I, k, k), ldw between rows
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, O, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, O, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, I, H, W)
@group(0) @binding(6) var<storage, read_write> partial: array<f32>; // (splits, O, I, k, k)
@group(0) @binding(7) var<storage, read> kept_rows: array<Kept>;    // (O), optional: the kept rows of the weight
@group(0) @binding(8) var<storage, read> kept_columns: array<Kept>; // (I), optional: its kept columns
