// What TypeScript infers from a kernel's code, where that is a literal: the names that a dispatch may use. A reader of names
// alone; it knows no expressions and no scopes, and which entry point uses which buffer is for the reflection to say.
import type { Buffer, Kernel, Layout, Scalar, Value } from '../runtime/kernel.js';

/** The kernel of `Code`, with its names where it is a literal, else any names: checked when it runs. */
export type KernelOf<Code extends string> = IsLiteral<Code> extends true ? Named<WithoutComments<Code>> : Kernel;

type Named<Code extends string> = IsLiteral<Code> extends true ? Reflected<Code> : Kernel;

/** A kernel by its names: any entry point may bind any of its storage buffers. */
export interface Reflected<Code extends string> extends Kernel {
  readonly consts: {
    readonly [C in Constant<Code> as C[0]]: { readonly type: C[1]; readonly value: Value<C[1]> };
  };
  readonly params: { readonly size: number; readonly fields: Fields<Code> };
  readonly buffers: { readonly [B in Storage<Code>]: Buffer & { readonly kept: boolean } };
  readonly entries: { readonly [E in Entry<Code>]: readonly Storage<Code>[] };
}

/** Neither `string` nor a pattern of strings, which are no one key of an object. */
type IsLiteral<Code extends string> = Record<never, never> extends Record<Code, 1> ? false : true;

type Space = ' ' | '\n' | '\r' | '\t';

type Trim<Text extends string> = Text extends `${Space}${infer Rest}`
  ? Trim<Rest>
  : Text extends `${infer Rest}${Space}`
    ? Trim<Rest>
    : Text;

/** `string`, and so no names, for code with more slashes than the compiler would follow. */
type WithoutComments<
  Code extends string,
  Done extends string = '',
  Slashes extends 1[] = [],
> = Slashes['length'] extends 600
  ? string
  : Code extends `${infer Before}/${infer After}`
    ? After extends `/${string}\n${infer Rest}`
      ? WithoutComments<Rest, `${Done}${Before}\n`, [...Slashes, 1]>
      : After extends `/${string}`
        ? `${Done}${Before}`
        : After extends `*${string}*/${infer Rest}`
          ? WithoutComments<Rest, `${Done}${Before} `, [...Slashes, 1]>
          : WithoutComments<After, `${Done}${Before}/`, [...Slashes, 1]>
    : `${Done}${Code}`;

/** `forward` of `@compute @workgroup_size(64) fn forward(`. */
type Entry<Code extends string, Found extends string = never> = Code extends `${string}@compute${infer Rest}`
  ? Rest extends `${string}fn ${infer Name}(${infer After}`
    ? Entry<After, Found | Trim<Name>>
    : Found
  : Found;

/** `x` of `var<storage, read> x: array<f32>;`. */
type Storage<
  Code extends string,
  Found extends string = never,
> = Code extends `${string}var<storage${string}>${infer Name}:${infer Rest}`
  ? Storage<Rest, Found | Trim<Name>>
  : Found;

/** `[NAME, u32]` of `const NAME: u32 = 64;`. */
type Constant<
  Code extends string,
  Found extends [string, Scalar | 'bool'] = never,
> = Code extends `${string}const ${infer Declared};${infer Rest}`
  ? Constant<Rest, Found | NameAndType<Declared>>
  : Found;

type NameAndType<Declared extends string> = Declared extends `${infer Name}:${infer Type}=${string}`
  ? Trim<Type> extends infer Known extends Scalar | 'bool'
    ? [Trim<Name>, Known]
    : never
  : never;

/** Fields of the struct that is the type of `params`: none where the code has no such word, any where the struct is not found. */
type Fields<Code extends string> = [Field<Body<Code, ParamsType<Code>>>] extends [never]
  ? Code extends `${string}params${string}`
    ? Layout['fields']
    : Record<never, never>
  : { readonly [F in Field<Body<Code, ParamsType<Code>>>]: readonly [Scalar, number] };

/** `Params` of `var<uniform> params: Params;`. */
type ParamsType<Code extends string> = Code extends `${string}var<uniform>${infer Name}:${infer Type};${infer Rest}`
  ? Trim<Name> extends 'params'
    ? Trim<Type>
    : ParamsType<Rest>
  : never;

/** What stands in the braces of a struct. */
type Body<
  Code extends string,
  Struct extends string,
> = Code extends `${string}struct ${Struct}${infer Gap}{${infer Fields}}${infer Rest}`
  ? Trim<Gap> extends ''
    ? Fields
    : Body<Rest, Struct>
  : never;

type Field<Fields extends string, Found extends string = never> = Fields extends `${infer First},${infer Rest}`
  ? Field<Rest, Found | FieldName<First>>
  : Found | FieldName<Fields>;

/** `n` of `n: u32` and of `@align(16) n: u32`. */
type FieldName<Text extends string> = Text extends `${infer Name}:${string}` ? WithoutAttributes<Trim<Name>> : never;

type WithoutAttributes<Name extends string> = Name extends `${string})${infer Rest}`
  ? WithoutAttributes<Trim<Rest>>
  : Name;
