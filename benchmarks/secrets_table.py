"""What the secret filter finds of 200 planted values a kind, and what it takes for a secret in real repositories.

    python -m benchmarks.secrets_table [FOLDER…]

A value counts as found if no part of it is left in the cleaned text. In the repositories every flagged line counts as a
false alarm; each is listed with its place and masked. Private keys that lie among tests are counted separately.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from benchmarks.measured_repositories import CLICK, REPORTED, fetch, text_files, tree_hash
from contract.repository.secrets import blank_secrets, kind_of_secret
from testbed.secret_kinds import KINDS, PLANTED, SHARE_NEEDED, count_found

_OF_KEYS = ("private key", "by its neighbours")
_MASKED = re.compile(r"(?<=[A-Za-z0-9]{3})[A-Za-z0-9]")  # so that a line can be recognized and no value read


def flagged_lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Number (from 1), kind and text of every line that the filter removes."""
    kept = blank_secrets(text).split("\n")
    lines = text.split("\n")
    for number, (line, left) in enumerate(zip(lines, kept, strict=True), start=1):
        if line != left:
            yield number, kind_of_secret(line) or "by its neighbours", line


def count_alarms(folder: Path) -> dict[str, Any]:
    """Lines of all text files in a folder, and those that are flagged."""
    lines, flagged = 0, []
    for name, text in text_files(folder):
        lines += text.count("\n")
        path = Path(name).relative_to(folder).as_posix()
        flagged += [
            {"place": f"{path}:{number}", "kind": kind, "line": _MASKED.sub("*", line.strip()[:160])}
            for number, kind, line in flagged_lines(text.replace("\r\n", "\n"))
        ]
    return {
        "tree": tree_hash(folder),
        "lines": lines,
        "alarms": len(flagged),
        "of_test_keys": sum(one["kind"] in _OF_KEYS and "test" in one["place"].lower() for one in flagged),
        "alarms_per_1000_lines": round(1000 * len(flagged) / max(lines, 1), 3),
        "kinds": dict(Counter(one["kind"] for one in flagged).most_common()),
        "flagged": flagged,
    }


def main() -> None:
    """Plant, read, write the figures, print them; exit 1 where a kind falls short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whose = "Default: REPORTED and CLICK of benchmarks/measured_repositories.py."
    parser.add_argument("repositories", type=Path, nargs="*", help=whose)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds: dict[str, dict[str, Any]] = {
        kind.name: {"group": kind.group, "planted": PLANTED, "found": count_found(kind, seed=options.seed)}
        for kind in KINDS
    }
    repositories = options.repositories or [fetch(repository) for repository in (*REPORTED, CLICK)]
    alarms = {folder.name: count_alarms(folder) for folder in repositories}
    document = {
        "command": f"python -m benchmarks.secrets_table {shlex.join(sys.argv[1:])}".rstrip(),
        "kinds": kinds,
        "repositories": alarms,
    }
    write_result("secrets", document)
    short = [name for name, one in kinds.items() if one["found"] < SHARE_NEEDED[one["group"]] * PLANTED]
    for name, one in kinds.items():
        print(f"{one['found']:4} / {PLANTED}  {name}{'  < needed' if name in short else ''}")
    for name, one in alarms.items():
        count = f"{one['alarms']:4} alarms ({one['of_test_keys']} of test keys)"
        print(f"{count} in {one['lines']:,} lines of {name}: {one['alarms_per_1000_lines']} a thousand")
    sys.exit(bool(short))


if __name__ == "__main__":
    main()
