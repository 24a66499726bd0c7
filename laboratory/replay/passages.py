"""Chooses the passages that a replay types: lines of held-out files, or lines that were added after the build."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.corpus.corpus import SourceFile
from builder.fim_examples import MAX_LINE_CHARS, is_worthwhile
from contract.bundle.bundle import read_bundle
from contract.errors import SubmodelError
from contract.repository.file_filters import decode_text, reason_by_path, reason_by_text
from contract.repository.git import DIFF_OPTIONS, GitError, GitLimitError, run_git
from contract.repository.languages import Language, find_language, get_language
from contract.repository.secrets import kind_of_secret, remove_secrets

MAX_LINES = 6
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_BLOB = re.compile(r"^index [0-9a-f]+\.\.([0-9a-f]+)", re.MULTILINE)
_MAX_COMMITS = 500
_COMMITS = ("rev-list", "--no-merges")
_ADDED = (
    *("--format=", "--unified=0", "--full-index", "--find-renames", "--relative", "--diff-filter=AMR"),
    # The user's ~/.gitconfig would change which lines are drawn.
    *("--inter-hunk-context=0", "--diff-algorithm=myers", "--indent-heuristic", "-O/dev/null"),
)
_MAX_DIFF_BYTES = 32 << 20  # of one commit; larger ones were not typed
_MAX_FILE_BYTES = 256 << 10  # as a corpus has it


@dataclass(frozen=True, kw_only=True)
class Passage:
    """One to MAX_LINES lines of a file, and the file around them as it is while they are typed.

    `before` ends in a line end or is empty, `truth` holds no line end at its end, `after` and `later` begin with one or
    are empty.
    """

    path: str
    language: str
    before: str
    truth: str
    after: str
    later: str = ""  # what the commit has between `truth` and `after`: it does not stand there yet
    commit: str = ""  # that has added it
    file_sha256: str = ""  # of the file as that commit left it and as a corpus has it


@dataclass(frozen=True, kw_only=True)
class ChangedFile:
    """A code file as a commit left it, and the runs of lines that the commit has added or changed in it."""

    path: str
    language: Language
    text: str
    hunks: tuple[tuple[int, int], ...]  # the first line, counted from 0, and how many lines; -1 and 0 where all went


def passages_of_files(files: Sequence[SourceFile], count: int, seed: int) -> tuple[Passage, ...]:
    """Return up to `count` passages of code files, drawn by line; the same for the same seed and files."""
    starts = [(file, number) for file in files if file.is_code for number in _starts(file)]
    rng = random.Random(seed)
    chosen = rng.sample(starts, min(count, len(starts)))
    return tuple(_cut(file.path, file.language, file.text.split("\n"), number) for file, number in chosen)


def passages_later_than(bundle: Path, root: Path, since: str, count: int, seed: int) -> tuple[Passage, ...]:
    """Return up to `count` of the passages that `added_since` returns, drawn by `seed`.

    Raises SubmodelError if the bundle learned any that was added.
    """
    added = added_since(root, since, seed)
    check_later(added, read_bundle(bundle, verify=False).manifest.get("learned_sha256", ()), since, bundle)
    return draw(added, count, seed)


def draw(passages: Sequence[Passage], count: int, seed: int) -> tuple[Passage, ...]:
    """Return up to `count` of these passages; the same for the same seed and passages."""
    return tuple(random.Random(seed).sample(passages, min(count, len(passages))))


def added_since(root: Path, since: str, seed: int) -> list[Passage]:
    """Return passages that commits after `since` have added to code files, one of each run of lines.

    A passage begins at a random line of its run. The file is as in its commit, but without the later lines of the run,
    as if they were still to be written. Files are those below `root` that a corpus would have read. A renamed file adds
    the lines that changed alone, and one that a commit brought back to what stood at `since` adds none. Only the latest
    commits are looked at: `describe_history` says how many. A commit that git can't show, as where the clone lacks one
    of its files, adds none. Raises SubmodelError if git fails, as for an unknown revision, or where it shows too few
    commits to find any passage.
    """
    listed = _git(root, *_COMMITS, f"--max-count={_MAX_COMMITS}", "--end-of-options", f"{since}..HEAD")
    commits = listed.decode("ascii").split()
    before = _blobs_at(root, since)
    passages = [passage for commit in commits for passage in _added_by(root, commit, before, seed)]
    if not passages:  # the commits have no code, or git can't show them
        for commit in commits:
            _show(root, commit)
    return passages


def check_later(passages: Sequence[Passage], learned_sha256: Collection[str], since: str, bundle: Path) -> None:
    """Raise SubmodelError if a bundle learned a file with the lines that are said to be later.

    passages: all that were added, and not those alone that were drawn: of a file that changed again before the build
    nothing else says that the build has read it. learned_sha256: of the texts that the bundle's build has learned.
    """
    learned = frozenset(learned_sha256)
    known = next((one for one in passages if one.file_sha256 in learned), None)
    if known is not None:
        raise SubmodelError(
            f"{bundle} learned {known.path} as commit {known.commit[:12]} left it, so lines added since {since} are "
            "not later than it; name the commit that it was built of with --since."
        )


def describe_history(root: Path, since: str) -> str:
    """Return where `added_since` takes its lines from, in words; raises SubmodelError as it does."""
    count = int(_git(root, *_COMMITS, "--count", "--end-of-options", f"{since}..HEAD"))
    of_them = f", by the latest {_MAX_COMMITS} of {count:,} commits" if count > _MAX_COMMITS else ""
    return f"lines added since {since}{of_them}"


def _blobs_at(root: Path, since: str) -> frozenset[str]:
    """Return the ids of all files' contents at a revision."""
    listed = _git(root, "ls-tree", "-r", "-z", "--full-tree", "--end-of-options", since).decode("utf-8", "replace")
    return frozenset(line.split(maxsplit=3)[2] for line in listed.split("\0") if line)


