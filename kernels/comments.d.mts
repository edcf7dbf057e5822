export function withoutComments(code: string): string;
export function squeezed(code: string): string;
