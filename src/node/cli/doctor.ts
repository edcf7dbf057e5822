import { doctor } from '../device/doctor.js';
import type { Command } from './command.js';

export const doctorCommand: Command = {
  usage: 'doctor',
  positional: [],
  flags: [],
  examples: [
    ['slimgrad doctor', 'the adapter that slimgrad would use'],
    ['SLIMGRAD_ADAPTER=swiftshader slimgrad doctor', 'the embedded software adapter'],
  ],
  async run() {
    const { ok, text } = await doctor();
    console.log(text);
    return ok ? 0 : 1;
  },
};
