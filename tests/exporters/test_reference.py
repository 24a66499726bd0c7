from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from exporters.reference import MAX_PADDING, ParityPrompt, batches_by_length, compute_references

RNG = np.random.default_rng(0)
PROMPTS = [
    ParityPrompt(prompt_ids=tuple(RNG.integers(0, 261, n).tolist()), truth_ids=tuple(RNG.integers(0, 261, m).tolist()))
    for n, m in ((9, 4), (31, 1), (1, 5), (17, 0), (30, 3))
]


def naive_greedy(model: PreTrainedModel, prompt: ParityPrompt, tokens: int) -> list[int]:
    ids = list(prompt.prompt_ids)
    for _ in range(tokens):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt.prompt_ids) :]


@pytest.mark.parametrize(("padding", "done"), [(MAX_PADDING, [3, 5]), (10, [2, 3, 5])])
@torch.inference_mode()
def test_batches_with_a_cache_give_what_single_passes_give(
    any_folder: Path, padding: int, done: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.reference.MAX_PADDING", padding)
    model = AutoModelForCausalLM.from_pretrained(any_folder).eval()
    seen: list[tuple[int, int]] = []
    references = compute_references(
        model,
        PROMPTS,
        continuation_tokens=6,
        stop_ids=(),
        logit_prompts=(0, 3),
        logit_positions=12,
        batch_size=3,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert [reference.prompt for reference in references] == PROMPTS
    assert seen == [(count, 5) for count in done]
    for index, (prompt, reference) in enumerate(zip(PROMPTS, references, strict=True)):
        ids = [*prompt.prompt_ids, *prompt.truth_ids]
        logits = model(torch.tensor([ids])).logits[0]
        expected = torch.stack([logits[i].log_softmax(-1)[ids[i + 1]] for i in range(len(ids) - 1)] or [torch.empty(0)])
        np.testing.assert_allclose(reference.log_probabilities, expected.numpy().ravel(), atol=1e-4)
        assert list(reference.greedy_ids) == naive_greedy(model, prompt, 6)
        if index in (0, 3):
            assert reference.logits is not None
            wanted = logits[: len(prompt.prompt_ids)][-12:].numpy()
            np.testing.assert_allclose(reference.logits, wanted, atol=1e-4)
        else:
            assert reference.logits is None


def test_a_long_prompt_does_not_pad_the_short_ones() -> None:
    assert batches_by_length([200, 1200, 100, 150, 1100], size=8) == [[2, 3, 0], [4, 1]]
    assert batches_by_length([5, 4, 3, 2, 1], size=2) == [[4, 3], [2, 1], [0]]
    assert batches_by_length([1, 1 + MAX_PADDING], size=8) == [[0, 1]]
    assert batches_by_length([1, 2 + MAX_PADDING], size=8) == [[0], [1]]
    assert batches_by_length([], size=8) == []


def test_a_continuation_ends_with_its_first_stop_token(any_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(any_folder).eval()
    whole, other = (naive_greedy(model, prompt, 6) for prompt in PROMPTS[:2])
    assert whole[2] not in other
    reference, unended = compute_references(
        model,
        PROMPTS[:2],
        continuation_tokens=6,
        stop_ids={whole[2]},
        logit_prompts=(),
        logit_positions=4,
        batch_size=2,
        on_progress=lambda done, total: None,
    )
    assert list(reference.greedy_ids) == whole[: whole.index(whole[2]) + 1]
    assert list(unended.greedy_ids) == other, "another one in the batch goes on"
