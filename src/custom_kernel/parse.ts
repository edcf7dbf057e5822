// What a WGSL module declares, as plain facts: the one file that knows the parser (wgsl_reflect).
import {
  ArrayInfo,
  StructInfo,
  TemplateInfo,
  type TypeInfo,
  type VariableInfo,
  WgslReflect,
} from 'wgsl_reflect/wgsl_reflect.module.js';

/** A type with its aliases resolved. */
export interface WgslType {
  /** `f32`, `vec4`, `array`, or a struct's own. */
  readonly name: string;
  readonly size: number;
  /** Of a struct. */
  readonly members?: readonly { readonly name: string; readonly type: WgslType; readonly offset: number }[];
  /** Of a struct: its first and last line. */
  readonly lines?: readonly [first: number, last: number];
  /** What an array, a vector, a matrix or an atomic is made of. */
  readonly of?: WgslType;
}

/** A resource of the module. */
export interface Resource {
  readonly name: string;
  readonly kind: 'uniform' | 'storage' | 'texture or sampler' | 'immediate';
  readonly group: number;
  readonly binding: number;
  readonly access: string;
  readonly type: WgslType;
  readonly line: number;
}

export interface WgslModule {
  readonly resources: readonly Resource[];
  readonly overrides: readonly { readonly name: string }[];
  /** The compute entry points, each with the names of the resources that it uses, by itself or in the functions it calls. */
  readonly entries: readonly { readonly name: string; readonly line: number; readonly uses: readonly string[] }[];
}

/** @param refuse called where the code does not parse, with the line where the parser gives one */
export function parse(code: string, refuse: (line: number | undefined, what: string) => never): WgslModule {
  const wgsl = read(code, refuse);
  const kinds = [
    ['uniform', wgsl.uniforms],
    ['storage', wgsl.storage.filter(({ type }) => !type.name.startsWith('texture'))],
    ['texture or sampler', [...wgsl.textures, ...wgsl.samplers]],
    ['texture or sampler', wgsl.storage.filter(({ type }) => type.name.startsWith('texture'))],
    ['immediate', wgsl.immediates],
  ] as const;
  return {
    resources: kinds.flatMap(([kind, variables]) => variables.map((variable) => resourceOf(kind, variable))),
    overrides: wgsl.overrides.map(({ name }) => ({ name })),
    entries: wgsl.entry.compute.map(({ name, startLine, resources }) => ({
      name,
      line: startLine,
      uses: resources.map((resource) => resource.name),
    })),
  };
}

/** The parser throws errors and bare strings, with the line at their end. */
function read(code: string, refuse: (line: number | undefined, what: string) => never): WgslReflect {
  try {
    return new WgslReflect(code);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const [end = '', line] = /[.,]* *(?:at )?line:? (\d+)\.?$/i.exec(text) ?? [];
    return refuse(line ? Number(line) : undefined, `does not parse: ${text.slice(0, text.length - end.length)}`);
  }
}

function resourceOf(
  kind: Resource['kind'],
  { name, group, binding, access, type, attributes }: VariableInfo,
): Resource {
  return { name, kind, group, binding, access, type: typeOf(type), line: attributes?.[0]?.line ?? 1 };
}

function typeOf(info: TypeInfo): WgslType {
  const { name, size } = info;
  if (info instanceof StructInfo)
    return {
      name,
      size,
      lines: [info.startLine, info.endLine],
      members: info.members.map(({ name, type, offset }) => ({ name, type: typeOf(type), offset })),
    };
  const of = info instanceof ArrayInfo || info instanceof TemplateInfo ? info.format : null;
  return { name, size, ...(of && { of: typeOf(of) }) };
}
