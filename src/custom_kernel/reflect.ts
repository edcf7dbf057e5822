// Reads out of a kernel's source all that the runtime binds and packs by: the code is the only declaration of its parameters,
// bindings and tunable constants. The build reflects kernels/*.wgsl by it, `kernel` what a user wrote. What it cannot read, it
// refuses.
import { ValidationError } from '../errors.js';
import type { Buffer, Elements, Kernel, Layout } from '../runtime/kernel.js';
import { stepLayout } from '../runtime/step_scalars.js';
import { declarations, literal, moduleScope, withoutComments } from '../runtime/wgsl.js';
import { parse, type Resource, type WgslModule, type WgslType } from './parse.js';
import { usesOf } from './uses.js';

const mostStorages = 8;

/** What the names that the runtime knows may stand for, in a kernel that declares them. */
const aliases: Readonly<Record<string, readonly string[]>> = {
  Stored: ['f32'],
  Stored4: ['vec4f', 'vec4<f32>'],
  Strided: ['f32', 'i32', 'u32'],
  Strided4: ['vec4f', 'vec4<f32>'],
  Kept: ['u32'],
};

/**
 * @param where the kernel, as messages name it: `kernel "gelu"`
 * @throws ValidationError by the kernel and the line
 */
export function reflect(where: string, code: string): Omit<Kernel, 'stem' | 'code'> {
  return new Reflection(where, code).facts();
}

class Reflection {
  readonly #where: string;
  /** The code without comments, and of that what stands in no braces. */
  readonly #bare: string;
  readonly #scope: string;
  readonly #module: WgslModule;
  readonly #consts: Kernel['consts'];

  constructor(where: string, code: string) {
    this.#where = where;
    this.#bare = withoutComments(code);
    this.#scope = moduleScope(code);
    this.#module = parse(code, (line, what) => this.#fail(line, what));
    this.#consts = this.#constants();
  }

  facts(): Omit<Kernel, 'stem' | 'code'> {
    const { resources, entries } = this.#module;
    this.#checkOverrides();
    this.#checkNumbers();
    const uniforms = resources.filter(({ kind }) => kind === 'uniform');
    for (const { name, line } of uniforms)
      if (name !== 'params' && name !== 'step')
        this.#fail(line, `expected a uniform to be called params or step, got ${name}; the plan binds these two alone`);
    const [params, step] = ['params', 'step'].map((name) => this.#layout(uniforms.find((each) => each.name === name)));
    this.#checkStep(step, uniforms.find(({ name }) => name === 'step')?.line);
    const buffers = Object.fromEntries(resources.map((resource) => [resource.name, this.#buffer(resource)]));
    const names = new Set(resources.map(({ name }) => name));
    if (entries.length === 0)
      this.#fail(undefined, 'has no entry point; declare one by @compute @workgroup_size(64) fn');
    return {
      consts: this.#consts,
      params,
      step,
      buffers,
      entries: Object.fromEntries(
        entries.map(({ name, line, uses }) => {
          const said = new Set([...uses, ...usesOf(this.#bare, name, names)]);
          const bound = Object.keys(buffers).filter((key) => said.has(key));
          const storages = bound.filter((key) => buffers[key].type !== 'uniform').length;
          if (storages > mostStorages)
            this.#fail(
              line,
              `expected ${name} to bind at most ${mostStorages} storage buffers, which every device has, got ${storages}; ` +
                'split the entry point',
            );
          return [name, bound];
        }),
      ),
    };
  }

  #fail(line: number | undefined, what: string): never {
    throw new ValidationError(`${this.#where}${line === undefined ? '' : `, line ${line}`}: ${what}`);
  }

  #lineAt(index: number): number {
    return this.#bare.slice(0, index).split('\n').length;
  }

  /** Constants that a dispatch may set: those with a type and a literal for a value. Also collects the aliases. */
  #constants(): Kernel['consts'] {
    const consts: Record<string, Kernel['consts'][string]> = {};
    for (const { index, groups = {} } of this.#scope.matchAll(declarations)) {
      const { constant, alias, value: text } = groups;
      const meant = alias && Object.hasOwn(aliases, alias) ? aliases[alias] : undefined;
      if (meant && !meant.includes(text.replaceAll(/\s/g, '')))
        this.#fail(
          this.#lineAt(index),
          `expected alias ${alias} = ${meant[0]};, got ${text}; call yours by another name`,
        );
      if (!constant) continue;
      const type = groups.type as Kernel['consts'][string]['type'];
      const value = literal(type, text);
      if (value !== undefined) consts[constant] = { type, value };
    }
    return consts;
  }

  #checkOverrides(): void {
    for (const { name } of this.#module.overrides) {
      this.#fail(
        this.#lineAt(this.#scope.search(new RegExp(`\\boverride\\s+${name}\\b`))),
        `expected a constant in place of override ${name}; declare const ${name}: TYPE = VALUE; and dispatch with consts`,
      );
    }
  }

