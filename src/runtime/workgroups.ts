import { ValidationError } from '../errors.js';
import type { Device } from './device.js';

/** Workgroups in three dimensions: a number is folded into (x, y, 1) if it exceeds the limit of a dimension. */
export function fold(
  { limits }: Device,
  label: string,
  workgroups: number | readonly [number, number, number],
): readonly [number, number, number] {
  const limit = limits.maxComputeWorkgroupsPerDimension;
  if (typeof workgroups !== 'number') {
    if (workgroups.every((side) => Number.isInteger(side) && side > 0 && side <= limit)) return workgroups;
    throw new ValidationError(`${label}: expected workgroups from 1 to ${limit} per dimension, got ${workgroups}`);
  }
  if (!(Number.isInteger(workgroups) && workgroups > 0 && workgroups <= limit * limit))
    throw new ValidationError(`${label}: expected from 1 to ${limit ** 2} workgroups, got ${workgroups}`);
  const rows = Math.ceil(workgroups / limit);
  return [Math.ceil(workgroups / rows), rows, 1];
}
