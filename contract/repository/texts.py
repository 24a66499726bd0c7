"""The texts of a repository, filtered and rid of secrets, as building and serving both read them.

Texts have LF line ends, whatever the files have. Two reads of the same tree give the same texts, on any machine and by
git or without it, but for folders named `build`: those that git tracks are source.
"""

from __future__ import annotations

import codecs
import hashlib
import math
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from contract.errors import CorpusError
from contract.files.home import holds_home
from contract.progress import OnProgress, no_progress
from contract.repository.file_filters import decode_text, reason_by_path, reason_by_text
from contract.repository.git import GitError
from contract.repository.languages import find_language
from contract.repository.listing import (
    MAX_ENTRIES,
    Listing,
    ListingLimits,
    filtered_files,
    list_files,
    repository_of,
)
from contract.repository.reading import DELETED, SourceReader, Unreadable
from contract.repository.secrets import is_secret_path, remove_secrets
from contract.repository.submodelignore import NAME, left_out_files

REPORT_EVERY: Final = 64  # files between two reports of progress, at most
REPORT_EVERY_S: Final = 0.02  # between two reports: the server rests there while somebody types
# Why the files behind a limit are left out. Which ones these are depends on how much else there is.
OVER_TOTAL: Final = "over the total limit"
OVER_FILES: Final = "over the limit of files"
_FILTER: Final = re.compile(rb"\sfilter=(?!(?:lfs|nbstripout|unset)(?:\s|$))")  # in attributes: one that may encrypt
CUT_REASONS: Final = (OVER_TOTAL, OVER_FILES)


@dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """What is read of a repository."""

    max_file_bytes: int = 256 << 10  # larger ones are tables and bundles, seldom what a person writes line by line
    max_total_bytes: int = 64 << 20  # far more than a build looks at; bounds memory on the largest repositories
    max_files: int = 100_000  # read ones; the largest repositories have some hundred thousand, and a trap any number
    max_entries: int = MAX_ENTRIES  # that a walk meets
    max_by_git: int = MAX_ENTRIES  # that git lists and has checked out
    max_seconds: float = math.inf  # for listing and reading: whoever builds sees it run, and can end it

    def __post_init__(self) -> None:
        if min(self.max_file_bytes, self.max_total_bytes, self.max_files) < 1:
            raise CorpusError("A corpus needs limits of at least one file and one byte.")


_DEFAULT_SETTINGS = ReadingSettings()


@dataclass(frozen=True, kw_only=True)
class RepositoryTexts:
    """The texts of a repository, and what was left out."""

    root: Path  # without links
    texts: Mapping[str, tuple[str, str]]  # path → (language, text), no text twice
    skipped: Counter[str]  # files by reason
    unknown_endings: Counter[str]  # of the files of unknown type
    secret_lines: Counter[str]  # removed lines by kind
    listed_by: str  # "git" or "walk"
    git_problem: str  # why git did not list a folder of a repository; "" elsewhere


def read_repository(
    root: Path,
    settings: ReadingSettings = _DEFAULT_SETTINGS,
    *,
    on_progress: OnProgress = no_progress,
) -> RepositoryTexts:
    """The texts and what was left out; on_progress(done, total) counts the listed files, now and then.

    Raises CorpusError if the folder is missing, can't be read or goes beyond the settings' `max_entries`, `max_by_git`
    or `max_seconds`. An empty repository is no error here.
    """
    return _read_texts(_list(root, settings), settings, on_progress)


@dataclass(frozen=True, kw_only=True)
class RepositorySize:
    """About how much a build would read, by names and sizes alone: no file was opened."""

    files: int
    code_bytes: int
    skipped: Counter[str]  # files by reason; what only a text tells is missing
    listed_by: str  # "git" or "walk"
    git_problem: str  # why git did not list a folder of a repository; "" elsewhere
    listing_s: float


