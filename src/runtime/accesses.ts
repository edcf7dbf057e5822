// Which commands of a plan read and write which memory: checks that what a forward read is unchanged when its backward runs.
import { ValidationError } from '../errors.js';
import { type Binding, isBuffer, overlap } from '../tensor/binding.js';
import type { Device } from './device.js';

interface Access {
  /** The command's place in the plan. */
  readonly at: number;
  readonly binding: Binding;
  /** The label of the command, and the name of its binding. */
  readonly label: string;
  readonly name: string;
}

/** A range of a plan's commands: `first` inclusive, `end` exclusive. */
export interface Stretch {
  readonly first: number;
  readonly end: number;
}

export class Accesses {
  readonly #all: Access[] = [];
  readonly #writes = new Map<Binding['storage'], Access[]>();

  note(access: Access, written: boolean): void {
    this.#all.push(access);
    const { storage } = access.binding;
    const writes = this.#writes.get(storage) ?? [];
    if (written) writes.push(access);
    this.#writes.set(storage, writes);
  }

  /** Checks that every buffer that a command uses exists and has contents. */
  assertUsable(device: Device): void {
    for (const storage of this.#writes.keys()) {
      if (isBuffer(storage)) device.assertUsable(storage);
    }
  }

  /**
   * Checks that this plan computes gradients before an optimizer reads them.
   *
   * @throws ValidationError where no backward reaches them, or one that is recorded after the optimizer
   */
  assertReached(optimizer: string, grads: GPUBuffer): void {
    const made = this.#writes.get(grads)?.find(({ label }) => label !== 'clear');
    const read = this.#all.find(({ binding, label }) => binding.storage === grads && label.startsWith(`${optimizer}.`));
    if (made && read && made.at < read.at) return;
    throw new ValidationError(
      made
        ? `${optimizer}: expected to be recorded after the backward whose gradients it uses, but was recorded before it`
        : `${optimizer}: expected a backward of the same step to reach what it trains, got none for "${grads.label}"; ` +
            'leave out parameters that do not affect the loss',
    );
  }

  /**
   * Checks that commands read what an op's forward read: that none of `since`, recorded in between, overwrote it. Memory
   * first used by these commands, e.g. a gradient, is new and may be read.
   *
   * @throws ValidationError by the names of the command, the memory and who wrote it
   */
  assertUnchanged(op: string, commands: Stretch, since: Stretch): void {
    for (const { at, binding, label, name } of this.#all) {
      if (at < commands.first || at >= commands.end) continue;
      const writes = this.#writes.get(binding.storage) as Access[];
      if (writes.some((write) => write.at === at && write.binding === binding)) continue;
      const writer = writes.find(
        (write) => write.at >= since.first && write.at < since.end && overlap(write.binding, binding),
      );
      if (!writer || !this.#all.some((old) => old.at < since.first && sameMemory(old.binding, binding))) continue;
      const tensor = 'label' in binding ? binding.label : binding.storage.label;
      throw new ValidationError(
        `${label}: ${name}: "${tensor}" was modified in place by ${writer.label} after ${op} read it; ` +
          `record ${writer.label} behind the backward`,
      );
    }
  }
}

const sameMemory = (a: Binding, b: Binding) => a.storage === b.storage && overlap(a, b);
