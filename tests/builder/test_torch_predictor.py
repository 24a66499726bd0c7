"""Decoding and scoring in batches against one prompt at a time, without padding and without a cache."""

import pytest
import torch

from builder.evaluation.torch_predictor import TorchPredictor, numbers_a_token
from contract.prompt import PromptEncoder, PromptFormat
from testbed.models import make_model
from testbed.tokenizer import FIM, make_tokenizer
from tests.builder.sample_texts import TEXT


def naive_lines(model, encoder, prompt, limit, lines=1):
    ids, text_ids = list(prompt), []
    for _ in range(limit):
        token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        if token in encoder.stop_ids:
            break
        ids.append(token)
        text_ids.append(token)
        if encoder.tokenizer.decode(text_ids, skip_special_tokens=False).count("\n") >= lines:
            break
    return "\n".join(encoder.tokenizer.decode(text_ids, skip_special_tokens=True).split("\n")[:lines])


def test_batched_lines_are_those_of_each_prompt_alone():
    tokenizer = make_tokenizer()
    model = make_model(tokenizer.get_vocab_size())
    # A random model repeats itself; larger weights make its answers differ from prompt to prompt, and some end early.
    for parameter in model.parameters():
        parameter.data *= 3
    encoder = PromptEncoder(tokenizer, PromptFormat(stop_tokens=("<|endoftext|>",)))
    prompts = [
        encoder.text_ids(TEXT[start : start + size]) for start, size in ((0, 20), (31, 7), (0, 90), (0, 45), (31, 7))
    ]
    predictor = TorchPredictor(
        "tiny", model, encoder, line_tokens=12, batch_numbers=100 * numbers_a_token(model.config)
    )
    for lines in (1, 3):
        done = []
        answers = predictor.complete([*prompts, []], done.append, lines=lines)
        assert answers == [*(naive_lines(model, encoder, prompt, 12 * lines, lines) for prompt in prompts), ""]
        assert sum(done) == len(prompts) + 1
        assert len(set(answers)) > 1


def test_a_row_that_no_token_has_may_be_the_likeliest_one():
    """As in Qwen2.5-Coder, whose embedding has 271 rows more than its tokenizer has tokens."""
    tokenizer = make_tokenizer()
    tokens = tokenizer.get_vocab_size()
    model = make_model(tokens + 20)
    model.get_input_embeddings().weight.data[tokens:] *= 100
    encoder = PromptEncoder(tokenizer, PromptFormat())
    prompt = encoder.text_ids(TEXT[:30])
    assert int(model(torch.tensor([prompt])).logits[0, -1].argmax()) >= tokens
    answers = TorchPredictor("tiny", model, encoder, line_tokens=4).complete([prompt], lambda count: None)
    assert answers == [naive_lines(model, encoder, prompt, 4)]


def test_a_finished_prompt_leaves_the_batch_without_touching_the_others():
    tokenizer = make_tokenizer()
    model = make_model(tokenizer.get_vocab_size())
    for parameter in model.parameters():
        parameter.data *= 3
    encoder = PromptEncoder(tokenizer, PromptFormat())
    prompts = [encoder.text_ids(TEXT[start : start + 30]) for start in (0, 31, 60, 95, 130)]
    predictor = TorchPredictor("tiny", model, encoder, line_tokens=10)

    def continued(is_ended):
        read = [predictor._read(prompt) for prompt in prompts]
        answers = predictor._continue(read, 10, is_ended)
        assert not any(prompt.states for prompt in read), "what was read would lie in memory beside the batch"
        return answers

    full = continued(lambda row, ids: False)
    ending = frozenset(ids[3] for ids in full[:2])  # two prompts end early, at latest with their fourth token
    for ids, whole in zip(continued(lambda row, ids: ids[-1] in ending), full, strict=True):
        stop = next((i for i, token in enumerate(whole) if token in ending), len(whole) - 1)
        assert ids == whole[: stop + 1]


@pytest.mark.parametrize(("head_dim", "numbers"), [(None, 2 * 2 * 2 * 16), (32, 2 * 2 * 2 * 32)])
def test_a_batch_is_bounded_in_numbers_of_the_cache(monkeypatch, head_dim, numbers):
    model = make_model(make_tokenizer().get_vocab_size(), head_dim=head_dim)
    assert numbers_a_token(model.config) == numbers
    predictor = TorchPredictor("tiny", model, PromptEncoder(make_tokenizer(), PromptFormat()), batch_numbers=2048)
    rows = []

    def note(read, *_):
        rows.append(len(read))
        return [[1]] * len(read)

    monkeypatch.setattr(predictor, "_continue", note)
    predictor.complete([[7] * 8] * 4, lambda count: None)
    assert rows == [2048 // numbers // 8] * (4 * 8 * numbers // 2048)


def test_nats_are_the_sum_over_tokens():
    tokenizer = make_tokenizer()
    model = make_model(tokenizer.get_vocab_size())
    encoder = PromptEncoder(tokenizer, PromptFormat())
    ids = encoder.text_ids(TEXT[:50])
    log_probabilities = model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    expected = -sum(float(log_probabilities[i, token]) for i, token in enumerate(ids[1:]))
    predictor = TorchPredictor("tiny", model, encoder)
    assert abs(predictor.nats(ids) - expected) < 1e-3
    assert "_newlines" not in vars(predictor), "only lines need the text of each token"


def test_middles_are_scored_given_all_that_precedes():
    model, encoder = make_model(420 + 4), PromptEncoder(make_tokenizer(), FIM)
    predictor = TorchPredictor("m", model, encoder)
    ids = list(range(40, 60))
    logits = model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    truth = -sum(float(logits[place - 1, ids[place]]) for place in range(15, 20))
    assert predictor.nats_after(ids, 15) == pytest.approx(truth, rel=1e-4)
    assert predictor.nats(ids) == pytest.approx(predictor.nats_after(ids, 1))
