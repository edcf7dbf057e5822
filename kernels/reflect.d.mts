export function reflect(name: string, path: string, code: string): string;
