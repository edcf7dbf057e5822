import type { FitProgress } from '../../eval/classifier_training.js';
import { openPrelude, type Terminal } from '../run/progress.js';
import { duration, figure } from '../system/figures.js';

const linesEvery = 20_000; // ms, where lines stay

/** Shows how trainings by labels go: a line that is written over on a terminal, lines now and then elsewhere. */
export function fitProgress(screen: Terminal, now: () => number = Date.now): (name: string, p: FitProgress) => void {
  const prelude = openPrelude(screen);
  let started = now();
  let said = started;
  let [whose, last] = ['', 0];
  return (name, { run, runs, rate, epoch, epochs, loss }) => {
    if (name !== whose || run !== last) {
      [whose, last] = [name, run];
      started = said = now();
    }
    const of = runs > 1 ? `run ${run} of ${runs}, ` : '';
    const text = `${name}: ${of}learning rate ${rate}, epoch ${epoch} of ${epochs}, cross-entropy ${figure(loss)}`;
    if (epoch === epochs) {
      prelude.note(`${text}, ${duration((now() - started) / 1000)}`);
      return;
    }
    prelude.status(text);
    if (screen.isTTY || now() - said < linesEvery) return;
    said = now();
    prelude.note(text);
  };
}
