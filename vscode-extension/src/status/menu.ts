// The menu behind the status bar entry: what can be done in the state that the entry shows.

import * as vscode from 'vscode';

import { SELECTOR } from '../server/options';
import { isLanguageOn } from '../settings';
import { lookHere } from './here';
import { snoozeEnd, type Snapshot } from './state';

interface Entry {
  readonly icon: string;
  readonly label: string;
  readonly command: string;
  readonly detail?: string;
}

const INSTALL: Entry = { icon: 'cloud-download', label: 'How to Install', command: 'submodel.openWalkthrough' };
const RESTART: Entry = { icon: 'debug-restart', label: 'Restart the Server', command: 'submodel.restart' };
const TRUST: Entry = { icon: 'shield', label: 'Manage Workspace Trust', command: 'workbench.trust.manage' };
const TURN_ON: Entry = { icon: 'check', label: 'Turn Suggestions On', command: 'submodel.toggle' };
const TURN_OFF: Entry = { icon: 'circle-slash', label: 'Turn Suggestions Off', command: 'submodel.toggle' };
const BUILD: Entry = { icon: 'tools', label: 'Build a Sub-model of This Workspace', command: 'submodel.build' };

export async function showMenu(last: Snapshot): Promise<void> {
  const { snapshot, description, isUnserved } = lookHere(last);
  const entries = listEntries(isUnserved ? last : snapshot).map(({ icon, label, ...others }) => ({
    label: `$(${icon}) ${label}`,
    ...others,
  }));
  const picked = await vscode.window.showQuickPick(entries, { placeHolder: `submodel: ${description.state}` });
  if (picked) {
    await vscode.commands.executeCommand(picked.command);
  }
}

/** What helps in a state in which no server runs; undefined in any other. */
export function findRemedy({ phase, executable }: Snapshot): Entry | undefined {
  switch (phase) {
    case 'disabled':
      return TURN_ON;
    case 'untrusted':
      return TRUST;
    case 'no-executable':
      return INSTALL;
    case 'no-bundle':
      return executable === undefined ? INSTALL : BUILD;
    case 'failed':
      return RESTART;
    default:
      return undefined;
  }
}

function listEntries(snapshot: Snapshot): Entry[] {
  const { phase, served, untrusted } = snapshot;
  const entry = (icon: string, label: string, command: string): Entry => ({
    icon,
    label,
    command: `submodel.${command}`,
  });
  const remedy = findRemedy(snapshot);
  const others = [
    ...(served.length > 0 ? [] : [BUILD]),
    ...(untrusted ? [{ ...entry('shield', 'Trust This Bundle', 'trustBundle'), detail: untrusted.folder }] : []),
    phase === 'disabled' ? TURN_ON : TURN_OFF,
    ...ofLanguage(),
    snoozeEnd(snapshot)
      ? entry('bell', 'End the Snooze', 'endSnooze')
      : entry('bell-slash', 'Snooze…', 'snoozeSuggestions'),
    entry('question', 'Explain the Last Suggestion', 'explainLast'),
    entry('graph', 'Statistics', 'showStatistics'),
    entry('file-code', 'Report', 'openReport'),
    entry('history', 'Choose or Roll Back the Bundle', 'chooseBundle'),
    ...(served.length > 0 ? [{ ...BUILD, label: 'Build Again' }] : []),
    RESTART,
    entry('output', 'Logs', 'showLogs'),
    entry('gear', 'Settings', 'openSettings'),
  ];
  const first = [...ofBuild(snapshot), ...(remedy ? [remedy] : [])];
  return [...first, ...others.filter(({ command }) => command !== remedy?.command)];
}

/** What can be done about the build that runs, if one does. */
function ofBuild({ building }: Snapshot): Entry[] {
  return building === undefined
    ? []
    : [
        { icon: 'debug-stop', label: 'Stop the Build', command: 'submodel.stopBuild' },
        { icon: 'terminal', label: 'Show Its Output', command: 'workbench.action.tasks.showTasks' },
      ];
}

/** The switch of the active editor's language. */
function ofLanguage(): Entry[] {
  const document = vscode.window.activeTextEditor?.document;
  if (!document || vscode.languages.match(SELECTOR, document) === 0) {
    return [];
  }
  const { languageId } = document;
  const command = 'submodel.toggleLanguage';
  return isLanguageOn(languageId)
    ? [{ icon: 'circle-slash', label: `Turn Off in ${languageId}`, command }]
    : [{ icon: 'check', label: `Turn On in ${languageId}`, command }];
}
