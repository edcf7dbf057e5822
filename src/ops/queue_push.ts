import { expectArguments } from '../checks/arguments.js';
import { ShapeError } from '../errors.js';
import { queue_push as kernel } from '../generated/queue_push.js';
import type { Plan } from '../runtime/plan.js';
import { numel, shapeText, type Tensor } from '../tensor/tensor.js';

/**
 * Overwrites the oldest rows of a queue with a batch of keys, not recorded on the tape: row n goes to row (step·N + n) mod Q,
 * where `step` is the plan's current step, counted from 0. There is no other state; Q need not be a multiple of N.
 *
 * Record it after everything that reads the queue in the same step.
 *
 * @param queue (Q, D) in a buffer that outlives the step
 * @param rows (N, D), N ≤ Q
 * @throws ShapeError if the shapes do not match
 */
export function queuePush(plan: Plan, queue: Tensor, rows: Tensor): void {
  expectArguments('queuePush', { plan, queue, rows });
  const [Q, D] = queue.shape;
  const [N] = rows.shape;
  if (queue.shape.length !== 2 || numel(queue.shape) === 0)
    throw new ShapeError(`queuePush: expected queue (Q, D), all above 0, got ${shapeText(queue.shape)}`);
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
