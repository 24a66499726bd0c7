"""Datasets: what a model is calibrated on and measured on, by a short name.

A folder, a language's listed packages (`language:python`), documentation (`text`), or source distributions that the
user names (`pypi:flask==3.1.3`). A folder's files are split as a repository's are, documentation by its hash alone; of
a listed language one whole package is held out.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from builder.bases.catalogue import cache_folder
from builder.corpus.corpus import Corpus, SourceFile, read_corpus
from builder.corpus.split import Split, SplitCandidate, split_by_hash, split_by_origin
from builder.lock_file import hold_lock
from contract.files.disk_calls import sync, sync_tree
from contract.files.folders import copy_folder
from contract.progress import OnEvent, no_event
from contract.repository.languages import Kind
from laboratory.sources.distribution import Distribution, is_distribution, parse_distribution
from laboratory.sources.fetch import fetch
from laboratory.sources.language_sets import TEXT_SET, LanguageSet, find_language_set

LANGUAGE_PREFIX: Final = "language:"
TEXT: Final = "text"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Text of one kind. `corpus` holds nothing but files that count for it."""

    name: str
    corpus: Corpus
    kind: Kind = "code"  # what its lines are taken from
    distributions: tuple[Distribution, ...] = ()

    def select(self, split: Split) -> tuple[SourceFile, ...]:
        """Its files of one split that lines are taken from."""
        return tuple(file for file in self.corpus.files if file.split == split and file.kind == self.kind)

    def describe_distributions(self) -> list[dict[str, str]]:
        """Where its text came from and under which licence, for manifests."""
        return [
            {"distribution": str(one), "licence": one.licence or "unknown", "sha256": one.sha256 or "unknown"}
            for one in self.distributions
        ]


def open_dataset(spec: str, *, cache_dir: Path | None = None, on_event: OnEvent = no_event) -> Dataset:
    """The dataset that `spec` names; what it needs is fetched once. Raises CorpusError if it is unavailable."""
    sources = (cache_dir or cache_folder()) / "sources"
    if spec == TEXT:
        return _open_set(TEXT_SET, TEXT, sources, on_event)
    if spec.startswith(LANGUAGE_PREFIX):
        return _open_language(spec.removeprefix(LANGUAGE_PREFIX), sources, on_event)
    if is_distribution(spec) and not Path(spec).exists():
        named = parse_distribution(spec)
        folder = fetch(named, sources, on_event=on_event)
        return Dataset(name=str(named), corpus=read_corpus(folder), distributions=(named,))
    folder = Path(spec)
    return Dataset(name=folder.resolve().name, corpus=read_corpus(folder))


def open_language(name: str, *, cache_dir: Path | None = None, on_event: OnEvent = no_event) -> Dataset:
    """The code of one language from the listed packages.

    Its files have the paths that a repository gives them, since prompts begin with them. Raises CorpusError if the
    packages are unavailable.
    """
    dataset = _open_language(name, (cache_dir or cache_folder()) / "sources", on_event)
    return replace(dataset, corpus=_without_origins(dataset.corpus))


def _without_origins(corpus: Corpus) -> Corpus:
    """Without the two folders that name a file's distribution, but where two files would have one path."""
    short = ["/".join(file.path.split("/")[2:]) for file in corpus.files]
    counts = Counter(short)
    named = zip(corpus.files, short, strict=True)
    return replace(corpus, files=tuple(replace(file, path=path) if counts[path] == 1 else file for file, path in named))


def _open_language(name: str, sources: Path, on_event: OnEvent) -> Dataset:
    chosen = find_language_set(name)
    return _open_set(chosen, LANGUAGE_PREFIX + chosen.name, sources, on_event)


def _open_set(chosen: LanguageSet, name: str, sources: Path, on_event: OnEvent) -> Dataset:
    corpus = read_corpus(_gather(chosen, sources, on_event))
    files = tuple(file for file in corpus.files if file.language in chosen.languages)
    return Dataset(
        name=name,
        corpus=_split_set(replace(corpus, files=files), chosen),
        kind=chosen.kind,
        distributions=chosen.distributions,
    )


def _split_set(corpus: Corpus, chosen: LanguageSet) -> Corpus:
    if chosen.held_out:
        folder = next(one.path for one in chosen.distributions if one.name == chosen.held_out).as_posix()
        candidates = [
            SplitCandidate(text=file.text, language=file.language, sha256=file.sha256) for file in corpus.files
        ]
        found = split_by_origin(candidates, [file.path.startswith(f"{folder}/") for file in corpus.files])
        files = tuple(replace(file, split=split) for file, split in zip(corpus.files, found.splits, strict=True))
        return replace(corpus, files=files, near_duplicates_moved=found.near_duplicates_moved)
    if chosen.kind != "code":  # only code is split by `read_corpus`
        return replace(corpus, files=tuple(replace(file, split=split_by_hash(file.sha256)) for file in corpus.files))
    return corpus


def _gather(chosen: LanguageSet, sources: Path, on_event: OnEvent) -> Path:
    """One folder with the set's distributions in it, so that near-copies across them are seen."""
    listed = "\0".join(f"{one.path} {one.sha256}" for one in chosen.distributions)
    folder = sources / "sets" / f"{chosen.name}-{hashlib.sha256(listed.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder.parent / ".lock", on_event):
        if not folder.is_dir():  # else another process was faster
            fresh = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(fresh, ignore_errors=True)
            for one in chosen.distributions:
                copy_folder(fetch(one, sources, on_event=on_event), fresh / one.path)
            sync_tree(fresh)
            fresh.replace(folder)
            sync(folder.parent)
    return folder
