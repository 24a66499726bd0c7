"""A page in headless Chromium that completes code from a bundle, by WebAssembly.

    python -m benchmarks.portability.browser BUNDLE [--picture docs/browser.png]

transformers.js loads the folder as it lies; the answer is compared with that of the language server's engine. npm's
packages go into the cache, Chromium is Debian's or whatever CHROMIUM names. Writes benchmarks/results/browser.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from benchmarks.machine import describe_machine
from benchmarks.portability.runtimes import DTYPES, JAVASCRIPT, PLACE, install_packages
from contract.bundle.bundle import Bundle, read_bundle
from contract.children import find_program
from contract.prompt import Window
from contract.versions import installed_versions

PREFIX = "def area(width, height):\n    return"
TOKENS = 12


def main() -> None:
    """Ask the page and the engine the same, in each precision; the picture is the last one's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--picture", type=Path, default=Path("docs/browser.png"))
    known = parser.parse_args()
    bundle = read_bundle(known.bundle.absolute())
    pages = []
    for precision, graph in sorted(bundle.graphs.items()):
        reported = ask_page(bundle, graph, known.picture.absolute())
        if "error" not in reported:
            reported["same_tokens"] = reported["ids"] == ask_engine(replace(bundle, model_path=graph))
        pages.append({"precision": precision, "file": graph.name, **reported})
        print(json.dumps(pages[-1]), flush=True)
    versions = {page["version"] for page in pages if "version" in page}
    if not versions:
        sys.exit("No page answered; what each said stands above.")
    document = {
        "command": f"python -m benchmarks.portability.browser {known.bundle.name}",
        "machine": describe_machine(),
        "versions": {**installed_versions(("submodel", "onnxruntime")), "transformers.js": ", ".join(versions)},
        "base": bundle.manifest["base"]["name"],
        "pages": pages,
    }
    write_result("browser", document)


def prompt_ids(bundle: Bundle) -> list[int]:
    """The prompt as the server would send it."""
    from lsp_server.decoding.engine import Engine

    return Engine(bundle).encoder.encode(Window(prefix=PREFIX, suffix=""))


def ask_page(bundle: Bundle, graph: Path, picture: Path) -> dict[str, Any]:
    """What the page found: its tokens and times, or an error."""
    chromium = os.environ.get("CHROMIUM") or find_program("chromium")
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
    from lsp_server.decoding.engine import Engine
    from lsp_server.decoding.greedy import GreedyTokens

    engine = Engine(bundle)
    steps = iter(GreedyTokens(engine.decoder, prompt_ids(bundle), 0, lambda: False))
    return [next(steps) for _ in range(TOKENS)]


if __name__ == "__main__":
    main()
