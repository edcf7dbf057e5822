/**
 * WGSL code without its comments, all else on the line where it was: a line that a compiler names is that of the .wgsl file.
 * WGSL has no strings, and its block comments nest.
 */
export function withoutComments(code) {
  let kept = '';
  let depth = 0; // of block comments
  for (let i = 0; i < code.length; i++) {
    const pair = code.slice(i, i + 2);
    if (pair === '/*') {
      depth++;
      i++;
    } else if (depth > 0 && pair === '*/') {
      if (--depth === 0) kept += ' ';
      i++;
    } else if (depth === 0 && pair === '//') {
      while (i + 1 < code.length && code[i + 1] !== '\n') i++;
    } else if (depth === 0 || code[i] === '\n') kept += code[i];
  }
  return kept.replace(/[ \t]+$/gm, '');
}

/** Declarations that a pipeline replaces by its own (`specialize`): these lines stay as they are written. */
const replaceable = /^(?:alias|const)\b/;

/** A space beside these characters, where none could join one across it to another token: that of `array<f32> = a` stays. */
const needless = /(?<=[{}[\](),;:=*%|!]) +(?![-+&<>/=])|(?<![-+&<>/=]) +(?=[{}[\](),;:=*%|!])/g;

/** WGSL code as it is shipped: without comments, indentation and needless spaces, each line where it was. */
export function squeezed(code) {
  return withoutComments(code)
    .split('\n')
    .map((line) => (replaceable.test(line) ? line : line.trim().replace(needless, '')))
    .join('\n');
}
