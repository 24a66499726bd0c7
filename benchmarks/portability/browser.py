"""A page in headless Chromium that completes code from a bundle, by WebAssembly.

    python -m benchmarks.portability.browser BUNDLE [--picture docs/browser.png]

transformers.js loads the folder as it lies; the answer is compared with that of the language server's engine. npm's
packages go into the cache, Chromium is Debian's or whatever CHROMIUM names. Writes benchmarks/results/browser.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.builds import write_result
from contract.bundle.bundle import read_bundle
from contract.versions import installed_versions
from testbed.browser import ask_engine, ask_page


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
        "versions": {**installed_versions(("submodel", "onnxruntime")), "transformers.js": ", ".join(versions)},
        "base": bundle.manifest["base"]["name"],
        "pages": pages,
    }
    write_result("browser", document)


if __name__ == "__main__":
    main()
