// Kernels of a user's own on a device: dense tensors, slices by strides and by index lists, whole numbers, f16; and code that the
// driver refuses.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { DeviceError, ShapeError, ValidationError } from '../../src/errors.js';
import { kernel } from '../../src/kernel.js';
import { softmaxCrossEntropy } from '../../src/ops/softmax.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import type { Binding } from '../../src/tensor/binding.js';
import { fromHalf, toHalf } from '../../src/tensor/float16.js';
import { selectView, sliceView, type Tensor, tensor, transient } from '../../src/tensor/tensor.js';
import { chosen, close, upload, uploadList } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());
test.after.each(() => device.settled());

const random = generator();

/** What a recorded plan leaves in `y`. */
async function outcome(plan: Plan, y: Tensor): Promise<number[]> {
  plan.retain(y);
  await plan.compile();
  plan.poison();
  plan.run();
  const values = [...(await plan.read(y))];
  plan.dispose();
  return values;
}

/** y = factor · w, w (rows, columns) as it lies in a host: by its strides, and by lists where they are bound. */
const scaleSlice = kernel(
  `
  const THREADS: u32 = 32;
  const FACTOR: f32 = 1.0;
  const KEPT_ROWS: bool = false;
  const KEPT_COLUMNS: bool = false;
  alias Strided = f32;
  alias Kept = u32;
  struct Params { rows: u32, columns: u32, row_stride: u32, column_stride: u32 }
  @group(0) @binding(0) var<uniform> params: Params;
  @group(0) @binding(1) var<storage, read> w: array<Strided>;
  @group(0) @binding(2) var<storage, read> kept_rows: array<Kept>;
  @group(0) @binding(3) var<storage, read> kept_columns: array<Kept>;
  @group(0) @binding(4) var<storage, read_write> y: array<f32>;

  @compute @workgroup_size(THREADS)
  fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= params.rows * params.columns) { return; }
    var row = id.x / params.columns;
    var column = id.x % params.columns;
    if (KEPT_ROWS) { row = kept_rows[row]; }
    if (KEPT_COLUMNS) { column = kept_columns[column]; }
    y[id.x] = FACTOR * w[row * params.row_stride + column * params.column_stride];
  }`,
  { name: 'scale_slice' },
);

function recordSlice(plan: Plan, w: Tensor, y: Tensor): void {
  const [rows, columns] = w.shape;
  const [row_stride, column_stride] = w.strides;
  plan.dispatch(scaleSlice, 'main', {
    params: { rows, columns, row_stride, column_stride },
    bindings: { w, kept_rows: w.keptRows, kept_columns: w.keptColumns, y },
    workgroups: Math.ceil((rows * columns) / scaleSlice.consts.THREADS.value),
    consts: { FACTOR: 2 },
    bytes: 8 * rows * columns,
  });
}

test('a slim slice is read by its strides, and by index lists', async () => {
  const [R, C, r, c] = [9, 7, 4, 3];
  const host = randoms(random, R * C);
  const whole = upload(device, 'host', [R, C], host);
  const lists = { rows: chosen(random, R, r), columns: chosen(random, C, c) };
  const rows = uploadList(device, lists.rows);
  const columns = uploadList(device, lists.columns);
  const leading = (n: number) => Array.from({ length: n }, (_, i) => i);
  const cases: [Tensor, number[], number[]][] = [
    [sliceView(whole, [r, c]), leading(r), leading(c)],
    [selectView(whole, [r, c], { rows }), lists.rows, leading(c)],
    [selectView(whole, [r, c], { rows, columns }), lists.rows, lists.columns],
  ];
  for (const [slice, kept, across] of cases) {
    const plan = new Plan(device);
    const y = transient(plan, 'y', [r, c]);
    recordSlice(plan, slice, y);
    const expected = kept.flatMap((row) => across.map((column) => 2 * host[row * C + column]));
    assert.equal(await outcome(plan, y), expected, `seed ${seed}`);
  }
});

const copyCode = (line: string) => `
  struct Params { n: u32 }
  @group(0) @binding(0) var<uniform> params: Params;
  @group(0) @binding(1) var<storage, read> x: array<f32>;
  @group(0) @binding(2) var<storage, read_write> y: array<f32>;
  @compute @workgroup_size(64)
  fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= params.n) { return; }
    ${line}
  }`;

const same = kernel(copyCode('y[id.x] = x[id.x];'), { name: 'mine' });
const twice = kernel(copyCode('y[id.x] = 2.0 * x[id.x];'), { name: 'mine' });

