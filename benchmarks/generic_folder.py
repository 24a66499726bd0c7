"""The code of a language's listed packages as a plain folder, of which `submodel build FOLDER` makes a generic model.

    python -m benchmarks.generic_folder LANGUAGE FOLDER

Such a model is a control: of the language, size and minutes of a repository's own, but it never saw the repository.
LANGUAGE is a name in `laboratory/sources/language_sets.py`. The packages come through the user's pip, npm and apt-get,
and are kept in the cache. The package that the language's set holds out is left out: cobra of Go is measured on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from contract.progress import OnEvent, no_event
from laboratory.datasets import open_language


def write_generic_folder(language: str, folder: Path, *, on_event: OnEvent = no_event) -> int:
    """Write the language's files into a new folder; return their number. Raises FileExistsError or CorpusError."""
    files = open_language(language, on_event=on_event).corpus.learned
    folder.mkdir(parents=True)
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, "utf-8", newline="")
    return len(files)


def main() -> None:
    """Write the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("language")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    count = write_generic_folder(options.language, options.folder, on_event=print)
    print(f"{count:,} files in {options.folder}")


if __name__ == "__main__":
    main()
