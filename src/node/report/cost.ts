import { flopText } from '../../cost/text.js';
import type { LedgerPart } from '../../runtime/ledger.js';
import type { RunCost } from '../../train/cost.js';
import { percent } from '../system/figures.js';
import { escapeHtml, scrollTable } from './page.js';

/** FLOPs of a step, part by part, and FLOPs per second where the `seconds` of a step are known. */
export function costSection({ step, steps, flops, batch }: RunCost, seconds?: number): string {
  const pace = seconds ? ` At the median step that is ${flopText(step.flops / seconds)} a second.` : '';
  const row = ({ name, forward, backward }: LedgerPart) => {
    const share = percent((forward + backward) / step.flops);
    const cells = [forward, backward, forward + backward].map((value) => (value > 0 ? flopText(value) : '–'));
    return `<tr><th scope="row">${escapeHtml(name)}</th>${cells.map((cell) => `<td class="number">${cell}</td>`).join('')}
<td class="bar"><span style="width:${share.replace(' ', '')}"></span><b>${share}</b></td></tr>`;
  };
  return `<section><h2>Compute</h2>
<p>${flopText(step.flops)} a step, ${flopText(step.flops / batch)} an image, ${flopText(flops)} in ${steps.toLocaleString('en')} steps.${pace}</p>
${scrollTable('Compute of a step', '', ['part of the step', 'forward', 'backward', 'sum', 'share'], step.parts.map(row))}
<p class="note">2 FLOPs for each multiply-add of convolutions, linear layers and matrix products; other operations are not counted.</p></section>`;
}
