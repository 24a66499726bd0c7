"""Pictures of each editor at the same position, for docs/editors.md: what is shown after typing there.

    python -m benchmarks.portability.editor_screens REPOSITORY FILE LINE TEXT [--only NAME]

REPOSITORY has a bundle that this user has built, FILE is one of its files. LINE (counted from 1) is emptied but for its
indentation in a copy, and TEXT, which ends with a space, is typed there. Writes docs/screens/NAME.svg of each editor of
`testbed/editors.py` that this machine has; plug-ins that speak HTTP ask `submodel serve --http`.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from benchmarks.builds import RESULTS
from contract.files.state_folder import VARIABLE, state_folder
from lsp_server.completion import open_completer
from lsp_server.http.guard import TOKEN_FILE, read_token
from lsp_server.options import PATIENT
from lsp_server.request import CompletionRequest
from testbed.editors import EDITORS, PLUG_INS, EditorProgram, editing, environment_with_submodel

PICTURES = RESULTS.parents[1] / "docs" / "screens"
COLUMNS, LINES = 100, 16
# rich's own format, but for the fonts that it would fetch from the network.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


@contextmanager
def http_server(workspace: Path, home: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """Serve a workspace on a free port of this machine, with its token where an editor with that home looks for it."""
    token = home / ".local" / "state" / "submodel" / TOKEN_FILE
    token.parent.mkdir(parents=True)
    token.write_text(read_token()[0], "ascii")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    program = Path(environment["PATH"].partition(os.pathsep)[0]) / "submodel"  # of `environment_with_submodel`
    command = [str(program), "serve", "--http", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=workspace, env=environment, stderr=subprocess.PIPE) as served:
        try:
            assert served.stderr is not None
            next(line for line in served.stderr if b"Serving on" in line)
            yield port
        finally:
            served.kill()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the pictures are taken: `typed` stands at the end of a line (counted from 1), which it alone fills."""

    repository: Path
    file: str
    line: int
    typed: str

    @property
    def before(self) -> str:
        """The file's text up to the line's indentation, that included."""
        lines = (self.repository / self.file).read_text("utf-8").split("\n")
        emptied = lines[self.line - 1]
        return "\n".join([*lines[: self.line - 1], emptied[: len(emptied) - len(emptied.lstrip())]])

    @property
    def after(self) -> str:
        """The file's text from the line's end on."""
        lines = (self.repository / self.file).read_text("utf-8").split("\n")
        return "\n".join(["", *lines[self.line :]])

    def answer(self) -> str:
        """Return what the bundle completes there."""
        before = self.before + self.typed
        request = CompletionRequest(text=before + self.after, offset=len(before), path=self.file, options=PATIENT)
        return open_completer(self.repository / ".submodel" / "bundle").complete(request).text


def picture(editor: EditorProgram, place: Place, answer: str) -> str | None:
    """Return the SVG of an editor that shows an answer, in as far as its list would; None if it never does."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        workspace = Path(scratch) / place.repository.name
        shutil.copytree(place.repository, workspace, ignore=shutil.ignore_patterns(".git"))
        copy = workspace / place.file
        copy.write_text(place.before + place.after, "utf-8")
        home, environment = Path(scratch) / "home", environment_with_submodel(Path(scratch) / "bin")
        environment[VARIABLE] = str(state_folder())  # which knows the bundle's build; the home folder is another
        port = stack.enter_context(http_server(workspace, home, environment)) if editor.is_over_http else 0
        terminal = stack.enter_context(editing(editor, copy, home, environment, lines=LINES, port=port))
        terminal.wait_for(place.before.partition("\n")[0].strip())
        terminal.send(*editor.to_end(place.line), place.typed)
        try:
            terminal.wait_for(answer.partition("(")[0].strip(), ask=editor.ask)
        except AssertionError:
            return None
        terminal.settle()
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
        console.print(Text.from_ansi(terminal.screen(colours=True)), end="")
    return console.export_svg(title=editor.name, code_format=FORMAT, unique_id="screen")


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("file")
    parser.add_argument("line", type=int)
    parser.add_argument("text")
    parser.add_argument("--only", default="", help="editors whose name has this in it")
    known = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    place = Place(repository=known.repository.absolute(), file=known.file, line=known.line, typed=known.text)
    answer = place.answer()
    print(f"The bundle completes {answer!r}.", flush=True)
    for editor in (*EDITORS, *PLUG_INS):
        if known.only in editor.name and editor.is_here:
            svg = picture(editor, place, answer)
            if svg is not None:
                (PICTURES / f"{editor.name}.svg").write_text(svg, "utf-8")
            print(editor.name, "shows a suggestion" if svg is not None else "shows nothing", flush=True)


if __name__ == "__main__":
    main()
