"""Prompts for the parity check: text that the model was not trained on, in the form that the server sends.

A sub-model brings its prompts, from its repository's validation files. A foreign checkpoint has none, so that source
files of submodel serve, as code that no base was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import builder
import contract
import exporters
from builder.artifact import SubModel
from builder.corpus.corpus import SourceFile
from builder.fim_examples import draw_fim_examples, parity_prompts
from contract.errors import ExportError
from contract.prompt import PromptEncoder
from exporters.parity import ParitySettings
from exporters.reference import ParityPrompt


def choose_prompts(
    source: SubModel, encoder: PromptEncoder, settings: ParitySettings, *, max_positions: int
) -> list[ParityPrompt]:
    """Choose as many prompts as `settings` ask for; raise ExportError if there is none.

    Choose the `whole_prompts` longest, then prompts of at most `max_prompt_tokens`, then the shortest of the others.
    The result is sorted by length: the float32 graph sees the first ones alone, or with the last, and is soon done with
    short ones. Every prompt leaves room for its answer within `max_positions`.
    """
    prompts = [
        prompt
        for prompt in _own_prompts(source) or _package_prompts(encoder, 8 * settings.prompts)
        if len(prompt.prompt_ids) + max(len(prompt.truth_ids), settings.continuation_tokens) <= max_positions
    ]
    limit = settings.max_prompt_tokens
    fitting = [prompt for prompt in prompts if len(prompt.prompt_ids) <= limit]
    longer = sorted((p for p in prompts if len(p.prompt_ids) > limit), key=lambda prompt: len(prompt.prompt_ids))
    few = max(0, len(longer) - settings.whole_prompts)
    chosen = [*longer[few:], *fitting, *longer[:few]][: settings.prompts]
    if not chosen:
        raise ExportError(f"There is no prompt to compare the graph and {source.folder} on; build the model again.")
    return sorted(chosen, key=lambda prompt: len(prompt.prompt_ids))


def _own_prompts(source: SubModel) -> list[ParityPrompt]:
    prompts = [_prompt(item["prompt_ids"], item["truth_ids"]) for item in source.parity_prompts()]
    return [prompt for prompt in prompts if prompt.prompt_ids]


def _package_prompts(encoder: PromptEncoder, count: int) -> list[ParityPrompt]:
    folders = [Path(folder) for package in (contract, builder, exporters) for folder in package.__path__]
    files = [_source_file(path) for folder in folders for path in sorted(folder.rglob("*.py"))]
    fim_examples = draw_fim_examples(files, count, seed=0)
    prompts = [_prompt(*ids) for ids in parity_prompts(fim_examples, encoder)]
    return [prompt for prompt in prompts if prompt.prompt_ids]


def _prompt(prompt_ids: Sequence[int], truth_ids: Sequence[int]) -> ParityPrompt:
    return ParityPrompt(prompt_ids=tuple(prompt_ids), truth_ids=tuple(truth_ids))


def _source_file(path: Path) -> SourceFile:
    text = path.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return SourceFile(path=path.name, language="Python", text=text, sha256=digest, split="held-out")
