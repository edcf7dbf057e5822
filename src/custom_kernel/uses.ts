// Which of some names an entry point uses, itself or in the functions that it calls. The parser reports this, too, but leaves
// some places out: the selector of a switch, the condition of a `break if`, an index behind a member.

/**
 * @param code without comments
 * @returns those of `names` that are said and not declared in the same function
 */
export function usesOf(code: string, entry: string, names: ReadonlySet<string>): string[] {
  const functions = functionsOf(code);
  const [reached, found] = [new Set([entry]), new Set<string>()];
  for (const name of reached) {
    const text = functions.get(name) ?? '';
    const declared = text.matchAll(/\b(?:let|const|var\s*(?:<[^>]*>)?)\s+(\w+)|(\w+)\s*:/g);
    const own = new Set(Array.from(declared, ([, variable, parameter]) => variable ?? parameter));
    for (const word of text.match(/(?<![\w.])[a-zA-Z_]\w*/g) ?? []) {
      if (own.has(word)) continue;
      if (functions.has(word)) reached.add(word);
      if (names.has(word)) found.add(word);
    }
  }
  return [...found];
}

/** Each function's text, from its name to the brace that closes it. */
function functionsOf(code: string): Map<string, string> {
  const functions = new Map<string, string>();
  for (const { index, 1: name } of code.matchAll(/(?<=\bfn\s+)(\w+)/g)) {
    const braces = /[{}]/g;
    braces.lastIndex = index;
    let depth = 0;
    do depth += braces.exec(code)?.[0] === '{' ? 1 : -1;
    while (depth > 0);
    functions.set(name, code.slice(index, braces.lastIndex));
  }
  return functions;
}
