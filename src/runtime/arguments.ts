// Arguments as a program without types may give them: what records or opens something looks at them first.
import { ValidationError } from '../errors.js';
import { textOf } from './text_of.js';

interface Kind {
  readonly what: string;
  readonly remedy: string;
  readonly is: (value: object) => boolean;
}

const has =
  (name: string, type = 'function') =>
  (value: object) =>
    typeof Reflect.get(value, name) === type;

/** By the names of arguments; any other is a tensor's. */
const kinds: Readonly<Record<string, Kind>> = {
  device: { what: 'a Device', remedy: 'openDevice() gives one', is: has('assertHealthy') },
  plan: { what: 'a Plan', remedy: 'new Plan(device) makes one, and a tape has one, tape.plan', is: has('dispatch') },
  tape: { what: 'a Tape', remedy: 'new Tape(plan) makes one, and record() gives one', is: has('remakable') },
};
const memory: Kind = {
  what: 'a tensor',
  remedy: 'device.tensor(shape, values) makes one',
  is: has('storage', 'object'),
};
const tensor: Kind = {
  ...memory,
  is: (value) => memory.is(value) && ['shape', 'strides'].every((name) => Array.isArray(Reflect.get(value, name))),
};

/** Refuses what is none of a kind. */
function expectKind(where: string, name: string, value: unknown, { what, remedy, is }: Kind): void {
  if (is(Object(value))) return;
  const got = Object.values(kinds).find((kind) => kind.is(Object(value)))?.what ?? textOf(value);
  throw new ValidationError(
    `${where}: expected ${name} to be ${what}, got ${got}; ${got === 'a promise' ? 'await it' : remedy}`,
  );
}

/**
 * Refuses arguments that are none of their kind: what is called `device`, `plan` or `tape` is one, and all else is a tensor.
 *
 * @throws ValidationError by the names of what is called and of the argument
 */
export function expectArguments(where: string, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given)) expectKind(where, name, value, kinds[name] ?? tensor);
}

/** The same for tensors alone, whatever they are called. */
export function expectTensors(where: string, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given)) expectKind(where, name, value, tensor);
}

/** The same for memory of which no shape need be known. */
export function expectMemory(where: string, name: string, value: unknown): void {
  expectKind(where, name, value, memory);
}
