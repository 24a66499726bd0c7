"""A base without fill-in-the-middle gets three tokens, and fine-tuning trains their rows alone."""

import pytest
import torch

from builder.finetuning.fim_tokens import FIM_TOKENS, NewRows, add_fim_tokens
from contract.prompt import PromptEncoder, PromptFormat, Window
from testbed.models import make_model
from testbed.tokenizer import make_plain_tokenizer
from tests.builder.test_finetuning import SETTINGS, corpus


def taught(is_tied=True):
    tokenizer = make_plain_tokenizer()
    model = make_model(tokenizer.get_vocab_size(), is_tied=is_tied)
    prompt_format = PromptFormat(stop_tokens=("<|endoftext|>",), end_token="<|endoftext|>")
    return model, tokenizer, add_fim_tokens(model, tokenizer, prompt_format)


@pytest.mark.parametrize("is_tied", [True, False])
def test_the_model_is_as_it_was_but_for_three_rows(is_tied):
    before = make_model(make_plain_tokenizer().get_vocab_size(), is_tied=is_tied)
    model, tokenizer, prompt_format = taught(is_tied)
    size = before.config.vocab_size
    assert prompt_format.is_fim
    assert [tokenizer.token_to_id(token) for token in FIM_TOKENS] == [size, size + 1, size + 2]
    assert set(FIM_TOKENS) <= set(prompt_format.stop_tokens)
    ids = torch.tensor([[5, 9, 30]])
    torch.testing.assert_close(model(ids).logits[..., :size], before(ids).logits)
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) is is_tied
    torch.testing.assert_close(model.get_input_embeddings().weight[size], before.get_input_embeddings().weight.mean(0))
    encoder = PromptEncoder(tokenizer, prompt_format)
    assert encoder.encode(Window(prefix="", suffix="")) == [size, size + 1, size + 2]


def test_merged_rows_answer_as_the_trained_ones():
    model, tokenizer, _ = taught()
    ids = tuple(tokenizer.token_to_id(token) for token in FIM_TOKENS)
    embedding = model.get_input_embeddings()
    before = embedding.weight.detach().clone()
    rows = NewRows(embedding, ids)
    rows.difference.data.normal_()
    prompt = torch.tensor([[ids[0], 7, ids[1], 8, ids[2]]])
    hooked = embedding(prompt)
    rows.merge()
    torch.testing.assert_close(embedding(prompt), hooked)
    untouched = [i for i in range(len(before)) if i not in ids]
    torch.testing.assert_close(embedding.weight[untouched], before[untouched])


@pytest.mark.slow
def test_recovery_learns_the_rows(tmp_path):
    from builder.finetuning.finetune import finetune

    model, tokenizer, prompt_format = taught()
    ids = tuple(tokenizer.token_to_id(token) for token in FIM_TOKENS)
    before = model.get_input_embeddings().weight.detach().clone()
    encoder = PromptEncoder(tokenizer, prompt_format)
    tuned = finetune(model, encoder, corpus(), SETTINGS, state_path=tmp_path / "s", stage_hash="k", new_token_ids=ids)
    after = tuned.model.get_input_embeddings().weight
    untouched = [i for i in range(len(before)) if i not in ids]
    torch.testing.assert_close(after[untouched], before[untouched])
    assert (after[list(ids)] - before[list(ids)]).abs().max() > 1e-3
    loss = tuned.summary["validation_loss"]
    assert loss["before"] is not None and loss["after"] is not None
    assert loss["after"] < loss["before"]
