import { ConfigError, SlimgradError } from '../src/index.js';
import { type AdapterChoice, openDevice } from '../src/node.js';
import { openData, trainingItems } from './data.js';
import { help, parseOptions } from './options.js';
import { publishedColumn, publishedText } from './published_cost.js';
import { makeTable } from './table.js';

try {
  const args = process.argv.slice(2);
  const options = args.join() === 'cost' ? undefined : parseOptions(args);
  if (!options) console.log(publishedText(publishedColumn()));
  else if (options.help) console.log(help);
  else {
    const { adapter, ...rest } = options;
    using device = await openDevice({ adapter: adapter as AdapterChoice | undefined });
    console.log(`On ${device.name}.`);
    const { done, left, failed } = await makeTable({
      ...rest,
      file: 'experiments/results.jsonl',
      page: 'docs/results.md',
      cache: 'runs/experiments',
      items: await trainingItems(),
      device,
      open: ({ config }) => openData(config),
      note: (line) => console.log(line),
    });
    console.log(`${done} runs made, ${left} to make. The tables are in docs/results.md.`);
    if (failed > 0) process.exitCode = 1;
  }
} catch (error) {
  if (!(error instanceof SlimgradError)) throw error;
  console.error(error.message);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}
