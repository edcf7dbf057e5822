export { type KernelOptions, kernel } from './custom_kernel/kernel.js';
export type { Kernel } from './runtime/kernel.js';
