export function finishDeclarations(folder: string): void;
export function finish(text: string, file: string, known: ReadonlySet<string>): string;