def weigh_repository(root: Path, settings: ReadingSettings = _DEFAULT_SETTINGS) -> RepositorySize:
    """About how much `read_repository` would read; raises CorpusError as it does."""
    started_s = time.monotonic()
    listing = _list(root, settings)
    listing_s = time.monotonic() - started_s
    reader = SourceReader(listing.root, max_bytes=settings.max_file_bytes)
    skipped: Counter[str] = Counter()
    files = total = code_bytes = 0
    for number, path in enumerate(sorted(listing.files.paths, key=_turn)):
        if number % REPORT_EVERY == 0:
            listing.limits.check_time(listing.root)
        reason = _reason_by_name(path, listing, reader) or _cut_reason(total, files, settings)
        if reason is None:
            try:
                size = reader.size_of(path)
            except Unreadable as left_out:
                reason = _why_unreadable(left_out, path, listing.files)
        if reason is not None:
            skipped[reason] += 1
            continue
        files += 1
        total += size
        language = find_language(path)
        code_bytes += size if language is not None and language.is_code else 0
    return RepositorySize(
        files=files,
        code_bytes=code_bytes,
        skipped=skipped,
        listed_by=listing.files.source,
        git_problem=listing.files.git_problem,
        listing_s=listing_s,
    )


@dataclass(frozen=True, kw_only=True)
class _RootListing:
    root: Path  # without links
    files: Listing
    filtered: frozenset[str]  # by git, which may encrypt them
    ignored: frozenset[str]  # by `.submodelignore` files
    limits: ListingLimits


def _list(root: Path, settings: ReadingSettings) -> _RootListing:
    limits = ListingLimits(
        max_entries=settings.max_entries,
        max_by_git=settings.max_by_git,
        until_s=time.monotonic() + settings.max_seconds,
    )
    real = real_folder(root)
    with _readable(root):
        files = list_files(real, limits)
    top = repository_of(real)
    ignored = left_out_files(top or real, real, files.paths, on_path=lambda: limits.check_time(real))
    return _RootListing(root=real, files=files, filtered=_filtered(real, top, files), ignored=ignored, limits=limits)


def _filtered(root: Path, top: Path | None, files: Listing) -> frozenset[str]:
    """Return those of the files that would be read which git keeps under a filter: it may encrypt them.

    top: the repository that `root` lies in. Raises CorpusError if that is not known: if git fails, or can't be asked
    and attributes name a filter.
    """
    if top is None or files.git_problem:
        _check_attributes(top or root, root, files)
        return frozenset()
    try:
        return filtered_files(root, [path for path in files.paths if find_language(path) is not None])
    except GitError as error:
        raise CorpusError(f"git can't tell which files of {root} it encrypts ({error}), so none is read.") from error


def _check_attributes(top: Path, root: Path, files: Listing) -> None:
    """Raise CorpusError if attributes of a folder from `top` down to a file name a filter, or can't be read."""
    reader = SourceReader(top, max_bytes=_DEFAULT_SETTINGS.max_file_bytes)
    inner = root.relative_to(top)
    for folder in {above for path in files.paths for above in PurePosixPath(inner.as_posix(), path).parents}:
        for place in (folder / ".gitattributes", folder / ".git/info/attributes"):
            try:
                is_named = _FILTER.search(reader.read(str(place))) is not None
            except Unreadable as problem:
                is_named = str(problem) not in (DELETED, "unreadable")  # the latter where .git is a file
            if is_named:
                raise CorpusError(
                    f"{top / place} names files that git may encrypt. git does not list the files of {root} "
                    f"({files.git_problem or 'it is no repository'}), so which ones they are is not known, and none is "
                    "read. Mend that, or take the line out."
                )


def real_folder(root: Path) -> Path:
    """The folder's path without links; raises CorpusError if it is no folder that can be read."""
    with _readable(root):
        real = Path(os.path.realpath(root, strict=True))
        if not real.is_dir():
            raise CorpusError(f"{root} is a file, not a folder; name the repository's folder.")
        return real


def check_no_home(root: Path) -> None:
    """Raise CorpusError if a folder is the home folder or holds it, unless it is a repository of git."""
    if holds_home(root) and not (root / ".git").exists():
        raise CorpusError(
            f"{root.absolute()} is the home folder or holds it, so it is not read as a repository; name one."
        )


