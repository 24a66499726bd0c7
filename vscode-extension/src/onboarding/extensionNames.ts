// The extensions that are known to suggest inline. Free of VS Code.

const COPILOT = 'GitHub Copilot';

const NAMES: ReadonlyMap<string, string> = new Map([
  ['github.copilot', COPILOT],
  ['github.copilot-chat', COPILOT],
  ['tabbyml.vscode-tabby', 'Tabby'],
  ['continue.continue', 'Continue'],
  ['sourcegraph.cody-ai', 'Cody'],
  ['sourcegraph.amp', 'Amp'],
  ['codeium.codeium', 'Windsurf (Codeium)'],
  ['supermaven.supermaven', 'Supermaven'],
  ['tabnine.tabnine-vscode', 'Tabnine'],
  ['ggml-org.llama-vscode', 'llama.vscode'],
  ['huggingface.huggingface-vscode', 'llm-vscode'],
  ['twinny.twinny', 'twinny'],
  ['rjmacarthy.twinny', 'twinny'],
  ['amazonwebservices.amazon-q-vscode', 'Amazon Q'],
  ['google.geminicodeassist', 'Gemini Code Assist'],
  ['visualstudioexptteam.vscodeintellicode-completions', 'IntelliCode completions'],
  ['augment.vscode-augment', 'Augment'],
  ['kilocode.kilo-code', 'Kilo Code'],
]);

/**
 * Their names, each once, in the order of the ids. `copilot` is the setting github.copilot.enable: by language, whether
 * Copilot suggests; it is not named if all are off.
 */
export function findOtherExtensions(extensionIds: readonly string[], copilot?: Record<string, boolean>): string[] {
  const names = extensionIds.map((id) => NAMES.get(id.toLowerCase())).filter((name) => name !== undefined);
  const isCopilotOff = copilot?.['*'] === false && !Object.values(copilot).includes(true);
  return [...new Set(names)].filter((name) => name !== COPILOT || !isCopilotOff);
}
