"""What a model is calibrated on: equal amounts of text from several datasets, as files or as token ids."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from builder.corpus.corpus import Corpus, SourceFile
from builder.corpus.split import SPLITS
from builder.evaluation.held_out import excerpt_starts
from builder.learning_examples import make_sequences
from contract.errors import CorpusError
from contract.prompt import PromptEncoder
from laboratory.datasets import Dataset

CalibrationFormat = Literal["prompt", "plain"]
_SNIPPET_CHARS: Final = 1280  # as long as a prompt's window, prefix and suffix together
_LANES: Final = 4  # seeds that share no piece, as long as a quarter of the text is enough for one


def learned_bytes(dataset: Dataset) -> dict[str, int]:
    """How much text a dataset has to learn from, by split."""
    return {split: sum(file.size_bytes for file in dataset.select(split)) for split in ("calibration", "validation")}


def mix(datasets: Sequence[Dataset], most_bytes: Mapping[str, int] | None = None) -> Corpus:
    """One corpus of several datasets, of each as many bytes a split as the smallest has; a single one stays whole.

    most_bytes: by split, of all datasets together, so that corpora of several mixtures are equally large.
    """
    first, *others = datasets
    if not others and most_bytes is None:
        return first.corpus
    files: list[SourceFile] = []
    for split in SPLITS:
        parts = [sorted(dataset.select(split), key=lambda file: file.sha256) for dataset in datasets]
        room = min(sum(file.size_bytes for file in part) for part in parts)
        if most_bytes is not None and split in most_bytes:
            room = min(room, most_bytes[split] // len(datasets))
        for dataset, part in zip(datasets, parts, strict=True):
            taken = 0
            for file in part:
                if taken and taken + file.size_bytes > room:
                    continue
                files.append(replace(file, path=f"{dataset.name}/{file.path}"))
                taken += file.size_bytes
    return replace(first.corpus, files=tuple(sorted(files, key=lambda file: file.path)))


def calibration_sequences(
    datasets: Sequence[Dataset],
    encoder: PromptEncoder,
    *,
    tokens: int,
    seed: int,
    prompt_format: CalibrationFormat = "prompt",
) -> tuple[tuple[int, ...], ...]:
    """Exactly `tokens` token ids in unpadded sequences from the datasets' calibration files, equal shares of each.

    prompt_format: "prompt", what the server sends, each with its middle; "plain", snippets from left to right, as the
    papers have it, each behind the token that measured snippets stand behind. Raises CorpusError where a dataset has
    too little text.
    """
    sequences: list[tuple[int, ...]] = []
    for index, dataset in enumerate(datasets):
        share = tokens * (index + 1) // len(datasets) - tokens * index // len(datasets)
        files = dataset.select("calibration")
        if prompt_format == "prompt":
            made = make_sequences(files, encoder, share, seed, kind=dataset.kind)
        else:
            made = _plain_sequences(files, encoder, share, seed)
        sequences += _exactly(made, share, dataset.name)
    return tuple(sequences)


def _plain_sequences(
    files: Sequence[SourceFile], encoder: PromptEncoder, tokens: int, seed: int
) -> tuple[tuple[int, ...], ...]:
    """Seeds take snippets of their own, so that what differs between two of them is what other text would change."""
    places = [(file, start) for file in files for start in excerpt_starts(file.text, _SNIPPET_CHARS)]
    order, lane = divmod(seed, _LANES)
    random.Random(order).shuffle(places)
    lanes = [places[index % _LANES :: _LANES] for index in range(lane, lane + _LANES)]
    sequences: list[tuple[int, ...]] = []
    count = 0
    for file, start in itertools.chain(*lanes):
        if count >= tokens:
            break
        sequences.append(tuple(encoder.snippet_ids(file.text[start : start + _SNIPPET_CHARS])))
        count += len(sequences[-1])
    return tuple(sequences)


def _exactly(sequences: Sequence[tuple[int, ...]], tokens: int, name: str) -> list[tuple[int, ...]]:
    """Cut the sequences to `tokens` tokens in all, so that comparisons use equal amounts."""
    made: list[tuple[int, ...]] = []
    left = tokens
    for ids in sequences:
        if left > 0:
            made.append(ids[:left])
            left -= len(made[-1])
    if left > 0:
        raise CorpusError(
            f"{name} has only {tokens - left:,} of the {tokens:,} tokens to calibrate on; name more text, or ask "
            "for fewer."
        )
    return made
