"""What a model makes of a missing middle, in one pass."""

import pytest
import torch

from builder.evaluation.torch_predictor import TorchPredictor
from contract.prompt import PromptEncoder, PromptFormat
from laboratory.experiments.quality import read_truth
from testbed.models import make_model
from testbed.tokenizer import make_tokenizer
from tests.builder.sample_texts import TEXT


def test_a_truth_that_the_model_would_write_is_exact_without_decoding():
    tokenizer = make_tokenizer()
    model = make_model(tokenizer.get_vocab_size())
    for parameter in model.parameters():
        parameter.data *= 3
    prompt = PromptEncoder(tokenizer, PromptFormat()).text_ids(TEXT[:30])
    written = list(prompt)
    for _ in range(4):
        written.append(int(model(torch.tensor([written])).logits[0, -1].argmax()))
    truth, after = written[len(prompt) : -1], written[-1]
    ends_there = PromptFormat(stop_tokens=(tokenizer.id_to_token(after),))
    predictor = TorchPredictor("tiny", model, PromptEncoder(tokenizer, ends_there))
    nats, is_exact = read_truth(predictor, prompt, truth)
    assert is_exact
    assert nats == pytest.approx(predictor.nats_after([*prompt, *truth], len(prompt)), rel=1e-4)
    assert not read_truth(predictor, prompt, [*truth[:-1], (truth[-1] + 1) % 400])[1]
    assert not read_truth(TorchPredictor("tiny", model, PromptEncoder(tokenizer, PromptFormat())), prompt, truth)[1]
