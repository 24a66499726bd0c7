"""What is typed again: lines of held-out files, or lines that were added to the repository after the build."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.corpus.corpus import SourceFile
from builder.corpus.languages import find_language, get_language, is_comment_line
from builder.errors import SubmodelError

MAX_LINES = 6
_MAX_LINE_CHARS = 200  # longer lines are data
_MIN_LINE_CHARS = 3
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_MAX_COMMITS = 500


@dataclass(frozen=True, kw_only=True)
class Passage:
    """One to MAX_LINES lines of a file, and the file around them as it is while they are typed.

    `before` ends in a line end or is empty, `truth` holds no line end at its end, `after` begins with one or is empty.
    """

    path: str
    language: str
    before: str
    truth: str
    after: str


def passages_of_files(files: Sequence[SourceFile], count: int, seed: int) -> tuple[Passage, ...]:
    """Up to `count` passages of code files, spread over them by their lines; the same for the same seed and files."""
    starts = [(file, number) for file in files if file.is_code for number in _starts(file)]
    rng = random.Random(seed)
    chosen = rng.sample(starts, min(count, len(starts)))
    return tuple(_cut(file.path, file.language, file.text.split("\n"), number) for file, number in chosen)


def passages_of_history(root: Path, since: str, count: int, seed: int) -> tuple[Passage, ...]:
    """Up to `count` passages that commits after `since` have added to code files, as they stood in their commit.

    Raises SubmodelError where git can't say.
    """
    commits = _git(root, "rev-list", "--no-merges", f"--max-count={_MAX_COMMITS}", f"{since}..HEAD").split()
    found = [passage for commit in commits for passage in _added_by(root, commit)]
    return tuple(random.Random(seed).sample(found, min(count, len(found))))


def _added_by(root: Path, commit: str) -> Iterator[Passage]:
    diff = _git(root, "show", "--format=", "--unified=0", "--no-renames", "--diff-filter=AM", commit)
    for part in re.split(r"(?m)^diff --git ", diff)[1:]:
        path = re.search(r"(?m)^\+\+\+ b/(.*)$", part)
        language = find_language(path.group(1)) if path else None
        if path is None or language is None or not language.is_code:
            continue
        lines = _git(root, "show", f"{commit}:{path.group(1)}").replace("\r\n", "\n").split("\n")
        for hunk in _HUNK.finditer(part):
            first, length = int(hunk.group(1)) - 1, int(hunk.group(2) or 1)
            number = next(
                (one for one in range(first, first + length) if _is_worthwhile(lines, one, language.name)), None
            )
            if number is not None:
                yield _cut(path.group(1), language.name, lines, number, first + length)


def _starts(file: SourceFile) -> Iterator[int]:
    lines = file.text.split("\n")
    return (number for number in range(len(lines)) if _is_worthwhile(lines, number, file.language))


def _is_worthwhile(lines: Sequence[str], number: int, language_name: str) -> bool:
    line = lines[number].strip() if number < len(lines) else ""
    has_word = any(map(str.isalnum, line))
    is_comment = is_comment_line(line, get_language(language_name))
    return has_word and len(line) >= _MIN_LINE_CHARS and len(line) <= _MAX_LINE_CHARS and not is_comment


def _cut(path: str, language: str, lines: Sequence[str], number: int, limit: int | None = None) -> Passage:
    """From a line on, as long as lines are indented at least as much, are not blank, and not too many."""
    indent = _indent(lines[number])
    end = number + 1
    limit = min(len(lines), number + MAX_LINES, limit or len(lines))
    while end < limit and lines[end].strip() and _indent(lines[end]) >= indent and len(lines[end]) <= _MAX_LINE_CHARS:
        end += 1
    return Passage(
        path=path,
        language=language,
        before="".join(f"{line}\n" for line in lines[:number]),
        truth="\n".join(line.rstrip() for line in lines[number:end]),
        after="".join(f"\n{line}" for line in lines[end:]),
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "--no-pager", "-c", "core.fsmonitor=false", *arguments],
            cwd=root,
            capture_output=True,
            check=True,
            timeout=120,
        )
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", b"") or b""
        raise SubmodelError(
            f"git {arguments[0]} failed in {root} ({words.decode(errors='replace').strip() or error}); "
            "give a revision that it knows with --since, or leave that out to type held-out files."
        ) from error
    return done.stdout.decode("utf-8", "replace")
