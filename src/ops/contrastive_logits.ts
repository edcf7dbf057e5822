// Dot products of queries with their own keys and with a queue: the logits of InfoNCE.
import { expectArguments } from '../checks/arguments.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { contrastive_logits as kernel } from '../generated/contrastive_logits.js';
import { narrowView, shapeText, type Tensor } from '../tensor/tensor.js';
import { operand } from './copy.js';
import { matmulInto } from './matmul.js';
import { overRows, rowForms } from './reduction_width.js';

/**
 * Dot products of each embedding with its own key and with all keys of a queue: the logits of InfoNCE, where column 0 is
 * the positive. For rows of length 1 they are cosines. Keys that require a gradient get one; others are constants.
 *
 * @param q (N, D)
 * @param own (N, D), the key of each row; optional
 * @param queue (Q, D)
 * @returns (N, 1 + Q): q_n · own_n, then q_n · queue_j; without `own`, (N, Q): the latter only
 * @throws ShapeError where the shapes do not fit
 */
export function contrastiveLogits(tape: Tape, q: Tensor, own: Tensor | undefined, queue: Tensor): Tensor {
  expectArguments('contrastiveLogits', { tape, q, queue, ...(own !== undefined && { own }) });
  const given = (x: Tensor) => (x.grad && tape.requiresGrad(x) ? operand(tape, x) : x); // a parameter's gradient is accumulated in place
  return ofRows(tape, given(q), own && given(own), given(queue));
}

function ofRows(tape: Tape, q: Tensor, own: Tensor | undefined, queue: Tensor): Tensor {
  const [N, D] = q.shape;
  const [Q] = queue.shape;
  if (q.shape.length !== 2 || N * D === 0)
    throw new ShapeError(`contrastiveLogits: expected q (N, D), all above 0, got ${shapeText(q.shape)}`);
  if (own && shapeText(own.shape) !== shapeText(q.shape))
    throw new ShapeError(`contrastiveLogits: expected own ${shapeText(q.shape)} as q is, got ${shapeText(own.shape)}`);
  if (queue.shape.length !== 2 || Q === 0 || queue.shape[1] !== D)
    throw new ShapeError(
      `contrastiveLogits: expected queue (Q, ${D}) for q ${shapeText(q.shape)}, got ${shapeText(queue.shape)}`,
    );
  const { plan } = tape;
  const first = own ? 1 : 0;
  const ld = first + Q;
  const forms = rowForms(plan.device.software, D);
  const work = { macs: N * D, bytes: 8 * N * D };
  const wanted = (x: Tensor, name: string) =>
    tape.requiresGrad(x) ? tape.empty(`contrastive_logits.${name}`, x.shape) : null;
  const logits = tape.empty('contrastive_logits', [N, ld]);
  matmulInto(plan, { a: q, b: queue, out: narrowView(logits, first, Q), transposeB: true });
  if (own)
    plan.choose('contrastiveLogits.forward', forms, (form, plan) => {
      const { half, ...common } = overRows(form, N);
      const bindings = { q, own, logits };
      plan.dispatch(kernel, 'forward', { ...common, ...work, params: { N, D, ld, half }, bindings });
    });
  return tape.record('contrastiveLogits', own ? [q, own, queue] : [q, queue], logits, (dlogits) => {
    // the gradient through column 0 for one row of each pair
    const pairs = (other: Tensor, dx: Tensor) =>
      plan.choose('contrastiveLogits.backward', forms, (form, plan) => {
        const { half, ...common } = overRows(form, N);
        const bindings = { own: other, dlogits, dq: dx };
        plan.dispatch(kernel, 'backward_input', { ...common, ...work, params: { N, D, ld, half }, bindings });
      });
    const dq = wanted(q, 'dq');
    const products = narrowView(dlogits, first, Q);
    if (dq && own) pairs(tape.recompute(own), dq);
    if (dq) matmulInto(plan, { a: products, b: tape.recompute(queue), out: dq, accumulate: own !== undefined });
    const down = own && wanted(own, 'down');
    if (down) pairs(tape.recompute(q), down);
    const dqueue = wanted(queue, 'dqueue');
    if (dqueue) matmulInto(plan, { a: products, b: tape.recompute(q), out: dqueue, transposeA: true });
    return own ? [dq, down ?? null, dqueue] : [dq, dqueue];
  });
}
