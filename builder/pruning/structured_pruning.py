"""From a base and a corpus to a sub-model: the vocabulary first, then the layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from builder.calibration import CalibrationSet, CalibrationSettings, make_calibration_set
from builder.corpus.corpus import Corpus
from builder.pruning.code_pieces import expected_tokens
from builder.pruning.layers import WidthSettings, narrow_layers
from builder.pruning.plan import PrunePlan, SizeSettings, plan_size
from builder.pruning.vocabulary import (
    TokenOrder,
    differing_texts,
    encode_texts,
    order_tokens,
    read_vocabulary,
    trim_embeddings,
    trim_tokenizer,
)
from contract.documents import PlanFacts
from contract.errors import BuildError
from contract.progress import OnProgress, no_progress
from contract.prompt import PromptEncoder, PromptFormat


@dataclass(frozen=True, kw_only=True)
class PruneSettings:
    """Everything that decides what the sub-model becomes."""

    size: SizeSettings = field(default_factory=SizeSettings)
    width: WidthSettings = field(default_factory=WidthSettings)
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)

    def to_json(self) -> dict[str, Any]:
        """For keys and manifests."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A pruned model, in memory, with what it was made from. The model is the base's object, changed in place."""

    model: PreTrainedModel
    tokenizer: Tokenizer
    prompt: PromptFormat
    plan: PrunePlan
    plan_summary: PlanFacts
    calibration: CalibrationSet


def prune(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompt: PromptFormat,
    corpus: Corpus,
    settings: PruneSettings,
    *,
    is_int8: bool = False,
    on_layer: OnProgress = no_progress,
) -> Pruned:
    """Prune `model` in place for the code of `corpus`; on_layer(done, layers) is called after each layer.

    is_int8: the calibration's tokens pass the layers, and their Gram matrices are made, in products of 8 bits.
    Raises BuildError where the size can't be reached or the trimmed tokenizer would segment what is learned from
    otherwise.
    """
    texts = [file.text for file in corpus.learned]
    tokenizer.encode_special_tokens = True  # a file that spells a control token is still text
    base_config = type(model.config).from_dict(model.config.to_dict())
    learned = _encode_learned(tokenizer, corpus)
    plan = plan_size(model, settings.size, _order_tokens(tokenizer, corpus, settings, learned))
    trimmed = trim_tokenizer(tokenizer, plan.kept_token_ids)
    trimmed.encode_special_tokens = True
    differing = differing_texts((ids.tolist() for ids in learned), trimmed, plan.kept_token_ids, texts)
    if differing:
        raise BuildError(
            f"The trimmed tokenizer splits {differing} of {len(texts)} files otherwise than the base's; "
            "this base's tokenizer can't be trimmed: report it with the base's name."
        )
    trim_embeddings(model, plan.kept_token_ids)
    enough = settings.calibration.at_least_for(base_config.intermediate_size)
    calibration = make_calibration_set(corpus.files, PromptEncoder(trimmed, prompt), enough)
    summary = plan.summary(base_config)
    if plan.width < base_config.intermediate_size:
        choices = narrow_layers(
            model,
            calibration.calibration,
            calibration.validation,
            plan.width,
            settings.width,
            is_int8=is_int8,
            on_layer=on_layer,
        )
        plan = replace(plan, channels=tuple(tuple(choice.channels.tolist()) for choice in choices))
        summary["layer_ridge"] = [choice.ridge for choice in choices]
        summary["layer_output_error"] = [round(choice.output_error, 5) for choice in choices]
    return Pruned(
        model=model, tokenizer=trimmed, prompt=prompt, plan=plan, plan_summary=summary, calibration=calibration
    )


def _encode_learned(tokenizer: Tokenizer, corpus: Corpus) -> list[NDArray[np.uint32]]:
    """The token ids of each file of `corpus.learned`, in 4 bytes each: a large repository has some twenty million."""
    return [np.array(ids, np.uint32) for ids in encode_texts(tokenizer, (file.text for file in corpus.learned))]


def _order_tokens(
    tokenizer: Tokenizer, corpus: Corpus, settings: PruneSettings, learned: Sequence[NDArray[np.uint32]]
) -> TokenOrder:
    """Which tokens stay first: those that were learned from, then what code of the same languages uses most."""
    used = {i for ids in learned for i in np.unique(ids).tolist()}
    code_bytes = Counter[str]()
    for file in corpus.learned:
        if file.is_code:
            code_bytes[file.language] += file.size_bytes
    expected = expected_tokens(tokenizer, code_bytes)
    count = sum(share >= settings.size.least_token_share for share in expected.values())
    ids = list(expected)
    return order_tokens(read_vocabulary(tokenizer), used, likely=ids[:count], unlikely=ids[count:])
