// A plan as text: each command with its variant, and what it reads and writes.
import { type Binding, isBuffer } from '../tensor/binding.js';
import { isShaped } from '../tensor/footprint.js';
import type { Command, Dispatch, Recorded } from './commands.js';
import { buffersOf } from './kernel.js';
import { statsOf } from './stats.js';

/**
 * A plan as text, one line per command: its number, the phase, `stem.entry`, the variant in brackets, its workgroups, and what it
 * reads and writes: each binding's name, tensor, shape and bytes, and their memory. A slot's buffer is known
 * once the plan is compiled, and is shared with other slots at other times.
 */
export function describe(plan: Recorded): string {
  const { dispatches, pipelines, slots, heldBytes } = statsOf(plan);
  const head = `${plan.label}: ${plan.position} commands, ${dispatches} dispatches of ${pipelines} pipelines, ${slots} slots in ${heldBytes} bytes`;
  const width = String(plan.position - 1).length;
  const lines = plan.commands.map((command, i) => `  ${String(i).padStart(width)}  ${lineOf(plan, command, i)}`);
  return [head, ...lines].join('\n');
}

/** ` [name]` of the innermost variant that a command was recorded for; '' if there was no choice. */
export function variantText({ choices }: Recorded, at: number): string {
  const inner = choices.findLast(({ first, end }) => first <= at && at < end);
  return inner ? ` [${inner.chosen.name}]` : '';
}

function lineOf(plan: Recorded, command: Command, at: number): string {
  if (command.kind === 'clear') return `clear  writes ${memoryText(plan, command.target)}`;
  const { phase, workgroups, half } = command;
  const title = `${phase && `${phase}  `}${command.label}${variantText(plan, at)}${half ? ' f16' : ''}`;
  const parts = [title, `(${workgroups.join(', ')})`];
  for (const [verb, written] of [
    ['reads', false],
    ['writes', true],
  ] as const) {
    const bound = bindingsOf(command, written).map(([name, binding]) => `${name}: ${memoryText(plan, binding)}`);
    if (bound.length > 0) parts.push(`${verb} ${bound.join(', ')}`);
  }
  return parts.join('  ');
}

/** What a dispatch binds to write, or only to read. */
export function bindingsOf({ kernel, entry, bindings }: Dispatch, written: boolean): [name: string, Binding][] {
  const declared = buffersOf(kernel, entry);
  return [...bindings].filter(([name]) => (declared[name].type === 'storage') === written);
}

/** A binding's tensor and shape, or the label of its memory: `"x" (4, 16)`. */
export function nameOf(binding: Binding): string {
  if (!isShaped(binding)) return `"${binding.storage.label}"`;
  const lists = binding.keptRows || binding.keptColumns ? ' by index lists' : '';
  return `"${binding.label}" (${binding.shape.join(', ')})${lists}`;
}

function memoryText(plan: Recorded, binding: Binding): string {
  const { storage, offset, bytes, half, integer } = binding;
  const kind = half ? 'f16' : (integer ?? '');
  const memory = isBuffer(storage)
    ? `buffer ${storage.label}`
    : `slot ${storage.label}${plan.memory.get(storage) ? ` in ${plan.memory.get(storage)?.label}` : ''}`;
  const at = offset > 0 ? ` from byte ${offset}` : '';
  return [nameOf(binding), kind, `${bytes} B of ${memory}${at}`].filter(Boolean).join(' ');
}
