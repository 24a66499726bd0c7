"""Pictures of each editor at the same position, for docs/editors.md: what is shown after typing there.

    python -m benchmarks.portability.editor_screens REPOSITORY FILE LINE TEXT [--only NAME]

REPOSITORY has a bundle that this user has built, FILE is one of its files. LINE (counted from 1) is emptied but for its
indentation in a copy, and TEXT, which ends with a space, is typed there. Writes docs/screens/NAME.svg of each editor of
`testbed/editors.py` that this machine has.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from benchmarks.builds import RESULTS
from testbed.editors import EDITORS, EditorProgram, editing, environment_with_submodel

PICTURES = RESULTS.parents[1] / "docs" / "screens"
COLUMNS, LINES = 100, 16
# rich's own format, but for the fonts that it would fetch from the network.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def picture(editor: EditorProgram, repository: Path, file: str, line: int, typed: str) -> str | None:
    """Return the SVG of an editor after typing; None if it shows nothing new."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch) / repository.name
        shutil.copytree(repository / ".submodel" / "bundle", workspace / ".submodel" / "bundle")
        copy = workspace / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        lines = (repository / file).read_text("utf-8").splitlines()
        lines[line - 1] = lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]
        copy.write_text("\n".join(lines) + "\n", "utf-8")
        home, environment = Path(scratch) / "home", environment_with_submodel(Path(scratch) / "bin")
        with editing(editor, copy, home, environment, lines=LINES) as terminal:
            terminal.wait_for(lines[0].strip()[:40])
            terminal.send(*editor.to_end(line), typed)
            terminal.wait_for(typed.strip())
            alone = terminal.screen().count(typed.strip())
            for _ in range(100):
                terminal.send(*editor.ask)
                shown = [one for one in terminal.settle().splitlines() if typed.strip() in one]
                if any(not one.rstrip().endswith(typed.strip()) for one in shown) or len(shown) > alone:
                    break
            else:
                return None
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
    for editor in EDITORS:
        if known.only in editor.name and editor.is_here:
            svg = picture(editor, known.repository.absolute(), known.file, known.line, known.text)
            if svg is not None:
                (PICTURES / f"{editor.name}.svg").write_text(svg, "utf-8")
            print(editor.name, "shows a suggestion" if svg is not None else "shows nothing", flush=True)


if __name__ == "__main__":
    main()
