/**
 * Defaults of the optimizers, in programs and on the command line: the recipe of the paper (DESIGN.md).
 * Learning rates come with the steps.
 */
export const sgdDefaults = { momentum: 0.9, weightDecay: 1e-4, nesterov: false, decayAll: true };
export const larsDefaults = { momentum: 0.9, weightDecay: 1e-4, trust: 0.02, clip: true };
export const adamwDefaults = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 1e-4, decayAll: false };
