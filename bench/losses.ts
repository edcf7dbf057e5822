// What is benched of losses: embeddings and what they are compared with, never slimmed.

import { contrastiveLogits } from '../src/ops/contrastive_logits.js';
import { transpose } from '../src/ops/copy.js';
import { crossCorrelation } from '../src/ops/cross_correlation.js';
import { exp, mul } from '../src/ops/elementwise.js';
import { l2Normalize } from '../src/ops/l2_normalize.js';
import { matmulInto } from '../src/ops/matmul.js';
import { nearestNeighborTargets } from '../src/ops/nearest_neighbors.js';
import { queuePush } from '../src/ops/queue_push.js';
import { mean } from '../src/ops/reduce.js';
import { sinkhorn } from '../src/ops/sinkhorn.js';
import { softmaxCrossEntropy } from '../src/ops/softmax.js';
import { squaredDistance } from '../src/ops/squared_distance.js';
import type { Case, Layer } from './ops.js';
import * as reference from './reference.js';

/** Every loss and what leads to one, at N embeddings. */
export function losses(N: number): Layer[] {
  return [
    gram(N, 2048),
    barlowTwins(N, 2048),
    barlowTwins(N, 256),
    rows(N, 128),
    queue(N, 128, 16_384),
    classes(N, 16_385),
    targets(N, 1000),
    distance(N, 2048),
    newest(N, 128, 16_384),
    nearest(N, 16_384),
    codes(N, 512),
    product(N, 2048),
    outer(N, 2048),
    exponentials(N, 2048),
    columnMeans(N, 2048),
    turned(N, 2048),
  ];
}

/** An op on whole batches: its gradients come in one backward. */
function batch(stem: string, name: string, { inputs, run, reference }: Case): Layer {
  return { stem, name, slims: false, joint: true, at: () => ({ inputs, run, reference }) };
}

const gram = (N: number, D: number): Layer =>
  batch('matmul', `A Aᵀ ${N}x${D}`, {
    inputs: { a: [N, D] },
    run: (tape, { a }) => {
      const out = tape.empty('gram', [N, N]);
      matmulInto(tape.plan, { a, b: a, out, transposeB: true });
      return out;
    },
    reference: reference.gram(N, D),
  });

/** Loss and gradient come together, so that the backward is only the chain rule's factor. */
const barlowTwins = (N: number, D: number): Layer =>
  batch('cross_correlation', `${N}x${D}`, {
    inputs: { za: [N, D], zb: [N, D] },
    run: (tape, { za, zb }) => crossCorrelation(tape, za, zb, { scale: 1 }).loss,
    reference: reference.barlowTwins(N, D),
  });

const rows = (N: number, D: number): Layer =>
  batch('l2_normalize', `${N}x${D}`, {
    inputs: { x: [N, D] },
    run: (tape, { x }) => l2Normalize(tape, x),
    reference: reference.normalizedRows(D),
  });

const queue = (N: number, D: number, K: number): Layer =>
  batch('contrastive_logits', `${N}x${D}, queue ${K}`, {
    inputs: { q: [N, D], own: [N, D], queue: [K, D] },
    run: (tape, { q, own, queue }) => contrastiveLogits(tape, q, own, queue),
    reference: reference.similarities(D, K),
  });

/** InfoNCE's: the positive is in column 0. */
const classes = (N: number, K: number): Layer =>
  batch('softmax', `class 0 ${N}x${K}`, {
    inputs: { x: [N, K] },
    run: (tape, { x }) => softmaxCrossEntropy(tape, x, undefined, { temperature: 0.2 }),
    reference: reference.crossEntropy(N, K, 0.2),
  });

const targets = (N: number, K: number): Layer =>
  batch('softmax', `targets ${N}x${K}`, {
    inputs: { x: [N, K], t: [N, K] },
    run: (tape, { x, t }) => softmaxCrossEntropy(tape, x, t, { temperature: 0.2 }),
    reference: reference.crossEntropy(N, K, 0.2),
  });

const distance = (N: number, D: number): Layer =>
  batch('squared_distance', `${N}x${D}`, {
    inputs: { a: [N, D], t: [N, D] },
    run: (tape, { a, t }) => squaredDistance(tape, a, t, { scale: 1 / N }),
    reference: reference.squaredDistance(1 / N),
  });

/** Into the queue of the example itself, at its start: step is 0. */
const newest = (N: number, D: number, K: number): Layer =>
  batch('queue_push', `${N}x${D} of ${K}`, {
    inputs: { queue: [K, D], rows: [N, D] },
    run: (tape, { queue, rows }) => {
      queuePush(tape.plan, queue, rows);
      return { ...queue }; // not the input, whose gradient is asked for
    },
    reference: ({ queue, rows }) => ({ y: (i) => (i < N * D ? rows[i] : queue[i]) }),
  });

const nearest = (N: number, K: number): Layer =>
  batch('nearest_neighbors', `5 of ${K}, ${N} rows`, {
    inputs: { s: [N, K + 1] },
    run: (tape, { s }) => nearestNeighborTargets(tape.plan, s),
    reference: reference.nearestNeighborTargets(K + 1, 5),
  });

const codes = (N: number, P: number): Layer =>
  batch('sinkhorn', `${N}x${P}`, {
    inputs: { s: [N, P] },
    run: (tape, { s }) => sinkhorn(tape.plan, s, { epsilon: 0.2 }),
    reference: reference.codes(N, P, 0.2),
  });

const product = (N: number, D: number): Layer =>
  batch('elementwise', `a b ${N}x${D}`, {
    inputs: { a: [N, D], b: [N, D] },
    run: (tape, { a, b }) => mul(tape, a, b),
    reference: ({ a, b, dy }) => ({ y: (i) => a[i] * b[i], da: (i) => dy[i] * b[i], db: (i) => dy[i] * a[i] }),
  });

/** A row and a column are repeated; their gradients are summed. */
const outer = (N: number, D: number): Layer =>
  batch('elementwise', `column row ${N}x${D}`, {
    inputs: { a: [N, 1], b: [1, D] },
    run: (tape, { a, b }) => mul(tape, a, b),
    reference: reference.outer(N, D),
  });

const exponentials = (N: number, D: number): Layer =>
  batch('elementwise', `exp ${N}x${D}`, {
    inputs: { x: [N, D] },
    run: (tape, { x }) => exp(tape, x),
    reference: ({ x, dy }) => ({ y: (i) => Math.exp(x[i]), dx: (i) => dy[i] * Math.exp(x[i]) }),
  });

const columnMeans = (N: number, D: number): Layer =>
  batch('reduce', `means of columns ${N}x${D}`, {
    inputs: { x: [N, D] },
    run: (tape, { x }) => mean(tape, x, { dim: 0 }),
    reference: reference.columnMeans(N, D),
  });

const turned = (N: number, D: number): Layer =>
  batch('copy', `transpose ${N}x${D}`, {
    inputs: { x: [N, D] },
    run: (tape, { x }) => transpose(tape, x),
    reference: ({ x, dy }) => ({
      y: (i) => x[(i % N) * D + Math.floor(i / N)],
      dx: (i) => dy[(i % D) * N + Math.floor(i / D)],
    }),
  });
