import { flagsOf } from '../../config/flags.js';
import { toggle } from '../../config/kinds.js';
import { doctor } from '../device/doctor.js';
import type { Report } from '../device/doctor_report.js';
import type { Command } from './command.js';
import { completeFlags } from './flags.js';

const settings = { json: toggle('the report as JSON; its keys: Report in docs/api/node.md', false) };

export const doctorCommand: Command = {
  usage: 'doctor [--json]',
  positional: [],
  flags: flagsOf(settings),
  examples: [
    ['slimgrad doctor', 'the adapter that slimgrad would use'],
    ['SLIMGRAD_ADAPTER=swiftshader slimgrad doctor', 'the embedded software adapter'],
    ['slimgrad doctor --json', 'for programs and bug reports'],
  ],
  async run({ values }) {
    const { json } = completeFlags('slimgrad doctor', settings, values);
    const report = await doctor();
    console.log(json ? jsonOf(report) : report.text);
    return report.ok ? 0 : 1;
  },
};

/** The report without its text. It has the same keys whatever was found: null where there is no value. */
function jsonOf({ text: _, ok, versions, chosen, ...rest }: Report): string {
  const known = {
    ok,
    problem: null,
    versions: { ...versions, webgpu: versions.webgpu ?? null },
    name: null,
    chosen: chosen ? { ...chosen, subgroupSizes: chosen.subgroupSizes ?? null } : null,
    speed: null,
    ...rest,
  };
  return JSON.stringify(known, null, 2);
}
