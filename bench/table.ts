/** A column: its head, its width in characters, and whether it holds text (left) or numbers (right). */
export type Column = readonly [head: string, width: number, align?: 'left' | 'right'];

/** Prints rows under a head as they come, aligned. */
export class Table {
  readonly #columns: readonly Column[];

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
    this.row(columns.map(([head]) => head));
    console.log(columns.map(([, width]) => '─'.repeat(width)).join(' '));
  }

  row(cells: readonly string[]): void {
    const padded = this.#columns.map(([, width, align = 'right'], i) => {
      const cell = cells[i] ?? '';
      return align === 'left' ? cell.padEnd(width) : cell.padStart(width);
    });
    console.log(padded.join(' ').trimEnd());
  }
}

/** Three significant digits: 0.0123, 1.23, 12.3, 123. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

export function percent(value: number): string {
  return `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)}%`;
}

/** 1.5 MiB. */
export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