  #checkNumbers(): void {
    const taken = new Map<number, string>();
    for (const { name, kind, group, binding, line } of this.#module.resources) {
      if (kind === 'texture or sampler' || kind === 'immediate')
        this.#fail(
          line,
          `expected uniforms and storage buffers, got ${name}, a ${kind}; read it from a storage buffer`,
        );
      if (group !== 0) this.#fail(line, `expected @group(0) for ${name}, got @group(${group})`);
      const other = taken.get(binding);
      if (other) this.#fail(line, `${other} and ${name} are both @binding(${binding}); give each a number of its own`);
      taken.set(binding, name);
    }
  }

  /** A uniform struct as it is packed. */
  #layout(uniform: Resource | undefined): Layout {
    if (!uniform) return { size: 0, fields: {} };
    const { name, type, line } = uniform;
    if (!type.members) this.#fail(line, `expected a struct for ${name}, got ${type.name}`);
    const fields = type.members.map((field): [string, Layout['fields'][string]] => {
      const scalar = field.type.name;
      if (scalar !== 'u32' && scalar !== 'i32' && scalar !== 'f32')
        this.#fail(
          this.#lineOfField(type, field.name),
          `expected u32, i32 or f32 for ${name}.${field.name}, got ${scalar}; give it a field a number`,
        );
      return [field.name, [scalar, field.offset]];
    });
    return { size: Math.ceil(type.size / 16) * 16, fields: Object.fromEntries(fields) };
  }

  #lineOfField({ lines: [first, last] = [1, 1] }: WgslType, name: string): number {
    const text = this.#bare.split('\n').slice(first - 1, last);
    return (
      first +
      Math.max(
        0,
        text.findIndex((line) => new RegExp(`\\b${name}\\s*:`).test(line)),
      )
    );
  }

  /** The scalars of a step lie where the plan writes them; behind them a kernel may declare what fills the struct up. */
  #checkStep({ size, fields }: Layout, line: number | undefined): void {
    const known = Object.entries(stepLayout.fields);
    const end = 4 * known.length;
    const fits = Object.entries(fields).every(([name, [type, offset]]) =>
      offset < end ? known.some(([key, [of, at]]) => key === name && of === type && at === offset) : true,
    );
    if (fits && size <= stepLayout.size) return;
    const expected = known.map(([name, [type]]) => `${name}: ${type}`).join(', ');
    this.#fail(line, `expected step to begin with the fields ${expected}; declare them in this order`);
  }

  #buffer(resource: Resource): Buffer {
    const { name, kind, binding, access, type, line } = resource;
    if (kind === 'uniform') return { binding, type: 'uniform' };
    if (name === 'params' || name === 'step') this.#fail(line, `expected a uniform for ${name}, got a storage buffer`);
    const elements = this.#elements(resource, type);
    const alias = this.#alias(resource);
    if (alias === 'Kept') this.#checkKept(resource);
    return {
      binding,
      type: access === 'read' ? 'read-only-storage' : 'storage',
      ...(elements && { elements }),
      ...(alias?.startsWith('Stored') && { stored: true as const }),
      ...(alias?.startsWith('Strided') && { strided: true as const }),
      ...(alias === 'Kept' && { kept: true as const }),
    };
  }

  /** The alias that the elements are declared by, where the runtime knows it. */
  #alias({ name, line }: Resource): string | undefined {
    const declared =
      new RegExp(`\\bvar\\s*<[^>]*>\\s*${name}\\s*:\\s*([^;]*[^;\\s])\\s*;`).exec(this.#scope)?.[1] ?? '';
    const [used] = declared.match(/\w+/g)?.filter((word) => Object.hasOwn(aliases, word)) ?? [];
    if (used && declared.replaceAll(/\s/g, '') !== `array<${used}>`)
      this.#fail(line, `expected array<${used}> for ${name}, got ${declared}`);
    return used;
  }

  #checkKept({ name, access, line }: Resource): void {
    const constant = name.toUpperCase();
    if (access !== 'read') this.#fail(line, `expected var<storage, read> for ${name}, an index list, got ${access}`);
    if (this.#consts[constant]?.value !== false)
      this.#fail(
        line,
        `expected const ${constant}: bool = false; for the index list ${name}; it is true where one is bound`,
      );
  }

  /** What numbers a buffer holds, where they are all of a kind. */
  #elements(resource: Resource, { name, members, lines, of }: WgslType): Elements | undefined {
    const { name: key, line } = resource;
    if (members) {
      const text = this.#bare.split('\n').slice((lines?.[0] ?? 1) - 1, lines?.[1]);
      if (/\bStored4?\b/.test(text.join('\n')))
        this.#fail(line, `expected ${key} as an array<Stored>, got a struct ${name} that holds Stored; give it f32`);
      const kinds = new Set(members.map(({ type }) => this.#elements(resource, type)));
      return kinds.size === 1 ? [...kinds][0] : undefined;
    }
    if (of) return this.#elements(resource, of);
    const [, short] = /^(?:vec[234]|mat[234]x[234])([fiuh])$/.exec(name) ?? [];
    const scalar = { f: 'f32', i: 'i32', u: 'u32', h: 'f16' }[short] ?? name;
    if (scalar === 'f32' || scalar === 'i32' || scalar === 'u32') return scalar;
    this.#fail(
      line,
      `expected f32, i32 or u32 for the elements of ${key}, got ${scalar}; declare f16 as array<Stored>`,
    );
  }
}
