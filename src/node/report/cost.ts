import type { LedgerPart } from '../../cost/ledger.js';
import type { RunCost, StretchCost } from '../../cost/run.js';
import { flopText } from '../../cost/text.js';
import { escapeHtml, percent } from './page.js';

/** What a step computes, part by part; `seconds` of a step where they are known. */
export function costSection({ stretches, steps, flops, batch }: RunCost, seconds?: number): string {
  const { step } = stretches.at(-1) as StretchCost;
  const pace = seconds ? ` At the median step that is ${flopText(step.flops / seconds)} a second.` : '';
  const heads = ['forward', 'backward', 'sum', 'share'].map((head) => `<th scope="col">${head}</th>`);
  const row = ({ name, forward, backward }: LedgerPart) => {
    const share = percent((forward + backward) / step.flops);
    const cells = [forward, backward, forward + backward].map((value) => (value > 0 ? flopText(value) : '–'));
    return `<tr><th scope="row">${escapeHtml(name)}</th>${cells.map((cell) => `<td class="number">${cell}</td>`).join('')}
<td class="bar"><span style="width:${share.replace(' ', '')}"></span><b>${share}</b></td></tr>`;
  };
  return `<section><h2>Compute</h2>
<p>${flopText(step.flops)} a step, ${flopText(step.flops / batch)} an image, ${flopText(flops)} in all ${steps.toLocaleString('en')} steps.${pace}</p>
<div class="scroll"><table><thead><tr><th></th>${heads.join('')}</tr></thead>
<tbody>${step.parts.map(row).join('')}</tbody></table></div>
<p class="note">Two a multiply-add of convolutions, linear layers and products of matrices; all else is not counted.</p></section>`;
}
