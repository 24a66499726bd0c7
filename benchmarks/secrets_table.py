"""What the secret filter finds of 200 planted values a kind, and what it takes for a secret in real repositories.

    python -m benchmarks.secrets_table [--before FOLDER] [--build BASE] [FOLDER…]

A value counts as found if no part of it is left in the cleaned text. In the repositories every flagged line counts as a
false alarm; each is listed with its place and masked. Private keys that lie among tests are counted separately. With
--before the same is asked of the rules in another checkout. With --build a repository with 100 planted secrets is built
on that base, and every file of the build is read for them, drafts and prompts as text.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from benchmarks.measured_repositories import CLICK, REPORTED, fetch, text_files, tree_hash
from contract.children import python_module
from contract.repository.secrets import blank_secrets, kind_of_secret
from testbed.secret_kinds import KINDS, PLANTED, SHARE_NEEDED, count_found
from testbed.secret_search import find_planted, plant_repository

PLANTED_IN_BUILD = 100
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


def build_planted(base: str, seed: int) -> dict[str, Any]:
    """Build a repository with planted secrets, and list those that are left in a file of the build."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repository"
        planted = plant_repository(root, PLANTED_IN_BUILD, seed)
        options = ["--base", base, "--minutes", "0", "--positions", "10"]
        subprocess.run([*python_module("submodel"), "build", str(root), *options], check=True)
        output = root / ".submodel"
        found = find_planted(output, planted, output / "bundle" / "tokenizer.json")
        files = [path for path in output.rglob("*") if path.is_file()]
        report = json.loads((output / "report.json").read_text("utf-8"))["corpus"]
        keys = ("secret_lines", "skipped")
        return {"base": base, "planted": len(planted), "files": len(files), "left": found} | {
            k: report[k] for k in keys
        }


def measure(repositories: Sequence[Path], seed: int) -> dict[str, Any]:
    """What is found of each kind, and the false alarms."""
    kinds: dict[str, dict[str, Any]] = {
        kind.name: {"group": kind.group, "planted": PLANTED, "found": count_found(kind, seed=seed)} for kind in KINDS
    }
    groups = {group: [one for one in kinds.values() if one["group"] == group] for group in SHARE_NEEDED}
    shares = {
        name: round(sum(one["found"] for one in group) / (PLANTED * len(group)), 4) for name, group in groups.items()
    }
    return {"shares": shares, "kinds": kinds, "repositories": {one.name: count_alarms(one) for one in repositories}}


def measure_before(checkout: Path, words: Sequence[str]) -> dict[str, Any]:
    """The same by the rules of another checkout: its `contract`, this `testbed`."""
    here = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        for name, source in (("contract", checkout), ("testbed", here), ("benchmarks", here)):
            (Path(folder) / name).symlink_to(source / name)
        rest = {"PYTHONPATH": os.pathsep.join([folder, str(checkout)]), "PYTHONSAFEPATH": "1"}
        command = [*python_module("benchmarks.secrets_table"), "--print", *words]
        done = subprocess.run(command, env=os.environ | rest, stdout=subprocess.PIPE, check=True)
        return dict(json.loads(done.stdout))


def main() -> None:
    """Plant, read, write the figures, print them; exit 1 where a kind falls short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whose = "Default: REPORTED and CLICK of benchmarks/measured_repositories.py."
    parser.add_argument("repositories", type=Path, nargs="*", help=whose)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--before", type=Path, help="Another checkout, whose rules are asked the same.")
    parser.add_argument("--build", metavar="BASE", help="Build a repository with planted secrets on this base.")
    parser.add_argument("--print", action="store_true", help="Print the figures as JSON, and write no file.")
    options = parser.parse_args()
    repositories = options.repositories or [fetch(repository) for repository in (*REPORTED, CLICK)]
    repositories = [folder.resolve() for folder in repositories]
    document = measure(repositories, options.seed)
    if options.print:
        print(json.dumps(document))
        return
    document["command"] = f"python -m benchmarks.secrets_table {shlex.join(sys.argv[1:])}".rstrip()
    if options.before:
        words = ["--seed", str(options.seed), *map(str, repositories)]
        before = measure_before(options.before.resolve(), words)
        for name, one in document["kinds"].items():
            one["found_before"] = before["kinds"][name]["found"]
        for name, one in document["repositories"].items():
            one["alarms_before"] = before["repositories"][name]["alarms"]
        document["shares_before"] = before["shares"]
    if options.build:
        document["build"] = build_planted(options.build, options.seed)
    write_result("secrets", document)
    kinds, alarms = document["kinds"], document["repositories"]
    short = [name for name, one in kinds.items() if one["found"] < SHARE_NEEDED[one["group"]] * PLANTED]
    for name, one in kinds.items():
        earlier = f" (before {one['found_before']})" if "found_before" in one else ""
        print(f"{one['found']:4} / {PLANTED}  {name}{earlier}{'  < needed' if name in short else ''}")
    for name, one in alarms.items():
        count = f"{one['alarms']:4} alarms ({one['of_test_keys']} of test keys)"
        print(f"{count} in {one['lines']:,} lines of {name}: {one['alarms_per_1000_lines']} a thousand")
    if options.build:
        print(f"left in the build: {document['build']['left'] or 'none'}")
    sys.exit(bool(short) or bool(options.build and document["build"]["left"]))


if __name__ == "__main__":
    main()
