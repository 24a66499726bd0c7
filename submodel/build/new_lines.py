"""Which lines of a repository no earlier version of its model has seen, by the texts of the last version's commit.

Work that is not committed counts, since the files are compared as they are now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path

from builder.corpus.changes import paths_at, texts_at
from builder.corpus.corpus import Corpus, SourceFile
from builder.corpus.following import PastText, changed_since
from builder.fim_examples import FimExample, worthwhile_lines
from contract.repository.languages import find_language
from submodel.build.history import History

MOST_OLD_TEXTS = 500  # that are asked of git at a time; it takes some milliseconds for each


class OldTexts:
    """Texts as a commit has them, by path; each is asked of git once. on_text: called before each."""

    def __init__(self, root: Path, commit: str | None, on_text: Callable[[], None] = lambda: None) -> None:
        self._root, self._commit, self._on_text = root, commit, on_text
        self._texts: dict[str, str | None] = {}
        self._most_wanted = 0  # at a time

    @cached_property
    def _there(self) -> frozenset[str]:
        return paths_at(self._root, self._commit)

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """The texts of the first MOST_OLD_TEXTS of these paths that the commit has; without what git can't give."""
        if self._commit is None:
            return {}
        there = [path for path in dict.fromkeys(paths) if path in self._there]
        wanted = there[:MOST_OLD_TEXTS]
        self._most_wanted = max(self._most_wanted, len(there))
        asked = [path for path in wanted if path not in self._texts]
        self._texts |= dict.fromkeys(asked) | texts_at(self._root, self._commit, asked, self._on_text)
        return {path: text for path in wanted if (text := self._texts.get(path)) is not None}

    def say_left_out(self) -> str | None:
        """How many old texts were wanted and not asked for, in words; None if there were none."""
        if self._most_wanted <= MOST_OLD_TEXTS:
            return None
        return (
            f"Of {self._most_wanted:,} changed files the old text of {self._most_wanted - MOST_OLD_TEXTS:,} is not "
            f"known, since git is asked for {MOST_OLD_TEXTS}. Which of their lines are new is not known either"
        )


def past_texts(found: Corpus, history: History, old: OldTexts) -> list[PastText]:
    """Code as it was learned from or held out, which has changed or is gone since."""
    there = {file.path for file in found.files}
    places = history.known.paths
    # Of too many, held-out ones first. Files that are gone come last; those that went before are not in the commit.
    paths = sorted(
        filter(_is_code, changed_since(found, history.known)),
        key=lambda path: (places[path] != "held-out", path not in there),
    )
    past = []
    for path, text in old.of(paths).items():
        language, place = find_language(path), history.known.texts.get(_sha256(text), "aside")
        if language is not None and place != "aside":
            past.append(PastText(language=language.name, text=text, split=place))
    return past


class NewLines:
    """Judges lines of the files that are `fresh`, those that the model has not learned from as they are.

    renames: new path → old path since the last version's commit. read: the SHA-256 of the texts that it has read.
    """

    def __init__(
        self,
        old: OldTexts,
        history: History,
        renames: Mapping[str, str],
        fresh: Collection[str],
        read: Collection[str],
    ) -> None:
        self._known, self._renames, self._read = history.known.paths, renames, read
        self._places = history.known.texts
        self._old, self._fresh = old, fresh
        self._hashes: dict[str, str] = {}  # of old texts, by name

    def is_new(self, file: SourceFile, line: str) -> bool:
        """Whether a line of a file is new since the commit of the last version. Where nobody knows, it is not.

        Known are new files, and files that git has as they were. line: without the white space around it.
        """
        before = self._name_before(file.path)
        if file.path not in self._known and before not in self._known:
            return True
        lines = self._old_lines.get(before)
        return lines is not None and line not in lines

    def is_to_learn(self, file: SourceFile) -> bool:
        """Whether a fresh file has a line to learn: a worthwhile one that is new, or any if nobody knows what is new.

        That is known if the old text went where the file goes now, to learning or to validation.
        """
        lines = {file.text[start:end].strip() for start, end in worthwhile_lines(file)}
        before = self._name_before(file.path)
        if file.path in self._known or before in self._known:
            old = self._texts.get(before)
            if old is None or self._places.get(self._hash_of(before, old)) != file.split:
                return bool(lines)
        return any(self.is_new(file, line) for line in lines)

    def unseen(self, examples: Iterable[FimExample], texts: Iterable[str]) -> tuple[FimExample, ...]:
        """The examples whose lines no earlier version has seen; `texts` are those that are known otherwise.

        Such a line is new, was not read before its commit, and stands in none of the texts: code is copied and moved.
        """
        found = [example for example in examples if self._was_unseen(example)]
        asked = {example.line for example in found}
        known = {line for text in texts for line in map(str.strip, text.split("\n")) if line in asked}
        return tuple(example for example in found if example.line not in known)

    def _was_unseen(self, example: FimExample) -> bool:
        path = example.file.path
        before = self._name_before(path)
        if path in self._known or before in self._known:
            old = self._texts.get(before)
            if old is None or self._hash_of(before, old) not in self._read:
                return False
        return self.is_new(example.file, example.line)

    def _hash_of(self, name: str, old: str) -> str:
        """The SHA-256 of a file's old text; its lines ask for it one by one."""
        if name not in self._hashes:
            self._hashes[name] = _sha256(old)
        return self._hashes[name]

    def _name_before(self, path: str) -> str:
        return self._renames.get(path, path)

    @cached_property
    def _texts(self) -> dict[str, str]:
        """Of the changed files, by their old names."""
        names = {self._name_before(path) for path in self._fresh if _is_code(path)}
        return self._old.of(sorted(names & self._known.keys()))

    @cached_property
    def _old_lines(self) -> dict[str, frozenset[str]]:
        return {name: frozenset(map(str.strip, text.split("\n"))) for name, text in self._texts.items()}


def _is_code(path: str) -> bool:
    language = find_language(path)
    return language is not None and language.is_code


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
