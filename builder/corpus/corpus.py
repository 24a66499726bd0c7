"""The corpus: a repository's text files, filtered, rid of secrets and split. The first stage of a build.

`contract.repository.texts` reads and filters. This splits what was read, and says in figures what the manifest keeps.
It does not tokenize, and it writes nothing. Two reads of the same tree give the same corpus, on any machine and by git
or without it, but for what `contract.repository.texts` says.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from builder.corpus.split import SPLITS, Split, SplitCandidate, split_files
from contract.documents import CorpusFacts, LanguageFacts, SplitFacts
from contract.errors import CorpusError
from contract.progress import OnProgress, no_progress
from contract.repository.languages import Kind, get_language
from contract.repository.texts import ReadingSettings, check_no_home, read_repository

MIN_HELD_OUT_BYTES: Final = 2_000  # of code: some 60 lines, or the score is noise


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(ReadingSettings):
    """What is read of a repository, and the least that a build can work with."""

    min_calibration_bytes: int = 20_000  # of code: about 6,000 tokens; with fewer the refit has more unknowns than data


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One text file of the repository."""

    path: str  # posix, relative to the root
    language: str  # a name in `languages.LANGUAGES`
    text: str  # LF line ends, lines that look like secrets removed
    sha256: str  # of `text`: of the file itself it would let a removed password be guessed
    split: Split

    @property
    def kind(self) -> Kind:
        """Code, text or data."""
        return get_language(self.language).kind

    @property
    def is_code(self) -> bool:
        """Whether it may be scored."""
        return self.kind == "code"

    @property
    def size_bytes(self) -> int:
        """Bytes of the text in UTF-8."""
        return len(self.text.encode())


