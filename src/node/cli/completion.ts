// Scripts that complete command lines in bash, zsh and fish, made from the declarations of the commands and their flags. What a
// value may be is read from its placeholder: lower-case names are choices, FILE and DIR are paths.
import type { Flag } from '../../config/flags.js';
import { choice, required } from '../../config/kinds.js';
import type { Command, CommandEntry } from './command.js';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];
type Loaded = CommandEntry & Command;

export function completionCommand(entries: readonly CommandEntry[]): Command {
  return {
    usage: `completion ${shells.join('|')}`,
    positional: [choice('the shell', required, shells)],
    flags: [],
    examples: [
      ['slimgrad completion bash >> ~/.bash_completion', 'for every bash from now on'],
      ['source <(slimgrad completion zsh)', 'for this zsh, once compinit has run'],
      ['slimgrad completion fish > ~/.config/fish/completions/slimgrad.fish', 'for every fish from now on'],
    ],
    async run({ positional: [shell] }) {
      const loaded = await Promise.all(entries.map(async (entry) => ({ ...entry, ...(await entry.load()) })));
      console.log(scripts[shell as Shell](loaded));
      return 0;
    },
  };
}

/** What may stand for a value: names, and what kind of path. */
function candidates(value: string): { words: string[]; path?: 'file' | 'folder' } {
  const parts = value.split('|');
  const words = parts.flatMap((part) => /^[a-z][\w.-]*:?/.exec(part)?.[0] ?? []);
  const path = parts.includes('FILE') ? 'file' : /\bDIR\b/.test(value) ? 'folder' : undefined;
  return { words, ...(path && { path }) };
}

const spellings = ({ flag, value, default: standard }: Flag) =>
  value === '' && standard?.startsWith('true') ? [flag, flag.replace('--', '--no-')] : [flag];

const first = ({ positional }: Command) => candidates(positional[0]?.value ?? '');
const names = (commands: readonly Loaded[]) => [...commands.map(({ name }) => name), 'help'];
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

function bash(commands: readonly Loaded[]): string {
  const reply = ({ words, path }: ReturnType<typeof candidates>) => {
    const named = words.length > 0 ? ` $(compgen -W ${quoted(words.join(' '))} -- "$cur")` : '';
    const paths = path ? ` $(compgen -${path === 'file' ? 'f' : 'd'} -- "$cur")` : '';
    return `${path ? 'compopt -o filenames 2>/dev/null; ' : ''}COMPREPLY=(${named}${paths} )`;
  };
  const cases = commands.flatMap((command) => [
    ...command.flags
      .filter(({ value }) => value !== '')
      .map(({ flag, value }) => `    ${command.name}:${flag}) ${reply(candidates(value))}; return;;`),
  ]);
  const flags = commands.map(
    (command) =>
      `    ${command.name}) flags=${quoted([...command.flags.flatMap(spellings), '--help'].join(' '))};` +
      ` [[ $cur == -* ]] || { ${reply(first(command))}; return; };;`,
  );
  return `# bash completion of slimgrad
_slimgrad() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} flags=
  COMPREPLY=()
  # bash takes = and : for words of their own
  if [[ $cur == = || $cur == : ]]; then cur=; else [[ $prev == = || $prev == : ]] && prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=( $(compgen -W ${quoted([...names(commands), '--help', '--version'].join(' '))} -- "$cur") )
    return
  fi
  case \${COMP_WORDS[1]}:$prev in
${cases.join('\n')}
    help:help) COMPREPLY=( $(compgen -W ${quoted(commands.map(({ name }) => name).join(' '))} -- "$cur") ); return;;
  esac
  case \${COMP_WORDS[1]} in
${flags.join('\n')}
  esac
  COMPREPLY=( $(compgen -W "$flags" -- "$cur") )
}
complete -F _slimgrad slimgrad`;
}

function zsh(commands: readonly Loaded[]): string {
  const plain = (text: string) => text.replace(/[[\]:]/g, (sign) => `\\${sign}`);
  const action = ({ words, path }: ReturnType<typeof candidates>) => {
    const files = path === 'file' ? '_files' : path === 'folder' ? '_files -/' : '';
    if (words.length === 0) return files || ' ';
    const named = `(${words.map(plain).join(' ')})`;
    return files ? `_alternative "names\\:name\\:${named}" "files\\:path\\:${files}"`.replaceAll('"', '\\"') : named;
  };
  const flagSpec = (flag: Flag) =>
    spellings(flag).map((name) => {
      const value = flag.value ? `:value:${action(candidates(flag.value))}` : '';
      return quoted(`${name}[${plain(flag.doc)}]${value}`);
    });
  const cases = commands.map((command) => {
    const own = command.positional.map((setting) =>
      quoted(`1:${plain(setting.doc)}:${action(candidates(setting.value))}`),
    );
    const specs = [...own, ...command.flags.flatMap(flagSpec), quoted('--help[flags and examples]')];
    return `    ${command.name})\n      _arguments \\\n        ${specs.join(' \\\n        ')};;`;
  });
  const described = commands.map(({ name, summary }) => `    ${quoted(`${name}:${plain(summary)}`)}`);
  return `#compdef slimgrad
_slimgrad() {
  local -a commands=(
${described.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
  esac
}
compdef _slimgrad slimgrad`;
}

function fish(commands: readonly Loaded[]): string {
  const quote = (text: string) => `'${text.replace(/[\\']/g, (sign) => `\\${sign}`)}'`;
  const argument = ({ words, path }: ReturnType<typeof candidates>) => {
    const folders = path === 'folder' ? ['(__fish_complete_directories)'] : [];
    const all = [...words, ...folders];
    return `${path === 'file' ? ' -F' : ' -f'}${all.length > 0 ? ` -a ${quote(all.join(' '))}` : ''}`;
  };
  const lines = commands.flatMap((command) => {
    const own = `complete -c slimgrad -n '__fish_seen_subcommand_from ${command.name}'`;
    return [
      `complete -c slimgrad -n __fish_use_subcommand -f -a ${command.name} -d ${quote(command.summary)}`,
      `${own}${argument(first(command))}`,
      ...command.flags.flatMap((flag) =>
        spellings(flag).map((name) => {
          const value = flag.value ? ` -r${argument(candidates(flag.value))}` : '';
          return `${own} -l ${name.slice(2)}${value} -d ${quote(flag.doc)}`;
        }),
      ),
    ];
  });
  return `# fish completion of slimgrad\n${lines.join('\n')}`;
}

const scripts: Readonly<Record<Shell, (commands: readonly Loaded[]) => string>> = { bash, zsh, fish };
