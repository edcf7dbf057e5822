// Reads WGSL without parsing it: comments, and the declarations that a pipeline may change.

/** The code with its comments blanked out: everything else keeps its line and column. */
export function withoutComments(code: string): string {
  let [bare, at, depth] = ['', 0, 0];
  for (;;) {
    const next = depth > 0 ? /\/\*|\*\//g : /\/\/.*|\/\*/g; // block comments nest
    next.lastIndex = at;
    const found = next.exec(code);
    const end = found ? found.index + found[0].length : code.length;
    const text = code.slice(at, end);
    const comment = found?.[0].length ?? 0;
    bare += depth > 0 ? blank(text) : text.slice(0, text.length - comment) + blank(text.slice(text.length - comment));
    if (!found) return bare;
    if (found[0] === '/*') depth++;
    else if (found[0] === '*/') depth--;
    at = end;
  }
}

/** The code with comments and everything in braces blanked out: the module-scope declarations. */
export function moduleScope(code: string): string {
  let depth = 0;
  return withoutComments(code).replace(/[{}]|[^{}]+/g, (part) => {
    if (part === '{') depth++;
    else if (part === '}') depth--;
    else if (depth === 0) return part;
    return blank(part);
  });
}

/** Declarations that a pipeline may change, in the result of `moduleScope`: constants of a scalar type, aliases. */
export const declarations =
  /\b(?:const\s+(?<constant>\w+)\s*:\s*(?<type>u32|i32|f32|bool)|alias\s+(?<alias>\w+))\s*=\s*(?<value>[^;]*[^;\s])\s*;/g;

/** The value of a literal; undefined if the text is an expression. */
export function literal(type: string, text: string): number | boolean | undefined {
  if (type === 'bool') return text === 'true' || (text === 'false' ? false : undefined);
  const [, sign, digits] = /^(-?)(0[xX][\da-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)[iuf]?$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) * (sign ? -1 : 1);
}

const blank = (text: string) => text.replace(/[^\r\n]/g, ' ');
