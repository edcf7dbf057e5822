export function sharedBlocks(): Map<string, string>;
export function sharedIn(text: string): string[];
export function withShared(file: string, text: string, blocks: ReadonlyMap<string, string>): string;
export function writeShared(): void;
