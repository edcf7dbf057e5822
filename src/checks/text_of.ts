/** A value as error messages show it; of an object, its class. Never throws. */
export function textOf(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return value === '' ? "''" : String(value);
  if ('then' in value) return 'a promise';
  return Array.isArray(value) ? 'an array' : (Object.getPrototypeOf(value)?.constructor?.name ?? 'an object');
}