@contextmanager
def _readable(root: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CorpusError(f"There is no folder {root}; name the repository's folder.") from error
    except OSError as error:
        raise CorpusError(f"The folder {root} can't be read ({error.strerror}); check its permissions.") from error


def _read_texts(listing: _RootListing, settings: ReadingSettings, on_progress: OnProgress) -> RepositoryTexts:
    reader = SourceReader(listing.root, max_bytes=settings.max_file_bytes)
    skipped: Counter[str] = Counter()
    unknown_endings: Counter[str] = Counter()
    secret_lines: Counter[str] = Counter()
    texts: dict[str, tuple[str, str]] = {}
    seen: set[str] = set()  # SHA-256 of each text
    total = opened = 0
    report_at_s = 0.0
    if listing.files.unreadable_folders:
        skipped["unreadable"] += listing.files.unreadable_folders
    for number, path in enumerate(sorted(listing.files.paths, key=_turn)):
        if number % REPORT_EVERY == 0 or time.monotonic() >= report_at_s:
            listing.limits.check_time(listing.root)
            on_progress(number, len(listing.files.paths))
            report_at_s = time.monotonic() + REPORT_EVERY_S
        reason = _reason_by_name(path, listing, reader) or _cut_reason(total, opened, settings)
        if reason is not None:
            skipped[reason] += 1
            if reason == "unknown type":
                unknown_endings[PurePosixPath(path).suffix or PurePosixPath(path).name] += 1
            continue
        listing.limits.check_time(listing.root)
        try:
            content = reader.read(path)
        except Unreadable as left_out:
            skipped[_why_unreadable(left_out, path, listing.files)] += 1
            continue
        opened += 1
        language = find_language(path)
        text = decode_text(content)
        if text is None or language is None:
            is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            skipped["binary" if b"\0" in content and not is_utf16 else "not UTF-8"] += 1
            continue
        clean = remove_secrets(text)
        sha256 = hashlib.sha256(clean.text.encode()).hexdigest()
        reason = reason_by_text(clean.text, language) or ("duplicate" if sha256 in seen else None)
        if reason is not None:
            skipped[reason] += 1
            continue
        seen.add(sha256)
        secret_lines.update(clean.removed_lines)
        texts[path] = (language.name, clean.text)
        total += len(content)
    return RepositoryTexts(
        root=listing.root,
        texts=texts,
        skipped=skipped,
        unknown_endings=unknown_endings,
        secret_lines=secret_lines,
        listed_by=listing.files.source,
        git_problem=listing.files.git_problem,
    )


def _cut_reason(total_bytes: int, opened: int, settings: ReadingSettings) -> str | None:
    if total_bytes > settings.max_total_bytes:
        return OVER_TOTAL
    return OVER_FILES if opened >= settings.max_files else None


def _why_unreadable(left_out: Unreadable, path: str, files: Listing) -> str:
    reason = str(left_out)
    return "not checked out" if reason in ("unreadable", DELETED) and path in files.sparse else reason


def _turn(path: str) -> tuple[bool, bytes]:
    """Code comes first, so that a limit cuts data before it."""
    language = find_language(path)
    return language is None or not language.is_code, cut_order(path)


def cut_order(path: str) -> bytes:
    """Return a key whose order is fixed and has nothing to do with folders: a cap cuts evenly through a huge tree."""
    return hashlib.sha256(os.fsencode(path)).digest()


def _reason_by_name(path: str, listing: _RootListing, reader: SourceReader) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:  # a name that is not UTF-8 fits into no manifest
        return "name not UTF-8"
    if is_secret_path(path):
        return "name holds a secret"
    if path in listing.filtered:
        return "under a filter of git"
    if path in listing.ignored:
        return f"named in {NAME}"
    reason = reason_by_path(path, is_tracked=path in listing.files.tracked)
    return "nested repository" if reason == "unknown type" and reader.is_folder(path) else reason
