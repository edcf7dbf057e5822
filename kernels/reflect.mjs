// Turns a kernel's source into the TypeScript module that the runtime binds and packs by: the .wgsl file is
// the only declaration of its parameters, bindings and tunable constants.
import { WgslReflect } from 'wgsl_reflect/wgsl_reflect.module.js';

const scalars = new Set(['u32', 'i32', 'f32']);

/** @returns the text of src/generated/NAME.ts for the WGSL `code` of the file at `path`. */
export function reflect(name, path, code) {
  const fail = (what) => {
    throw new Error(`${path}: ${what}`);
  };
  let wgsl;
  try {
    wgsl = new WgslReflect(code);
  } catch (error) {
    fail(`does not parse: ${error.message ?? error}`);
  }
  const buffers = new Map();
  for (const { name: key, binding, type } of wgsl.uniforms) buffers.set(key, { binding, type: 'uniform', of: type });
  // What is declared by these aliases holds activations, in f32 or in f16: see kernel.ts.
  const stored = new Set(
    [...code.matchAll(/^@group.*\bvar<storage[^>]*> (\w+): array<Stored4?>;/gm)].map(([, key]) => key),
  );
  // What is declared by these may be a view with strides or keep-lists of its own; all else is read as dense: see footprint.ts.
  const strided = new Set(
    [...code.matchAll(/^@group.*\bvar<storage[^>]*> (\w+): array<Strided4?>;/gm)].map(([, key]) => key),
  );
  const kept = new Set([...code.matchAll(/^@group.*\bvar<storage, read> (\w+): array<Kept>;/gm)].map(([, key]) => key));
  for (const { name: key, binding, access } of wgsl.storage)
    buffers.set(key, {
      binding,
      type: access === 'read' ? 'read-only-storage' : 'storage',
      ...(stored.has(key) && { stored: true }),
      ...(strided.has(key) && { strided: true }),
      ...(kept.has(key) && { kept: true }),
    });

  const numbers = [...buffers.values()].map((buffer) => buffer.binding);
  if (new Set(numbers).size !== numbers.length) fail('two bindings share a number');

  const fields = (uniform) => {
    if (!uniform) return { size: 0, fields: {} };
    const members = uniform.of.members.map(({ name: key, type, offset }) => {
      if (!scalars.has(type.name)) fail(`expected u32, i32 or f32 for ${key}, got ${type.name}`);
      return [key, [type.name, offset]];
    });
    return { size: Math.ceil(uniform.of.size / 16) * 16, fields: Object.fromEntries(members) };
  };

  const consts = {};
  for (const [, key, type, value] of code.matchAll(/^const (\w+): (u32|i32|f32|bool) = ([^;]+);/gm)) {
    consts[key] = { type, value: type === 'bool' ? value === 'true' : Number.parseFloat(value) };
  }

  for (const key of kept)
    if (consts[key.toUpperCase()]?.value !== false)
      fail(`expected const ${key.toUpperCase()}: bool = false; for ${key}`);

  const entries = {};
  for (const entry of wgsl.entry.compute) {
    const bindings = {};
    for (const { name: key } of entry.resources) {
      const buffer = buffers.get(key);
      if (!buffer) continue;
      bindings[key] = buffer.type === 'uniform' ? { binding: buffer.binding, type: buffer.type } : buffer;
    }
    const storages = Object.values(bindings).filter((binding) => binding.type !== 'uniform').length;
    if (storages > 8) fail(`${entry.name} binds ${storages} storage buffers; the design floor is 8`);
    entries[entry.name] = { bindings };
  }
  if (Object.keys(entries).length === 0) fail('has no entry point');

  const facts = { consts, params: fields(buffers.get('params')), step: fields(buffers.get('step')), entries };
  return [
    `// Generated from ${path} by build.mjs; edit that file instead.`,
    `const code: string = ${JSON.stringify(code)};`,
    `export const ${name} = {\n  "stem": "${name}",\n  code,${JSON.stringify(facts, null, 2).slice(1)} as const;`,
    '',
  ].join('\n');
}
