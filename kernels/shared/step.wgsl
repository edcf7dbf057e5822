// What changes from step to step; the runtime fills it in (src/runtime/step_scalars.ts).
struct Step { step: u32, seed: u32, lr: f32, bias1: f32, bias2: f32, ema: f32, pad0: f32, pad1: f32 }
