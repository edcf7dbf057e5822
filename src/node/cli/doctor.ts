import { flagsOf } from '../../config/flags.js';
import { toggle } from '../../config/kinds.js';
import { doctor } from '../device/doctor.js';
import type { Report } from '../device/doctor_report.js';
import type { Command } from './command.js';
import { completeFlags } from './flags.js';

const settings = { json: toggle('the report as JSON; docs/api/node.md has its keys, Report', false) };

export const doctorCommand: Command = {
  usage: 'doctor [--json]',
  positional: [],
  flags: flagsOf(settings),
  examples: [
    ['slimgrad doctor', 'the adapter that slimgrad would use'],
    ['SLIMGRAD_ADAPTER=swiftshader slimgrad doctor', 'the embedded software adapter'],
    ['slimgrad doctor --json', 'for programs, and to report a bug with'],
  ],
  async run({ values }) {
    const { json } = completeFlags('slimgrad doctor', settings, values);
    const report = await doctor();
    console.log(json ? jsonOf(report) : report.text);
    return report.ok ? 0 : 1;
  },
};

/** All but the text, with the same keys whatever was found. */
function jsonOf({
  ok,
  problem,
  versions,
  adapters,
  name,
  chosen,
  features,
  limits,
  speed,
  notices,
  dawn,
}: Report): string {
  const known = {
    ok,
    problem: problem ?? null,
    versions: { ...versions, webgpu: versions.webgpu ?? null },
    adapters,
    name: name ?? null,
    chosen: chosen ? { ...chosen, subgroupSizes: chosen.subgroupSizes ?? null } : null,
    features,
    limits,
    speed: speed ?? null,
    notices,
    dawn,
  };
  return JSON.stringify(known, null, 2);
}
