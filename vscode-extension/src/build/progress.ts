// From what `submodel build` prints to the stage that it is in. Free of VS Code.

export interface BuildProgress {
  readonly stage: string;
  readonly percent: number | undefined;
}

// eslint-disable-next-line no-control-regex -- the escape character is what it looks for
const CONTROL = /\u001b\[[0-9;?]*[ -/]*[@-~]/g;
const BAR = /^(\S.*?)\s+[━╸╺─\s]+?\s+(\d{1,3})%/;
const LINE = /^(\S.*?): (\d{1,3}) % after \d/; // where `submodel` sees no terminal for bars

/** The newest stage in a piece of output, with its share where a bar or a line tells it. */
export function readProgress(output: string): BuildProgress | undefined {
  for (const line of output
    .replaceAll(CONTROL, '')
    .split(/[\r\n]+/)
    .reverse()) {
    const [, stage, percent] = BAR.exec(line) ?? LINE.exec(line) ?? [];
    if (stage !== undefined && percent !== undefined && percent !== '100') {
      return { stage, percent: Number(percent) };
    }
  }
  return undefined;
}

/** The last sentence of what a failed build has printed, for the user. */
export function readFailure(output: string): string | undefined {
  const text = output.replaceAll(CONTROL, '').replaceAll('\r', '');
  const start = text.lastIndexOf('submodel: ');
  return start < 0 ? undefined : text.slice(start).trim().replaceAll(/\s+/g, ' ');
}
