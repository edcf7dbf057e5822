// Random graphs of small ops: the gradients of all that is trained, beside central differences of the same graph in f64.
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { record } from '../../src/core/record.js';
import type { Tape } from '../../src/core/tape.js';
import { activation } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { concat, contiguous, narrow, slice, transpose } from '../../src/ops/copy.js';
import { exp, mul, scale, square, sub } from '../../src/ops/elementwise.js';
import { l2Normalize } from '../../src/ops/l2_normalize.js';
import { linear } from '../../src/ops/linear.js';
import { matmul } from '../../src/ops/matmul.js';
import { mean, sum } from '../../src/ops/reduce.js';
import { softmax } from '../../src/ops/softmax.js';
import type { Device } from '../../src/runtime/device.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { generator, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** (rows, columns), in f64. */
interface Matrix {
  readonly shape: readonly [number, number];
  readonly data: Float64Array;
}

function matrix(rows: number, columns: number, at: (row: number, column: number) => number): Matrix {
  const data = Float64Array.from({ length: rows * columns }, (_, i) => at(Math.floor(i / columns), i % columns));
  return { shape: [rows, columns], data };
}

const at = ({ shape: [rows, columns], data }: Matrix, r: number, c: number) =>
  data[(r % rows) * columns + (c % columns)];
const map = (x: Matrix, f: (value: number) => number) => matrix(...x.shape, (r, c) => f(at(x, r, c)));
const row = (x: Matrix, r: number) => Array.from({ length: x.shape[1] }, (_, c) => at(x, r, c));
const total = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
const turned = (x: Matrix) => matrix(x.shape[1], x.shape[0], (r, c) => at(x, c, r));
const product = (a: Matrix, b: Matrix) =>
  matrix(a.shape[0], b.shape[1], (r, c) => total(row(a, r).map((value, k) => value * at(b, k, c))));
const both = (a: Matrix, b: Matrix, f: (a: number, b: number) => number) =>
  matrix(...a.shape, (r, c) => f(at(a, r, c), at(b, r, c)));

/** How a matrix is used: shapes of what else it takes, the op on the tape, and what it computes. */
interface Use {
  readonly others: readonly (readonly [number, number])[];
  readonly onTape: (tape: Tape, x: Tensor, ...others: Tensor[]) => Tensor;
  readonly inF64: (x: Matrix, ...others: Matrix[]) => Matrix;
}

type Draw = (most: number) => number;

