import type { Candidate } from '../runtime/choice.js';

/** How many threads share a plane. */
export interface Lanes extends Candidate {
  readonly lanes: number;
}

/** One lane a plane where planes are small, and where a CPU plays the GPU, which makes barriers dear. */
export function laneForms(software: boolean, pixels: number, lanes: number): readonly Lanes[] {
  const alone: Lanes = { name: 'alone', lanes: 1 };
  const together: Lanes = { name: 'together', lanes };
  return software || pixels < 32 ? [alone, together] : [together, alone];
}
