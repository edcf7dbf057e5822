import type { Report } from '../device/doctor_report.js';
import type { Command } from './command.js';

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'versions, adapters and speed; proves that the adapter computes',
  usage: 'doctor [--json]',
  positional: [],
  flags: [{ flag: '--json', key: 'json', value: '', doc: 'the report as JSON; docs/api/node.md has its keys, Report' }],
  examples: [
    ['slimgrad doctor', 'the adapter that slimgrad would use'],
    ['SLIMGRAD_ADAPTER=swiftshader slimgrad doctor', 'the embedded software adapter'],
    ['slimgrad doctor --json', 'for programs, and to report a bug with'],
  ],
  async run({ values }) {
    const { doctor } = await import('../device/doctor.js');
    const report = await doctor();
    console.log(values.json ? jsonOf(report) : report.text);
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