/** Ways to use (N, D), each with what it draws. */
const uses: readonly ((shape: readonly [number, number], draw: Draw) => Use)[] = [
  () => ({ others: [], onTape: square, inF64: (x) => map(x, (v) => v * v) }),
  () => ({ others: [], onTape: (tape, x) => scale(tape, x, -0.7), inF64: (x) => map(x, (v) => -0.7 * v) }),
  () => ({
    others: [],
    onTape: (tape, x) => exp(tape, scale(tape, x, 0.2)),
    inF64: (x) => map(x, (v) => Math.exp(0.2 * v)),
  }),
  () => ({
    others: [],
    onTape: (tape, x) => activation(tape, x, 'silu'),
    inF64: (x) => map(x, (v) => v / (1 + Math.exp(-v))),
  }),
  () => ({ others: [], onTape: transpose, inF64: turned }),
  () => ({
    others: [],
    onTape: l2Normalize,
    inF64: (x) => matrix(...x.shape, (r, c) => at(x, r, c) / Math.sqrt(total(row(x, r).map((v) => v * v)))),
  }),
  () => ({
    others: [],
    onTape: (tape, x) => softmax(tape, x, { temperature: 0.8 }),
    inF64: (x) => {
      const powers = map(x, (v) => Math.exp(v / 0.8));
      return matrix(...x.shape, (r, c) => at(powers, r, c) / total(row(powers, r)));
    },
  }),
  ([N, D], draw) => {
    const shape = [N, D].map((side) => 1 + draw(side)) as [number, number];
    return {
      others: [],
      onTape: (tape, x) => slice(tape, x, shape),
      inF64: (x) => matrix(...shape, (r, c) => at(x, r, c)),
    };
  },
  ([, D], draw) => {
    const start = draw(D);
    const length = 1 + draw(D - start);
    return {
      others: [],
      onTape: (tape, x) => narrow(tape, x, 1, start, length),
      inF64: (x) => matrix(x.shape[0], length, (r, c) => at(x, r, start + c)),
    };
  },
  ([N, D]) => ({
    others: [],
    onTape: (tape, x) => tape.reshape(x, [D, N]),
    inF64: ({ data }) => ({ shape: [D, N], data }),
  }),
  () => ({
    others: [],
    onTape: (tape, x) => mean(tape, x, { dim: 0, keepdim: true }),
    inF64: (x) => matrix(1, x.shape[1], (_, c) => total(row(turned(x), c)) / x.shape[0]),
  }),
  () => ({
    others: [],
    onTape: (tape, x) => sum(tape, x, { dim: 1, keepdim: true }),
    inF64: (x) => matrix(x.shape[0], 1, (r) => total(row(x, r))),
  }),
  ([N, D], draw) => ({
    others: [[draw(2) ? N : 1, draw(2) ? D : 1]],
    onTape: add,
    inF64: (x, y) => both(x, y, (a, b) => a + b),
  }),
  ([N, D], draw) => ({ others: [[draw(2) ? N : 1, D]], onTape: mul, inF64: (x, y) => both(x, y, (a, b) => a * b) }),
  (shape) => ({ others: [shape], onTape: sub, inF64: (x, y) => both(x, y, (a, b) => a - b) }),
  ([N, D], draw) => ({
    others: [[1 + draw(3), D]],
    onTape: (tape, x, y) => concat(tape, [x, y, x]),
    inF64: (x, y) =>
      matrix(2 * N + y.shape[0], D, (r, c) =>
        r < N ? at(x, r, c) : r < N + y.shape[0] ? at(y, r - N, c) : at(x, r - N - y.shape[0], c),
      ),
  }),
  ([, D], draw) => ({ others: [[D, 1 + draw(4)]], onTape: (tape, x, y) => matmul(tape, x, y), inF64: product }),
  ([, D], draw) => {
    const O = 1 + draw(5);
    return {
      others: [
        [O, D],
        [1, O],
      ],
      onTape: (tape, x, weight, bias) => add(tape, linear(tape, x, weight), bias),
      inF64: (x, weight, bias) => both(product(x, turned(weight)), bias, (a, b) => a + b),
    };
  },
];

interface Leaf {
  readonly kind: 'parameter' | 'slice' | 'reshaped' | 'constant';
  readonly values: Matrix;
  /** Of `linear`, whose kernels read slices as they are. */
  readonly weight?: boolean;
}

interface Node {
  readonly use: Use;
  readonly inputs: readonly number[];
}

/** Leaves, and nodes that use them and each other: numbers count leaves first. */
interface Graph {
  readonly leaves: readonly Leaf[];
  readonly nodes: readonly Node[];
}

function drawn(from: number, size: number): Graph {
  const random = generator(from);
  const draw: Draw = (most) => Math.floor(random() * most);
  const leaves: Leaf[] = [];
  const nodes: { use: Use; inputs: number[] }[] = [];
  const leaf = (shape: readonly [number, number], weight = false) => {
    const kinds = ['parameter', 'parameter', 'slice', ...(weight ? [] : ['reshaped']), 'constant'] as const;
    const values = matrix(...shape, () => Math.fround((random() < 0.5 ? -1 : 1) * (0.3 + random())));
    return leaves.push({ kind: kinds[draw(kinds.length)] as Leaf['kind'], values, weight }) - 1;
  };
  leaves.push({ kind: 'parameter', values: matrix(1 + draw(5), 1 + draw(6), () => Math.fround(0.3 + random())) });
  leaf([1 + draw(4), 1 + draw(5)]);
  const plan: { at: number | Node; shape: readonly [number, number] }[] = leaves.map(({ values }, at) => ({
    at,
    shape: values.shape,
  }));
  for (let i = 0; i < size; i++) {
    const of = plan[draw(plan.length)];
    const use = uses[draw(uses.length)](of.shape, draw);
    const others = use.others.map((shape, k) => leaf(shape, use.others.length === 2 && k === 0));
    const node = { use, inputs: [plan.indexOf(of), ...others.map((at) => -1 - at)] };
    nodes.push(node);
    const samples = [matrix(...of.shape, () => 0.5), ...others.map((at) => leaves[at].values)] as [Matrix, ...Matrix[]];
    plan.push({ at: node, shape: use.inF64(...samples).shape });
  }
  return { leaves, nodes };
}

