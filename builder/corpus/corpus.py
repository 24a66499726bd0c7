"""The corpus: a repository's text files, filtered, rid of secrets and split. The first stage of a build.

It covers reading, and what the manifest says about it. It does not tokenize, and it writes nothing. Texts have LF line
ends, whatever the files have. Two reads of the same tree give the same corpus, on any machine and by git or without it.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.corpus.split import SPLITS, Split, SplitCandidate, split_files
from contract.documents import CorpusFacts, LanguageFacts, SplitFacts
from contract.errors import CorpusError
from contract.progress import Progress
from contract.repository.file_filters import decode_text, reason_by_path, reason_by_text
from contract.repository.languages import Kind, find_language, get_language
from contract.repository.listing import MAX_ENTRIES, Listing, ListingLimits, list_files
from contract.repository.reading import SourceReader, Unreadable
from contract.repository.secrets import remove_secrets

REPORT_EVERY: Final = 64  # files between two reports of progress


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """What is read of a repository, and the least that a build can work with."""

    max_file_bytes: int = 256 << 10  # larger ones are tables and bundles, seldom what a person writes line by line
    max_total_bytes: int = 64 << 20  # far more than a build looks at; bounds memory on the largest repositories
    max_files: int = 100_000  # read ones; the largest repositories have some hundred thousand, and a trap any number
    max_entries: int = MAX_ENTRIES  # listed ones
    max_seconds: float = math.inf  # for listing and reading: whoever builds sees it run, and can end it
    min_calibration_bytes: int = 20_000  # of code: about 6,000 tokens; with fewer the refit has more unknowns than data
    min_held_out_bytes: int = 2_000  # of code: some 60 lines, or the score is noise

    def __post_init__(self) -> None:
        if min(self.max_file_bytes, self.max_total_bytes, self.max_files) < 1:
            raise CorpusError("A corpus needs limits of at least one file and one byte.")


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


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A repository's text files, sorted by path, and what was left out."""

    root: Path
    files: tuple[SourceFile, ...]
    skipped: Mapping[str, int]  # files by reason
    secret_lines: Mapping[str, int]  # removed lines by kind
    near_duplicates_moved: int
    listed_by: str  # "git" or "walk"

    def select(self, split: Split, *, code_only: bool = False) -> tuple[SourceFile, ...]:
        """The files of one split; held-out and validation hold code alone."""
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


_DEFAULT_SETTINGS = CorpusSettings()


def read_corpus(
    root: Path,
    settings: CorpusSettings = _DEFAULT_SETTINGS,
    *,
    on_progress: Progress = lambda done, total: None,
) -> Corpus:
    """Read a repository or any folder of source files; on_progress(done, total) counts the listed files, now and then.

    Raises CorpusError where the folder is missing or can't be read, has nothing to learn from, or too little to split,
    and where it goes beyond the settings' `max_entries` or `max_seconds`.
    """
    listing = _list(root, settings)
    reading = _read_texts(listing, settings, on_progress)
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
        root=listing.root,
        files=files,
        skipped=dict(reading.skipped),
        secret_lines=dict(reading.secret_lines),
        near_duplicates_moved=split.near_duplicates_moved,
        listed_by=listing.files.source,
    )
    _check_size(corpus, root, settings)
    return corpus


def read_texts(root: Path, settings: CorpusSettings = _DEFAULT_SETTINGS) -> Mapping[str, tuple[str, str]]:
    """Path → (language, text) of what `read_corpus` would read, neither split nor too small for it.

    For those who serve: what has changed since a build, and pieces of other files. Raises CorpusError where the folder
    is missing, can't be read or goes beyond the settings' `max_entries` or `max_seconds`.
    """
    return _read_texts(_list(root, settings), settings, lambda done, total: None).texts


@dataclass(frozen=True, kw_only=True)
class _RootListing:
    root: Path  # without links
    files: Listing
    limits: ListingLimits


@dataclass(frozen=True, kw_only=True)
class _Reading:
    texts: Mapping[str, tuple[str, str]]  # path → (language, text), no text twice
    skipped: Counter[str]
    secret_lines: Counter[str]


