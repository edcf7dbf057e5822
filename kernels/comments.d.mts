export function withoutComments(code: string): string;
