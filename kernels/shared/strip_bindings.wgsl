struct Params {
  N: u32, C: u32,
  H: u32, W: u32, OH: u32, OW: u32,
  pad: u32,
  ldw: u32,    // stride of the weight between channels
  rows: u32,   // of y, dx or dy that a strip covers
  turn: u32,   // 1: the kernel rotated by 180 degrees
  splits: u32, // parts of the sum over images and strips
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;          // (N, C, H, W)
@group(0) @binding(2) var<storage, read> weight: array<Strided>;    // (C, 1, k, k), ldw between channels
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;    // (N, C, OH, OW)
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (N, C, OH, OW)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;      // (N, C, H, W)
@group(0) @binding(6) var<storage, read_write> partial: array<f32>; // (splits, C, k, k)
@group(0) @binding(7) var<storage, read> kept: array<Kept>;         // (C), optional: the kept channels
