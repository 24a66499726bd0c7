// Wires the parts together, and does nothing else.

import * as vscode from 'vscode';

import { BuildCommand } from './build/command';
import { registerTaskProvider } from './build/task';
import { chooseBundle } from './bundle/choice';
import { suggestHere } from './completion/ask';
import { followCursor } from './completion/cursor';
import { Snooze } from './completion/snooze';
import { Suggestions } from './completion/suggestions';
import { onDidSelectInterpreter } from './executable/python';
import { createLogger } from './logger';
import { followState, followWalkthrough, openWalkthrough, setContext } from './onboarding/context';
import { Offers, tellUntrusted } from './onboarding/offers';
import { noteOtherExtensions } from './onboarding/otherExtensions';
import { ServerController } from './server/controller';
import { ServerMessages } from './server/messages';
import { RUNNING_OPTIONS, STARTING_OPTIONS } from './server/options';
import { SECTION } from './settings';
import { createStatusItems } from './status/items';
import { showMenu } from './status/menu';
import { StatusModel } from './status/model';
import { toggleEnabled, toggleLanguage } from './status/switches';
import { explainLast, showStatistics } from './views/answers';
import { Pages } from './views/pages';
import { openReport } from './views/report';

const RESTARTING_SETTINGS = ['enabled', 'path', 'bundle', ...STARTING_OPTIONS];

let running: ServerController | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = createLogger();
  const status = new StatusModel();
  const suggestions = new Suggestions(status, log);
  const controller = new ServerController(status, suggestions.middleware, context.workspaceState, log);
  const messages = new ServerMessages(controller, status, log);
  const offers = new Offers(context.workspaceState, context.globalState);
  const snooze = new Snooze(controller);
  const pages = new Pages();
  const missing = (problem: string): void => void offers.tellOfMissingExecutable(problem, true);
  const builds = new BuildCommand(controller, status, missing, log);
  const restart = (reason: string) => (): void => void controller.restart(reason);
  const on = (name: string, run: (...args: unknown[]) => unknown): vscode.Disposable =>
    vscode.commands.registerCommand(`${SECTION}.${name}`, run);
  running = controller;

  context.subscriptions.push(
    log,
    status,
    controller,
    pages,
    createStatusItems(status),
    followCursor(controller, status),
    registerTaskProvider(status, log),
    status.onDidChange(followState),
    followWalkthrough(),
    suggestions.onFirstShown(() => {
      setContext('hasSuggested', true);
      void noteOtherExtensions(context.globalState, status, log); // others have had their time to start
    }),
    controller.onNoBundle(() => void offers.offerToBuild(status.snapshot.executable !== undefined)),
    controller.onNoExecutable(({ problem, isAsked }) => void offers.tellOfMissingExecutable(problem, isAsked)),
    controller.onFoundExecutable((executable) => void offers.tellOfExecutable(executable)),
    controller.onUntrusted(
      () => void tellUntrusted('Nothing is looked for in this workspace. Trust the workspace first.'),
    ),
    controller.onGaveUp(() => void offers.tellOfCrashes()),
    controller.onMessage((message) => void messages.show(message)),
    vscode.window.onDidChangeWindowState(({ focused }) => {
      const { phase, executable } = status.snapshot;
      if (focused && (phase === 'no-executable' || (phase === 'no-bundle' && executable === undefined))) {
        void controller.restartForOtherExecutable('the window has the focus again'); // it may be installed by now
      }
    }),
    onDidSelectInterpreter(() => void controller.restartForOtherExecutable('another Python environment was selected')),
    vscode.workspace.onDidChangeConfiguration((event) => {
      const hasChanged = (name: string): boolean => event.affectsConfiguration(`${SECTION}.${name}`);
      if (RESTARTING_SETTINGS.some(hasChanged)) {
        void controller.restart('the settings have changed');
      } else if (RUNNING_OPTIONS.some(hasChanged)) {
        void controller.followOptions();
      }
    }),
    vscode.workspace.onDidChangeWorkspaceFolders(() => void controller.followFolders()),
    vscode.workspace.onDidGrantWorkspaceTrust(restart('the workspace is trusted')),

    on('build', () => builds.run()),
    on('stopBuild', () => {
      builds.stop();
    }),
    on('chooseBundle', () => chooseBundle(status.snapshot.served)),
    on('toggle', toggleEnabled),
    on('toggleLanguage', toggleLanguage),
    on('snoozeSuggestions', (minutes) => snooze.begin(minutes)),
    on('endSnooze', () => snooze.end()),
    on('suggestHere', suggestHere),
    on('explainLast', () => explainLast(controller, status, suggestions.last, pages)),
    on('openReport', (repository) => openReport(status, repository)),
    on('showStatistics', () => showStatistics(controller, status, pages)),
    on('restart', () => {
      messages.forget();
      return controller.restartAsAsked();
    }),
    on('trustBundle', () => messages.trustUntrusted()),
    on('showLogs', () => {
      log.show(true);
    }),
    on('openWalkthrough', openWalkthrough),
    on('openSettings', () => vscode.commands.executeCommand('workbench.action.openSettings', '@ext:submodel.submodel')),
    on('showMenu', () => showMenu(status.snapshot)),
  );
  void controller.restart('the window has opened');
}

export async function deactivate(): Promise<void> {
  await running?.stop();
}
