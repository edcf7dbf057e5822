// LARS: SGD with a rate for each tensor, by the ratio of its norm to its gradient's.
import { expectOptions, type Kinds, withDefaults } from '../checks/options.js';
import { lars as kernel } from '../generated/lars.js';
import type { Device } from '../runtime/device.js';
import type { Plan } from '../runtime/plan.js';
import { type Tensor, tensor, transient } from '../tensor/tensor.js';
import { larsDefaults } from './defaults.js';
import { type Optimizer, type OptimizerOptions, optimizerOf, type Span, type Trainable, within } from './optimizer.js';

export interface LarsOptions extends OptimizerOptions {
  /** Default 0.9. */
  momentum?: number;
  /** Default 1e-4. */
  weightDecay?: number;
  /** Trust coefficient η; default 0.02. */
  trust?: number;
  /** Limit a tensor's rate to the learning rate: q = min(q / lr, 1); default true. */
  clip?: boolean;
}

const larsOptions: Kinds<LarsOptions> = {
  lr: 'number',
  momentum: 'number',
  weightDecay: 'number',
  trust: 'number',
  clip: 'boolean',
};

const chunkQuads = 4096; // 64 KiB of weights a workgroup

/**
 * Records the norms of every tensor's weights and gradients, then the update of all weights, one dispatch each
 * (DESIGN.md, "Optimizers and schedule"). One-dimensional tensors, biases and batchnorm, get neither adaptation nor decay.
 */
export function lars(plan: Plan, trained: Trainable | readonly Tensor[], options: LarsOptions = {}): Optimizer {
  const {
    momentum: m,
    weightDecay,
    trust,
    clip,
  } = withDefaults(larsDefaults, expectOptions('lars', options, larsOptions));
  within('lars', { momentum: m }, 0, 1);
  within('lars', { weightDecay, trust }, 0, Infinity);
  return optimizerOf(plan, 'lars', trained, options, ['momentum'], (span, { weights, grads, momentum }) => {
    const { size } = span;
    const { rows, chunks } = chunkTable(plan.device, span);
    const squares = transient(plan, 'lars.squares', [rows, 2]);
    const shared = {
      params: { chunks: rows, momentum: m, weight_decay: weightDecay, trust, clip: clip ? 1 : 0 },
      workgroups: rows,
    };
    plan.dispatch(kernel, 'norms', {
      ...shared,
      bindings: { weights_in: weights, grads, chunks, squares_out: squares },
      bytes: 8 * size,
    });
    plan.dispatch(kernel, 'update', {
      ...shared,
      bindings: { weights, grads, momentum, chunks, squares },
      bytes: 20 * size,
    });
    return chunks;
  });
}

/** A span's tensors divided into chunks; columns of the table: begin, end, first chunk of the tensor, its number of chunks, adapt. */
function chunkTable(device: Device, { places, offset: start }: Span): { rows: number; chunks: Tensor } {
  const rows = places.flatMap(({ shape, offset, length }) => {
    const begin = (offset - start) / 4;
    const end = begin + Math.ceil(length / 4);
    const count = Math.ceil((end - begin) / chunkQuads);
    return Array.from({ length: count }, (_, k) => {
      const from = begin + k * chunkQuads;
      return { begin: from, end: Math.min(from + chunkQuads, end), index: k, count, adapt: shape.length > 1 ? 1 : 0 };
    });
  });
  const table = Uint32Array.from(rows.flatMap((row, i) => [row.begin, row.end, i - row.index, row.count, row.adapt]));
  const chunks = tensor(device.buffer('lars.chunks', table.byteLength), 'lars.chunks', [table.length], 0, 'u32');
  device.write(chunks, table);
  return { rows: rows.length, chunks };
}
