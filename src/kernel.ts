export { type KernelOptions, kernel } from './kernel/kernel.js';
export type { Kernel } from './runtime/kernel.js';
