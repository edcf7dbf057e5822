import { DataError } from '../../errors.js';
import { renderPage, resultsHere, style } from './page.js';

/** Throws a DataError unless `page` is a report of slimgrad, which can be extended. */
export function checkReport(page: string, file: string): void {
  if (!/<title>slimgrad: /.test(page) || !page.includes('</main>'))
    throw new DataError(`${file}: expected a report of slimgrad, to be extended; move it away, or give another --out`);
}

/**
 * `page` with `section` in it: in place of the one of that name, or behind those that are there. The page's style becomes
 * the present one. Without a page, one that holds the section alone.
 *
 * @param name of letters, digits and dashes, of any script
 * @throws DataError where `page` is none of slimgrad's
 */
export function extendReport(page: string | undefined, file: string, name: string, section: string): string {
  const [begin, end] = [`<!-- result ${name} -->`, `<!-- end of ${name} -->`];
  const framed = `${begin}\n${section}\n${end}`;
  if (page === undefined)
    return renderPage({ title: 'Evaluation', kicker: 'slimgrad report', lead: '', main: `${framed}\n${resultsHere}` });
  checkReport(page, file);
  const styled = page.replace(/<style>[\s\S]*?<\/style>/, () => `<style>${style}</style>`);
  const [from, to] = [styled.indexOf(begin), styled.indexOf(end)];
  if (from >= 0 && to > from) return styled.slice(0, from) + framed + styled.slice(to + end.length);
  const anchor = styled.includes(resultsHere) ? resultsHere : '</main>';
  const at = styled.indexOf(anchor);
  return `${styled.slice(0, at)}${framed}\n${styled.slice(at)}`;
}
