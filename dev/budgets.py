"""The size budgets of this repository: `python dev/budgets.py` prints them and fails if one is exceeded.

What comes in pushes something out. Lines are those of tracked files, blank ones and comments included.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PRODUCT = "builder/*.py contract/*.py exporters/*.py fleet/*.py laboratory/*.py lsp_server/*.py submodel/*.py"

# What is counted, git's patterns of its files (`*` spans folders), the unit, and the most allowed.
BUDGETS = (
    ("product", PRODUCT, "lines", 36_100),  # the goal is 34,000; until then only down
    ("extension", "vscode-extension/src/*.ts", "lines", 4_500),
    ("tests", "tests/*.py", "lines", 30_000),
    ("benchmarks and testbed", "benchmarks/*.py testbed/*.py", "lines", 6_000),
    ("Markdown", "*.md", "lines", 3_200),
    ("result files", "benchmarks/results/*.json", "files", 25),
    ("README.md", "README.md", "lines", 90),
    ("README.md", "README.md", "words", 650),
    ("docs/results.md", "docs/results.md", "lines", 200),
    ("dev/LOG.md", "dev/LOG.md", "lines", 400),
)


def tracked(patterns: str) -> list[Path]:
    """Return the tracked files that match any of the patterns."""
    command = ["git", "ls-files", "-z", "--", *patterns.split()]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def count(paths: list[Path], unit: str) -> int:
    """Return how many lines, words or files these are."""
    if unit == "files":
        return len(paths)
    texts = [path.read_text(encoding="utf-8") for path in paths]
    if unit == "words":
        return sum(any(map(str.isalnum, word)) for text in texts for word in text.split())
    return sum(text.count("\n") for text in texts)


def main() -> int:
    """Print a row for each budget; return 1 if one is exceeded."""
    exceeded = False
    for name, patterns, unit, most in BUDGETS:
        found = count(tracked(patterns), unit)
        exceeded |= found > most
        print(f"{name:24}{found:>8,} of {most:>7,} {unit}{'   TOO MUCH' if found > most else ''}")
    if exceeded:
        print("A budget of dev/budgets.py is exceeded: take something out.", file=sys.stderr)
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
