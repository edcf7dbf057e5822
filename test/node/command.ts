import { spawnSync } from 'node:child_process';
import { runCommandLine } from '../../src/node/cli/command_line.js';

/** What a command line answers. */
export interface Answer {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a process of its own answers in `folder`. */
export function askProcess(cli: string, folder: string, args: readonly string[]): Answer {
  const options = { cwd: folder, encoding: 'utf8', timeout: 120_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], options);
  return { code: status, stdout, stderr };
}

/** What this process answers in `folder`, which spares a start of Node. */
export async function askHere(folder: string, args: readonly string[]): Promise<Answer> {
  const printed = { stdout: '', stderr: '' };
  const names = ['stdout', 'stderr'] as const;
  const writes = names.map((name) => process[name].write);
  const before = process.cwd();
  for (const name of names)
    process[name].write = (text: string | Uint8Array, ...rest: unknown[]) => {
      printed[name] += typeof text === 'string' ? text : new TextDecoder().decode(text);
      const written = rest.at(-1);
      if (typeof written === 'function') written();
      return true;
    };
  process.chdir(folder);
  try {
    const code = await runCommandLine(args);
    return { code, ...printed };
  } finally {
    process.chdir(before);
    for (const [i, name] of names.entries()) process[name].write = writes[i];
  }
}

/** Asks the first of each command of a process of its own, as a user does, and the others here. */
export function asker(cli: string, folder: string): (args: readonly string[]) => Promise<Answer & { output: string }> {
  const asked = new Set<string>();
  return async (args) => {
    const isFirst = !asked.has(args[0]);
    asked.add(args[0]);
    const answer = isFirst ? askProcess(cli, folder, args) : await askHere(folder, args);
    return { ...answer, output: `slimgrad ${args.join(' ')}\n${answer.stdout}${answer.stderr}` };
  };
}
