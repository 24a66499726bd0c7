"""A page in headless Chromium that completes code from a bundle, by transformers.js."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from contract.bundle.bundle import Bundle
from contract.children import find_program
from contract.prompt import Window
from testbed.runtimes import DTYPES, JAVASCRIPT, PLACE, find_chromium, install_packages

PREFIX = "def area(width, height):\n    return"
TOKENS = 12


def prompt_ids(bundle: Bundle) -> list[int]:
    """The prompt as the server would send it."""
    from lsp_server.decoding.engine import Engine

    return Engine(bundle).encoder.encode(Window(prefix=PREFIX, suffix=""))


def ask_page(bundle: Bundle, graph: Path, picture: Path) -> dict[str, Any]:
    """What the page found: its tokens and times, or an error."""
    chromium = find_chromium()
    node = find_program("node")
    if chromium is None or node is None:
        sys.exit("Chromium or Node is not here; install both (Debian: chromium, nodejs), or name Chromium in CHROMIUM.")
    install_packages()
    for name in ("page.html", "browser.mjs"):
        shutil.copyfile(JAVASCRIPT / name, PLACE / name)
    question = {"prefix": PREFIX, "ids": prompt_ids(bundle), "tokens": TOKENS, "dtype": DTYPES[graph.name]}
    done = subprocess.run(
        [node, "browser.mjs", str(bundle.folder), chromium, str(picture)],
        cwd=PLACE,
        input=json.dumps(question),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def ask_engine(bundle: Bundle) -> list[int]:
    """The same tokens from the language server's engine, control tokens included."""
    from lsp_server.decoding.engine import Engine, GreedyTokens

    engine = Engine(bundle)
    steps = iter(GreedyTokens(engine.decoder, prompt_ids(bundle), 0, lambda: False))
    return [next(steps)[0] for _ in range(TOKENS)]
