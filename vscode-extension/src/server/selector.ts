// The documents that the server sees. Which of them get suggestions is the settings' matter.

export const SELECTOR = [{ scheme: 'file' }, { scheme: 'untitled' }];
