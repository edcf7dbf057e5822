export * from './errors.js';
export { add } from './ops/add.js';
export { Device, type DeviceOptions, openDevice } from './runtime/device.js';
export { Plan, type PlanOptions } from './runtime/plan.js';
export { Tape } from './tape.js';
export { contiguous, prefix, type Tensor, tensor } from './tensor.js';
