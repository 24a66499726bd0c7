// What the tests of suggestions begin with: the code of `workspaces.CODE`, opened beside its bundle.

import type { CodeServer } from './codeServer.mjs';
import { Editor } from './editor.mjs';
import { CODE, makeWorkspace } from './workspaces.mjs';

/** An editor that stands at the end of the code, with the model ready. */
export async function openPoints(server: CodeServer): Promise<Editor> {
  const folder = makeWorkspace('points', { 'points.py': CODE });
  const editor = await Editor.open(server, folder);
  await editor.openFile(`${folder}/points.py`);
  await editor.goToEnd();
  await editor.untilStatus(/ready/);
  return editor;
}
