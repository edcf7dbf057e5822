// The gradient of an op of your own, compared with central differences: ∂L/∂x_i ≈ (L(x + h e_i) − L(x − h e_i)) / 2h.
//
//   node check_gradient.ts    (Node 24 on)

import type { Device, DeviceParameter, Tape, Tensor } from 'slimgrad/node';
import { generator, l2Normalize, linear, openDevice, record } from 'slimgrad/node';

type Op = (tape: Tape, ...inputs: DeviceParameter[]) => Tensor;

/** L = Σ_i dy_i y_i; the dy_i differ, so that errors in the elements of a row do not cancel. */
const dyOf = (i: number) => Math.sin(i + 1);

/** Throws where a gradient is off by more than `tolerance` times the largest difference quotient of its input. */
async function checkGradient(device: Device, op: Op, inputs: DeviceParameter[], { h = 1e-2, tolerance = 1e-3 } = {}) {
  const step = await record(device, (tape) => {
    const y = op(tape, ...inputs);
    tape.backward(y, device.tensor(y.shape, dyOf));
    return { y };
  });
  const loss = async () => {
    step.run(); // gradients start from zero in every run
    return (await step.read('y')).reduce((sum, y, i) => sum + y * dyOf(i), 0); // summed in f64
  };
  for (const input of inputs) {
    const x = await input.read();
    await loss();
    const gradient = await input.grad.read();
    const lossAt = (i: number, value: number) => {
      input.write((element) => (element === i ? value : x[element]));
      return loss();
    };
    let [error, largest] = [0, 0];
    for (let i = 0; i < x.length; i++) {
      const slope = ((await lossAt(i, x[i] + h)) - (await lossAt(i, x[i] - h))) / (2 * h);
      [error, largest] = [Math.max(error, Math.abs(gradient[i] - slope)), Math.max(largest, Math.abs(slope))];
    }
    input.write(x);
    console.log(`gradient of ${input.label} (${input.shape}): off by at most ${error}; the largest is ${largest}`);
    if (!(error <= tolerance * largest)) throw new Error(`the gradient of ${input.label} is wrong`);
  }
  step.dispose();
}

const device = await openDevice();
const random = generator(0);
const uniform = () => 2 * random() - 1;
const x = device.parameter([4, 6], uniform, { label: 'x' });
const weight = device.parameter([5, 6], uniform, { label: 'weight' });
await checkGradient(device, (tape, x, weight) => l2Normalize(tape, linear(tape, x, weight)), [x, weight]);
device.dispose();