def _show(root: Path, commit: str) -> str:
    """Return the diff of a commit, "" if it is too large. Raises SubmodelError if git can't show it."""
    try:
        return _git(root, "show", *DIFF_OPTIONS, *_ADDED, commit, "--").decode("utf-8", "replace")
    except SubmodelError as error:
        if isinstance(error.__cause__, GitLimitError):
            return ""
        raise


def _diff_of(root: Path, commit: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each file that a commit has changed, "" if it is none, and its part of the diff."""
    try:
        diff = _show(root, commit)
    except SubmodelError:  # as where the clone lacks a file: other commits may do
        return
    for part in re.split(r"(?m)^diff --git ", diff)[1:]:
        named = re.search(r"(?m)^\+\+\+ b/(.*)$", part)
        yield named.group(1).removesuffix("\t") if named else "", part  # git ends a name with spaces in it so


def changed_files(root: Path, commit: str, before: Collection[str] = ()) -> Iterator[ChangedFile]:
    """Yield the code files that a commit has changed and that a corpus would have read; none if git can't say.

    before: ids of contents. A file that the commit brought back to one of these is left out.
    """
    for path, part in _diff_of(root, commit):
        language = find_language(path)
        if language is None or not language.is_code or reason_by_path(path, is_tracked=True) is not None:
            continue
        blob = _BLOB.search(part)
        if blob is not None and blob.group(1) in before:
            continue
        text = _text_at(root, commit, path)
        if text is None or reason_by_text(text, language) is not None:
            continue
        found = _HUNK.finditer(part)
        hunks = tuple((int(hunk.group(1)) - 1, int(hunk.group(2) or 1)) for hunk in found)
        yield ChangedFile(path=path, language=language, text=text, hunks=hunks)


def _added_by(root: Path, commit: str, before: Collection[str], seed: int) -> Iterator[Passage]:
    for file in changed_files(root, commit, before):
        path, lines = file.path, file.text.split("\n")
        sha256 = hashlib.sha256(remove_secrets(file.text).text.encode()).hexdigest()
        for first, length in file.hunks:
            end = min(first + length, len(lines))
            starts = [number for number in range(first, end) if is_worthwhile(lines[number], file.language)]
            if starts:
                number = random.Random(f"{seed} {commit} {path} {first}").choice(starts)
                passage = _without_secrets(_cut(path, file.language.name, lines[:end], number, lines[end:]))
                if passage is not None:
                    yield replace(passage, commit=commit, file_sha256=sha256)


def _text_at(root: Path, commit: str, path: str) -> str | None:
    """Return a file as it stood in a commit; None if it is too large or no text. No filter of the repository is run."""
    try:
        return decode_text(_git(root, "cat-file", "blob", f"{commit}:./{path}", max_bytes=_MAX_FILE_BYTES))
    except SubmodelError:
        return None


def _without_secrets(passage: Passage) -> Passage | None:
    """Return the passage without secrets around it, as a corpus has it; None if a secret would be typed."""
    if any(kind_of_secret(line) is not None for line in passage.truth.split("\n")):
        return None
    before, after = remove_secrets(passage.before).text, remove_secrets(passage.after).text
    if before and not before.endswith("\n"):  # a key block at its end took the line end along
        before += "\n"
    if after and not after.startswith("\n"):
        after = "\n" + after
    return replace(passage, before=before, after=after)


def _starts(file: SourceFile) -> Iterator[int]:
    language = get_language(file.language)
    return (number for number, line in enumerate(file.text.split("\n")) if is_worthwhile(line, language))


def _cut(path: str, language: str, lines: Sequence[str], number: int, after: Sequence[str] | None = None) -> Passage:
    """Return the passage from a line on, up to a line that is blank, too long or indented less.

    after: the lines that stand behind it while it is typed, so that the rest of `lines` is `later`. Default: that rest.
    """
    indent = _indent(lines[number])
    end = number + 1
    limit = min(len(lines), number + MAX_LINES)
    while end < limit and lines[end].strip() and _indent(lines[end]) >= indent and len(lines[end]) <= MAX_LINE_CHARS:
        end += 1
    return Passage(
        path=path,
        language=language,
        before="".join(f"{line}\n" for line in lines[:number]),
        truth="\n".join(line.rstrip() for line in lines[number:end]),
        after="".join(f"\n{line}" for line in (lines[end:] if after is None else after)),
        later="" if after is None else "".join(f"\n{line.rstrip()}" for line in lines[end:]),
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _git(root: Path, *arguments: str, max_bytes: int = _MAX_DIFF_BYTES) -> bytes:
    try:
        return run_git(root, *arguments, timeout_s=120, max_bytes=max_bytes)
    except GitError as error:
        raise SubmodelError(
            f"{error} in {root}; give a revision that git knows with --since, or leave that out to type held-out files."
        ) from error
