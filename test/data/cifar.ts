import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CIFAR10_CLASSES, openCifar } from '../../src/data/cifar.js';
import { DataError } from '../../src/errors.js';

const test = suite('data/cifar');

/** Records with these heads; pixel values tell record, plane, row and column apart. */
function records(heads: number[][]): Uint8Array {
  return Uint8Array.from(
    heads.flatMap((head, r) => [
      ...head,
      ...Array.from({ length: 3072 }, (_, i) => (i * 31 + (i >> 10) * 101 + r * 57) & 255),
    ]),
  );
}

const refused = (message: RegExp) => (error: Error) => error instanceof DataError && message.test(error.message);

test('CIFAR-10: several files, labels, planes become RGBA', async () => {
  const first = records([[3], [9]]);
  const second = records([[0]]);
  const files = [
    { name: 'data_batch_1.bin', bytes: first },
    { name: 'data_batch_2.bin', bytes: second },
  ];
  const source = openCifar('cifar10', 'cifar10', files, CIFAR10_CLASSES);
  assert.equal([source.length, source.images], [3, 1]);
  assert.equal([...source.labels!], [3, 9, 0]);
  assert.is(source.classes![9], 'truck');
  for (const [item, bytes, start] of [
    [1, first, 3074],
    [2, second, 1],
  ] as const) {
    const { width, height, pixels } = await source.load(item, 0);
    assert.equal([width, height, pixels.length], [32, 32, 4096]);
    const expected = Array.from({ length: 1024 }, (_, p) =>
      [0, 1, 2].map((c) => bytes[start + c * 1024 + p]).concat(255),
    );
    assert.equal([...pixels], expected.flat());
  }
});

test('CIFAR-100: the fine label is used', async () => {
  const bytes = records([
    [19, 99],
    [0, 42],
  ]);
  const source = openCifar('cifar100', 'cifar100', [{ name: 'train.bin', bytes }]);
  assert.equal([...source.labels!], [99, 42]);
  assert.is((await source.load(1, 0)).pixels[4 * 1023 + 2], bytes[3074 * 2 - 1]);
});

test('a length that is no whole number of records is refused, and so is an empty file', () => {
  const bytes = records([[1], [2]]);
  for (const length of [0, 1, 2, 3072, 3074, 6145]) {
    assert.throws(
      () => openCifar('cifar10', 'c', [{ name: 'f.bin', bytes: bytes.slice(0, length) }]),
      refused(new RegExp(`^f\\.bin: expected records of 3073 bytes \\(cifar10 binary\\), got ${length} bytes`)),
    );
  }
  assert.throws(() => openCifar('cifar100', 'c', [{ name: 'f.bin', bytes }]), refused(/records of 3074 bytes/));
  assert.throws(() => openCifar('cifar10', 'c', []), refused(/at least one cifar10 file/));
});

test('labels that the format does not have are refused with their place', () => {
  const open = (variant: 'cifar10' | 'cifar100', heads: number[][], classes?: string[]) => () =>
    openCifar(variant, 'c', [{ name: 'f.bin', bytes: records(heads) }], classes);
  assert.throws(open('cifar10', [[9], [10]]), refused(/record 1 has label 10, expected 0 to 9/));
  assert.throws(open('cifar100', [[20, 5]]), refused(/record 0 has label 20, expected 0 to 19/));
  assert.throws(open('cifar100', [[1, 100]]), refused(/record 0 has label 100, expected 0 to 99/));
  assert.throws(open('cifar10', [[1]], ['one']), refused(/names of 10 classes, got 1/));
});

test('any bytes give images or a DataError, nothing else', () => {
  const lengths = fc.oneof(fc.nat(100), fc.constantFrom(3072, 3073, 3074, 6146, 6148, 3073 * 3074));
  fc.assert(
    fc.property(lengths, fc.nat(255), fc.constantFrom('cifar10', 'cifar100'), (length, value, variant) => {
      try {
        const source = openCifar(variant, 'c', [{ name: 'f', bytes: new Uint8Array(length).fill(value) }]);
        assert.is(source.length * (variant === 'cifar10' ? 3073 : 3074), length);
      } catch (error) {
        assert.instance(error, DataError);
      }
    }),
  );
});

test.run();