def _list(root: Path, settings: CorpusSettings) -> _RootListing:
    limits = ListingLimits(max_entries=settings.max_entries, until_s=time.monotonic() + settings.max_seconds)
    try:
        real = Path(os.path.realpath(root, strict=True))
        if not real.is_dir():
            raise CorpusError(f"{root} is a file, not a folder; name the repository's folder.")
        return _RootListing(root=real, files=list_files(real, limits), limits=limits)
    except FileNotFoundError as error:
        raise CorpusError(f"There is no folder {root}; name the repository's folder.") from error
    except OSError as error:
        raise CorpusError(f"The folder {root} can't be read ({error.strerror}); check its permissions.") from error


def _read_texts(listing: _RootListing, settings: CorpusSettings, on_progress: Progress) -> _Reading:
    reader = SourceReader(listing.root, max_bytes=settings.max_file_bytes)
    skipped: Counter[str] = Counter()
    secret_lines: Counter[str] = Counter()
    texts: dict[str, tuple[str, str]] = {}
    seen: set[str] = set()
    total = opened = 0
    if listing.files.unreadable_folders:
        skipped["unreadable"] += listing.files.unreadable_folders
    # In an order that is fixed but has nothing to do with folders, so that the cap cuts evenly through a huge tree.
    for number, path in enumerate(sorted(listing.files.paths, key=_order_of)):
        if number % REPORT_EVERY == 0:
            on_progress(number, len(listing.files.paths))
        reason = _reason_by_name(path)
        if reason is None and total > settings.max_total_bytes:
            reason = "over the total limit"
        if reason is None and opened >= settings.max_files:
            reason = "over the limit of files"
        if reason is not None:
            skipped[reason] += 1
            continue
        listing.limits.check(listing.root, opened)
        opened += 1
        try:
            content = reader.read(path)
        except Unreadable as left_out:
            skipped[str(left_out)] += 1
            continue
        language = find_language(path)
        text = decode_text(content)
        if text is None or language is None:
            skipped["binary"] += 1
            continue
        clean = remove_secrets(text)
        reason = reason_by_text(clean.text, language) or ("duplicate" if clean.text in seen else None)
        if reason is not None:
            skipped[reason] += 1
            continue
        seen.add(clean.text)
        secret_lines.update(clean.removed_lines)
        texts[path] = (language.name, clean.text)
        total += len(content)
    return _Reading(texts=texts, skipped=skipped, secret_lines=secret_lines)


def _order_of(path: str) -> bytes:
    return hashlib.sha256(os.fsencode(path)).digest()


def _reason_by_name(path: str) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:  # a name that is not UTF-8 fits into no manifest
        return "name not UTF-8"
    return reason_by_path(path)


def _say_nothing_usable(root: Path, skipped: Counter[str]) -> str:
    if not skipped:
        return f"The repository {root} is empty, or its ignore rules leave nothing; name a folder with source files."
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.most_common())
    return (
        f"The repository {root} has no text file in a language that submodel knows (left out: {reasons}); "
        "name a folder with source files."
    )


def _check_size(corpus: Corpus, root: Path, settings: CorpusSettings) -> None:
    sizes = {split: sum(file.size_bytes for file in corpus.select(split, code_only=True)) for split in SPLITS}
    if (
        sizes["calibration"] >= settings.min_calibration_bytes
        and sizes["held-out"] >= max(settings.min_held_out_bytes, 1)
        and sizes["validation"] > 0
    ):
        return
    count = sum(file.is_code for file in corpus.files)
    raise CorpusError(
        f"The repository {root} is too small to split: it has {count:,} {'file' if count == 1 else 'files'} of code "
        f"({sizes['calibration']:,} bytes to calibrate on, {sizes['validation']:,} to validate, {sizes['held-out']:,} "
        f"held out), and it takes at least {settings.min_calibration_bytes:,} bytes, one file and "
        f"{settings.min_held_out_bytes:,} bytes in files that are no copies of one another; name a larger repository."
    )
