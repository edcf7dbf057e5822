// Makes the declarations that tsc wrote stand on their own: they resolve with any `lib`, with or without WebGPU's types,
// and in compilers before 5.7.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';

const home = 'runtime/gpu_types.d.ts';

/** Rewrites every declaration below `folder`. */
export function finishDeclarations(folder) {
  const known = new Set(
    [...readFileSync(join(folder, home), 'utf8').matchAll(/^export (?:type|interface) (GPU\w*)/gm)].map(
      ([, name]) => name,
    ),
  );
  for (const file of readdirSync(folder, { recursive: true })) {
    if (!file.endsWith('.d.ts') || file === join(home)) continue;
    const path = join(folder, file);
    const text = readFileSync(path, 'utf8');
    const finished = finish(text, file.replaceAll('\\', '/'), known);
    if (finished !== text) writeFileSync(path, finished);
  }
}

/**
 * A declaration file's text with WebGPU's types imported, and without type arguments of typed arrays: before TypeScript 5.7
 * these have none, and what `slice` gives is the same type in all versions.
 */
export function finish(text, file, known) {
  const plain = text.replace(/\b(\w+Array)<ArrayBuffer>/g, "ReturnType<$1['slice']>");
  const code = plain.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
  const used = [...new Set(code.match(/\bGPU\w*/g))].sort();
  const unknown = used.filter((name) => !known.has(name));
  if (unknown.length > 0) throw new Error(`${file}: src/${home.replace('.d.ts', '.ts')} has no ${unknown.join(', ')}`);
  if (used.length === 0) return plain;
  const from = posix.relative(posix.dirname(file), home.replace('.d.ts', '.js'));
  const line = `import type { ${used.join(', ')} } from '${from.startsWith('.') ? from : `./${from}`}';\n`;
  const [references] = /^(?:\/\/\/ .*\n)*/.exec(plain); // they count at the top of a file alone
  return `${references}${line}${plain.slice(references.length)}`;
}
