// Wires the parts together, and does nothing else.

import * as vscode from 'vscode';

import { AutomaticUpdates } from './build/automatic';
import { BuildCommand } from './build/command';
import { FailedUpdates } from './build/due';
import { registerTaskProvider } from './build/task';
import { Bundles } from './bundle/choice';
import { watchBundles } from './bundle/watch';
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
  const bundles = new Bundles(context.workspaceState);
  const suggestions = new Suggestions(status, log);
  const failures = new FailedUpdates(context.workspaceState);
  const controller = new ServerController(bundles, status, suggestions.middleware, context.workspaceState, log);
  const messages = new ServerMessages(controller, status, failures, context.workspaceState, log);
  const offers = new Offers(context.workspaceState, context.globalState);
  const snooze = new Snooze(controller);
  const pages = new Pages();
  const missing = (problem: string): void => void offers.tellOfMissingExecutable(problem, true);
  const builds = new BuildCommand(bundles, controller, status, failures, missing, log);
  const restart = (reason: string) => (): void => void controller.restart(reason);
  const on = (name: string, run: (...args: unknown[]) => unknown): vscode.Disposable =>
    vscode.commands.registerCommand(`${SECTION}.${name}`, run);
  running = controller;

  context.subscriptions.push(
    log,
    status,
    bundles,
    controller,
    new AutomaticUpdates(builds, controller, failures, log),
    pages,
    createStatusItems(status),
    followCursor(controller, status),
    registerTaskProvider(log),
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
    watchBundles(bundles, () => void controller.restartForNewBundle('the bundle on disk has changed')),
    vscode.workspace.onDidOpenTextDocument((document) => void bundles.lookFrom(document)),
    bundles.onDidFindBelow(() => void controller.noteOpened()),
    vscode.window.onDidChangeWindowState(({ focused }) => {
      const { phase } = status.snapshot;
      if (focused && (phase === 'no-bundle' || phase === 'failed')) {
        void controller.restartForNewBundle('a bundle has appeared'); // no watcher sees every folder above
      } else if (focused && phase === 'no-executable') {
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
      } else if (hasChanged('update.automatic')) {
        void messages.showWithheld();
      }
    }),
    vscode.workspace.onDidChangeWorkspaceFolders(({ removed }) => {
      void (removed.length > 0
        ? controller.restart('a folder was removed from the workspace')
        : controller.noteAddedFolders());
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(restart('the workspace is trusted')),

    on('build', (repository) => builds.run('build', repository)),
    on('update', (repository) => builds.run('update', repository)),
    on('stopBuild', () => builds.stop()),
    on('chooseBundle', async () => {
      const hasChanged = await bundles.choose(() => controller.olderBundles());
      return hasChanged && controller.restart('another bundle was picked');
    }),
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
