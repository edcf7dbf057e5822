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