/** The value of each node of a graph, by whoever can use values; of negative inputs, that of a leaf. */
function walk<T>({ nodes }: Graph, leaves: readonly T[], apply: (use: Use, values: readonly T[]) => T): T[] {
  const values = leaves.slice(0, 2);
  for (const { use, inputs } of nodes)
    values.push(
      apply(
        use,
        inputs.map((i) => (i < 0 ? leaves[-1 - i] : values[i])),
      ),
    );
  return values;
}

const weightOf = (i: number, k: number) => (((7 * k + i) % 5) - 1.7) / 3;

function lossOf(graph: Graph, leaves: readonly Matrix[]): number {
  const values = walk(graph, leaves, (use, given) => use.inF64(...(given as [Matrix, ...Matrix[]])));
  return total(values.map(({ data }, i) => total([...data].map((value, k) => value * weightOf(i, k)))));
}

async function check(graph: Graph): Promise<void> {
  const made = graph.leaves.map(({ kind, values: { shape, data } }) => {
    if (kind === 'constant') return device.tensor(shape, data);
    if (kind === 'reshaped') return device.parameter([data.length], data);
    const wide = kind === 'slice' ? [shape[0] + 1, shape[1] + 2] : shape;
    const whole = device.parameter(wide, 3);
    (kind === 'slice' ? whole.slice(shape) : whole).write(data);
    return whole;
  });
  using step = await record(device, (tape) => {
    const seen = graph.leaves.map(({ kind, values, weight }, i): Tensor => {
      if (kind === 'reshaped') return tape.reshape(made[i], values.shape);
      if (kind !== 'slice') return made[i];
      const part = made[i].slice(values.shape);
      return weight ? part : contiguous(tape, part);
    });
    const values = walk(graph, seen, (use, given) => use.onTape(tape, ...(given as [Tensor, ...Tensor[]])));
    const parts = values.map((y, i) =>
      sum(
        tape,
        mul(
          tape,
          y,
          device.tensor(y.shape, (k) => weightOf(i, k)),
        ),
      ),
    );
    tape.backward(parts.reduce((all, part) => add(tape, all, part)));
  });
  step.plan.poison();
  step.run();
  step.run();
  for (const [l, { kind, values }] of graph.leaves.entries()) {
    const { grad } = made[l];
    if (!grad) continue;
    const found = await (kind === 'slice' ? grad.slice(values.shape) : grad).read();
    const expected = values.data.map((_, k) => {
      const by = (h: number) => {
        const data = values.data.map((value, i) => (i === k ? value + h : value));
        return lossOf(
          graph,
          graph.leaves.map((each, i) => (i === l ? { ...values, data } : each.values)),
        );
      };
      return (by(1e-4) - by(-1e-4)) / 2e-4;
    });
    const most = Math.max(1, ...expected.map(Math.abs));
    expected.forEach((value, k) => {
      assert.ok(
        Math.abs(found[k] - value) < 2e-4 * most,
        `leaf ${l}, ${kind}, element ${k}: ${found[k]}, expected ${value}`,
      );
    });
  }
  for (const each of made) each.dispose();
}

test('gradients of random graphs of ops', () =>
  fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 30 }), fc.integer({ min: 1, max: 7 }), (from, size) =>
      check(drawn(from, size)),
    ),
    { numRuns: 100, seed, includeErrorInReport: true },
  ));

test.run();
