import { expectArguments } from '../checks/arguments.js';
import { ShapeError } from '../errors.js';
import { queue_push as kernel } from '../generated/queue_push.js';
import type { Plan } from '../runtime/plan.js';
import { numel, shapeText, type Tensor } from '../tensor/tensor.js';

/**
 * Writes a batch of keys over the oldest of a queue, unrecorded: row n goes to row (step·N + n) mod Q, where `step` is the one
 * that the plan runs with, counted from 0. The queue is all the state there is; Q need be no multiple of N.
 *
 * Record it behind everything that reads the queue in the same step.
 *
 * @param queue (Q, D) in a buffer that outlives the step
 * @param rows (N, D), N ≤ Q
 * @throws ShapeError where the shapes do not fit
 */
export function queuePush(plan: Plan, queue: Tensor, rows: Tensor): void {
  expectArguments('queuePush', { plan, queue, rows });
  const [Q, D] = queue.shape;
  const [N] = rows.shape;
  if (queue.shape.length !== 2 || numel(queue.shape) === 0)
    throw new ShapeError(`queuePush: expected queue (Q, D), none of them 0, got ${shapeText(queue.shape)}`);
  if (rows.shape.length !== 2 || rows.shape[1] !== D || N < 1 || N > Q)
    throw new ShapeError(
      `queuePush: expected rows (N, ${D}), N from 1 to ${Q}, for queue ${shapeText(queue.shape)}, ` +
        `got ${shapeText(rows.shape)}; use a smaller batch or a longer queue`,
    );
  if (N * Q >= 2 ** 32)
    throw new ShapeError(`queuePush: expected N·Q below 2³², got ${N} rows for ${Q}; use a shorter queue`);
  plan.dispatch(kernel, 'store', {
    params: { N, Q, D },
    bindings: { rows, queue },
    workgroups: Math.ceil((N * D) / kernel.consts.THREADS.value),
    bytes: 8 * N * D,
  });
}