const record = (plan: Plan, code: typeof same, x: Binding, y: Binding) =>
  plan.dispatch(code, 'main', { params: { n: 4 }, bindings: { x, y }, workgroups: 1, bytes: 32 });

const four = () => upload(device, 'four', [4], Float32Array.of(1, 2, 3, 4));

test('what a kernel reads as dense, or does not know, is refused by name', async () => {
  const plan = new Plan(device);
  const y = transient(plan, 'y', [2, 2]);
  const wide = sliceView(upload(device, 'wide', [2, 4], randoms(random, 8)), [2, 2]);
  await rejects(
    () => record(plan, same, wide, y),
    ShapeError,
    /^mine\.main: x: expected a dense tensor, got a view wide/,
  );
  const kept = selectView(wide, [2, 2], { rows: uploadList(device, [0, 1]) });
  await rejects(
    () => recordSlice(plan, { ...kept, keptRows: uploadList(device, [0, 1]) }, kept),
    ShapeError,
    /^scale_slice\.main: y: expected a dense tensor, got a view wide \(2, 2\) with strides \(4, 1\) and index lists; /,
  );
  await rejects(
    () =>
      plan.dispatch(scaleSlice, 'main', {
        params: { rows: 2, columns: 2, row_stride: 4, column_stride: 1 },
        bindings: { w: kept, y },
        workgroups: 1,
        bytes: 32,
      }),
    ShapeError,
    /^scale_slice\.main: w: expected a tensor without index lists, got wide/,
  );
  const other = { params: { n: 4 }, workgroups: 1, bytes: 32 };
  await rejects(
    () => plan.dispatch(same, 'other', { ...other, bindings: {} }),
    ValidationError,
    /^mine: expected one of its entry points main, got other$/,
  );
  await rejects(
    () => plan.dispatch(same, 'main', { ...other, bindings: { x: wide } }),
    ValidationError,
    /^mine\.main: missing binding "y"$/,
  );
  await rejects(
    () => plan.dispatch(same, 'main', { ...other, bindings: { x: four(), y, params: four() } }),
    ValidationError,
    /^mine\.main: unknown binding "params"$/,
  );
  plan.dispose();
});

test('kernels of one name and different code have pipelines of their own', async () => {
  const plan = new Plan(device);
  const [once, double] = [transient(plan, 'once', [4]), transient(plan, 'double', [4])];
  record(plan, same, four(), once);
  record(plan, twice, once, double);
  plan.retain(once);
  assert.equal(await outcome(plan, double), [2, 4, 6, 8]);
});

test('code that the driver refuses is told by its message and line, and harms nothing else', async () => {
  const broken = kernel(copyCode('y[id.x] = nowhere(x[id.x]);'), { name: 'broken' });
  const plan = new Plan(device);
  record(plan, broken, four(), transient(plan, 'y', [4]));
  await rejects(() => plan.compile(), ValidationError, /^broken\.main does not compile: [\s\S]*\n {2}9:\d+ .*nowhere/);
  device.assertHealthy();
  const next = new Plan(device);
  const y = transient(next, 'y', [4]);
  record(next, same, four(), y);
  assert.equal(await outcome(next, y), [1, 2, 3, 4]);
});

test('a constant that is no literal of the module cannot be set', async () => {
  const code = copyCode('const INNER: u32 = 3; y[id.x] = x[id.x];');
  for (const name of ['INNER', 'toString']) {
    const plan = new Plan(device);
    plan.dispatch(kernel(code, { name: 'fixed' }), 'main', {
      params: { n: 4 },
      bindings: { x: four(), y: transient(plan, 'y', [4]) },
      workgroups: 1,
      consts: { [name]: 1 },
      bytes: 32,
    });
    await rejects(
      () => plan.compile(),
      ValidationError,
      new RegExp(`^fixed: no constant "${name}" with a type and a literal`),
    );
  }
});

const countUp = kernel(
  `
  @group(0) @binding(1) var<storage, read> labels: array<u32>;
  @group(0) @binding(2) var<storage, read_write> next: array<vec4i>;
  @compute @workgroup_size(1)
  fn main() { for (var i = 0u; i < 4u; i++) { next[0][i] = -i32(labels[i]) - 1; } }`,
  { name: 'count_up' },
);