_MOST_NAMED: Final = 3  # languages and endings in a sentence
# What neither git's list nor the disk has as a file of this repository.
ELSEWHERE: Final = ("nested repository", "not checked out")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A repository's text files, sorted by path, and what was left out."""

    root: Path
    files: tuple[SourceFile, ...]
    skipped: Mapping[str, int]  # files by reason
    secret_lines: Mapping[str, int]  # removed lines by kind
    near_duplicates_moved: int
    listed_by: str  # "git" or "walk"
    git_problem: str = ""  # why git did not list a folder of a repository
    unknown_endings: Mapping[str, int] = field(default_factory=dict)  # of the files of unknown type

    def select(self, split: Split, *, code_only: bool = False) -> tuple[SourceFile, ...]:
        """The files of one split; as read, held-out and validation hold code alone."""
        return tuple(file for file in self.files if file.split == split and (file.is_code or not code_only))

    @property
    def learned(self) -> tuple[SourceFile, ...]:
        """All files but those held out: no step of a build looks at anything else, save to score the outcome."""
        return tuple(file for file in self.files if file.split != "held-out")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over paths, hashes of texts and splits: equal for equal corpora, wherever they lie."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{file.path}\0{file.sha256}\0{file.split}\0".encode())
        return digest.hexdigest()

    def summary(self) -> CorpusFacts:
        """Figures for manifests and for the user; no path and no text."""
        by_language: dict[str, LanguageFacts] = {}
        by_split: dict[str, SplitFacts] = {
            split: {"files": 0, "bytes": 0, "code_files": 0, "code_bytes": 0} for split in SPLITS
        }
        for file in self.files:
            size = file.size_bytes
            entry = by_language.setdefault(
                file.language, {"files": 0, "bytes": dict.fromkeys(SPLITS, 0), "kind": file.kind}
            )
            entry["files"] += 1
            entry["bytes"][file.split] += size
            total = by_split[file.split]
            total["files"] += 1
            total["bytes"] += size
            if file.is_code:
                total["code_files"] += 1
                total["code_bytes"] += size
        return {
            "files": len(self.files),
            "bytes": sum(total["bytes"] for total in by_split.values()),
            "listed_by": self.listed_by,
            "splits": by_split,
            "languages": dict(sorted(by_language.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "secret_lines": dict(sorted(self.secret_lines.items())),
            "near_duplicates_moved": self.near_duplicates_moved,
            "fingerprint": self.fingerprint,
        }

    @property
    def code_bytes(self) -> int:
        """Bytes of the texts of code."""
        return sum(file.size_bytes for file in self.files if file.is_code)

    def say_read(self) -> str:
        """What was read and what was left out, in words; what lies elsewhere is not named."""
        sizes: Counter[str] = Counter()
        for file in self.files:
            sizes[file.language] += file.size_bytes
        total = sizes.total()
        first = sizes.most_common(_MOST_NAMED)
        shares = [f"{100 * part / total:.0f} % {language}" for language, part in first]
        shares += ["…"] if len(sizes) > len(first) else []
        size = f"{total / 1e6:,.1f} MB" if total >= 1e6 else f"{total / 1e3:,.0f} KB"
        read = f"Read {len(self.files):,} {'file' if len(self.files) == 1 else 'files'}, {size}"
        counts = Counter({reason: count for reason, count in self.skipped.items() if reason not in ELSEWHERE})
        endings = Counter(self.unknown_endings)
        named = ", ".join(name for name, _ in endings.most_common(_MOST_NAMED))
        more = ", …" if len(endings) > _MOST_NAMED else ""
        names = {"unknown type": f"of unknown type ({named}{more})"}
        reasons = [f"{count:,} {names.get(reason, reason)}" for reason, count in counts.most_common()]
        return f"{read} ({', '.join(shares)}){'; left out: ' if reasons else ''}{', '.join(reasons)}."

    def provenance(self) -> dict[str, Any]:
        """The summary, and the hashes of the texts: what the manifest of a model says of what it has read."""
        return {
            "corpus": self.summary(),
            # Of texts, not of files, so that `submodel eval` can tell what this build has read.
            "held_out_sha256": [file.sha256 for file in self.files if file.split == "held-out"],
            "learned_sha256": [file.sha256 for file in self.learned],
        }


_DEFAULT_SETTINGS = CorpusSettings()


def read_corpus(
    root: Path,
    settings: CorpusSettings = _DEFAULT_SETTINGS,
    *,
    on_progress: OnProgress = no_progress,
) -> Corpus:
    """Read a repository or any folder of source files; on_progress(done, total) counts the listed files, now and then.

    Raises CorpusError where the folder is missing or can't be read, has nothing to learn from, or too little to split,
    where it holds the home folder, and where it goes beyond the settings' `max_entries`, `max_by_git` or `max_seconds`.
    """
    check_no_home(root)
    reading = read_repository(root, settings, on_progress=on_progress)
    if not reading.texts:
        raise CorpusError(_say_nothing_usable(root, reading.skipped))
    paths = sorted(reading.texts)
    candidates = [
        SplitCandidate(text=text, language=language, sha256=hashlib.sha256(text.encode()).hexdigest())
        for language, text in map(reading.texts.__getitem__, paths)
    ]
    split = split_files(candidates)
    files = tuple(
        SourceFile(path=path, language=one.language, text=one.text, sha256=one.sha256, split=where)
        for path, one, where in zip(paths, candidates, split.splits, strict=True)
    )
    corpus = Corpus(
        root=reading.root,
        files=files,
        skipped=dict(reading.skipped),
        unknown_endings=dict(reading.unknown_endings),
        secret_lines=dict(reading.secret_lines),
        near_duplicates_moved=split.near_duplicates_moved,
        listed_by=reading.listed_by,
        git_problem=reading.git_problem,
    )
    _check_size(corpus, root, settings, reading.skipped)
    return corpus


def _say_nothing_usable(root: Path, skipped: Counter[str]) -> str:
    if not skipped:
        return f"The repository {root} is empty, or its ignore rules leave nothing; name a folder with source files."
    return (
        f"The repository {root} has no text file in a language that submodel knows{_left_out(skipped)}; "
        "name a folder with source files."
    )


def _left_out(skipped: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in Counter(skipped).most_common())
    return f" (left out: {reasons})" if reasons else ""


def _check_size(corpus: Corpus, root: Path, settings: CorpusSettings, skipped: Mapping[str, int]) -> None:
    sizes = {split: sum(file.size_bytes for file in corpus.select(split, code_only=True)) for split in SPLITS}
    if (
        sizes["calibration"] >= settings.min_calibration_bytes
        and sizes["held-out"] >= MIN_HELD_OUT_BYTES
        and sizes["validation"] > 0
    ):
        return
    count = sum(file.is_code for file in corpus.files)
    raise CorpusError(
        f"The repository {root} is too small to split: it has {count:,} {'file' if count == 1 else 'files'} of code "
        f"({sizes['calibration']:,} bytes to calibrate on, {sizes['validation']:,} to validate, {sizes['held-out']:,} "
        f"held out), and it takes at least {settings.min_calibration_bytes:,} bytes, one file and "
        f"{MIN_HELD_OUT_BYTES:,} bytes in files that are no copies of one another{_left_out(skipped)}; name a "
        "larger repository."
    )
