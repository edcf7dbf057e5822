import type { Command } from './command.js';

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'list adapters and features, and prove that the adapter computes',
  usage: 'doctor',
  positional: [],
  flags: [],
  examples: [
    ['slimgrad doctor', 'the adapter that slimgrad would use'],
    ['SLIMGRAD_ADAPTER=swiftshader slimgrad doctor', 'the embedded software adapter'],
  ],
  async run() {
    const { doctor } = await import('../device/doctor.js');
    const { ok, text } = await doctor();
    console.log(text);
    return ok ? 0 : 1;
  },
};
