// Arguments as a program without types may give them: what records or opens something looks at them first.
import { ValidationError } from '../errors.js';
import { textOf } from './text_of.js';

/** What a kind is called, what gives one, and whether an object is of it. */
type Kind = readonly [what: string, remedy: string, is: (value: object) => boolean];

const has = (name: string) => (value: object) => name in value;

/** By the names of arguments; any other is a tensor's. */
const kinds: Readonly<Record<string, Kind>> = {
  device: ['a Device', 'openDevice() gives one', has('assertHealthy')],
  plan: ['a Plan', 'new Plan(device) makes one, and a tape has one, tape.plan', has('dispatch')],
  tape: ['a Tape', 'new Tape(plan) makes one, and record() gives one', has('recomputable')],
};
const isMemory = (value: object) => 'storage' in value && value.storage instanceof Object;
const memory: Kind = ['a tensor', 'device.tensor(shape, values) makes one', isMemory];
const isList = (value: object, name: string) => Array.isArray(Reflect.get(value, name));
const isTensor = (value: object) => isMemory(value) && isList(value, 'shape') && isList(value, 'strides');
const tensor: Kind = [memory[0], memory[1], isTensor];

/** Refuses what is none of a kind. */
function expectKind(where: string, name: string, value: unknown, [what, remedy, is]: Kind): void {
  if (is(Object(value))) return;
  const got = Object.values(kinds).find(([, , is]) => is(Object(value)))?.[0] ?? textOf(value);
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

/** The same for tensors only, under any names. */
export function expectTensors(where: string, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given)) expectKind(where, name, value, tensor);
}

/** The same for memory of which no shape need be known. */
export function expectMemory(where: string, name: string, value: unknown): void {
  expectKind(where, name, value, memory);
}