test('whole numbers are read as such, and no tensor is taken for one of another kind', async () => {
  const plan = new Plan(device);
  const numbers = [0, 1, 2 ** 24 + 1, 2 ** 31 - 1];
  const buffer = device.buffer('labels', 16);
  device.write(buffer, Uint32Array.from(numbers));
  const labels = tensor(buffer, 'labels', [4], 0, 'u32');
  const next = transient(plan, 'next', [2, 2], 'i32');
  const bind = (given: Binding, to: Binding) =>
    plan.dispatch(countUp, 'main', { params: {}, bindings: { labels: given, next: to }, workgroups: 1, bytes: 32 });
  const floats = tensor(buffer, 'floats', [4]);
  await rejects(
    () => bind(floats, next),
    ShapeError,
    /^count_up\.main: labels: expected a tensor of u32, got f32 floats \(4\); make it by device\.tensor\(shape, values, \{ dtype: 'u32' \}\)$/,
  );
  const signed = tensor(buffer, 'signed', [4], 0, 'i32');
  await rejects(() => bind(signed, next), ShapeError, /: labels: expected a tensor of u32, got i32 signed \(4\); /);
  await rejects(
    () => bind(labels, transient(plan, 'y', [4])),
    ShapeError,
    /: next: expected a tensor of i32, got f32 y/,
  );
  await rejects(
    () => record(plan, same, labels, next),
    ShapeError,
    /^mine\.main: x: expected a tensor of f32, got u32 labels/,
  );
  bind({ storage: buffer, offset: 0, bytes: 16 }, next); // bare memory has no kind
  plan.retain(next);
  await plan.compile();
  plan.run();
  const read: Int32Array = await plan.read(next);
  assert.equal(
    [...read],
    numbers.map((n) => -n - 1),
  );
  const unsigned: Uint32Array = await plan.read(labels);
  assert.equal([...unsigned], numbers);
  assert.equal([...(await plan.read(sliceView(labels, [3])))], numbers.slice(0, 3));
  plan.dispose();
});

test('the cross-entropy takes classes of i32 and u32, and refuses those of f32', async () => {
  const [N, K] = [3, 5];
  const logits = upload(device, 'logits', [N, K], randoms(random, N * K));
  const losses: number[][] = [];
  for (const integer of ['i32', 'u32'] as const) {
    const buffer = device.buffer('labels', 4 * N);
    device.write(buffer, Int32Array.of(4, -1, 2)); // the row of the second counts as one without loss
    const plan = new Plan(device);
    losses.push(
      await outcome(plan, softmaxCrossEntropy(new Tape(plan), logits, tensor(buffer, 'labels', [N], 0, integer))),
    );
  }
  const values = [...(await new Plan(device).read(logits))];
  const row = (n: number) => values.slice(n * K, (n + 1) * K);
  const loss = (n: number, k: number) => Math.log(row(n).reduce((sum, v) => sum + Math.exp(v), 0)) - row(n)[k];
  for (const found of losses) close(found, [(loss(0, 4) + loss(2, 2)) / N], 'loss');
  const floats = upload(device, 'labels', [N], Float32Array.of(4, 1, 2));
  await rejects(
    () => softmaxCrossEntropy(new Tape(new Plan(device)), logits, floats),
    ShapeError,
    /^softmax\.sums_with_classes: classes: expected a tensor of u32, got f32 labels \(3\); /,
  );
});

test('elements Stored are f16 where the memory is', async () => {
  const halves = kernel(
    `alias  Stored=f32;
     @group(0) @binding(1) var<storage, read> x: array<Stored>;
     @group(0) @binding(2) var<storage, read_write> y: array<Stored>;
     @compute @workgroup_size(1) fn main() { y[0] = x[1]; y[1] = x[0] + Stored(0.5); }`,
    { name: 'halves' },
  );
  const buffer = device.buffer('x', 4);
  device.write(buffer, toHalf(Float32Array.of(1, 2)));
  const plan = new Plan(device);
  const y = transient(plan, 'y', [2], 'f16');
  const bindings = { x: tensor(buffer, 'x', [2], 0, 'f16'), y };
  const dispatch = () => plan.dispatch(halves, 'main', { params: {}, bindings, workgroups: 1, bytes: 8 });
  if (!device.features.has('shader-f16'))
    return rejects(dispatch, DeviceError, /^halves\.main: .* has no shader-f16; use precision f32$/);
  dispatch();
  assert.equal(await outcome(plan, y), [...fromHalf(toHalf(Float32Array.of(2, 1.5)))]);
});

test.run();
