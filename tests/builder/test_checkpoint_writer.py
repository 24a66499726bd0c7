"""The sub-model's folder: what programs other than ours read in it."""

import json
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from builder.artifact import read_artifact
from builder.checkpoint_writer import save_checkpoint, save_reweighted
from contract.prompt import PromptEncoder
from testbed.models import make_model
from testbed.tokenizer import END_TOKEN, FIM, FIM_TOKENS, make_tokenizer

TURN_END = "<|im_end|>"
TOKENIZER = make_tokenizer(control_tokens=(TURN_END, END_TOKEN, *FIM_TOKENS))
PROMPT = replace(FIM, stop_tokens=(FIM_TOKENS[0], END_TOKEN), end_token=END_TOKEN)


def make_instruct_model():
    model = make_model(TOKENIZER.get_vocab_size())
    for config in (model.config, model.generation_config):
        config.eos_token_id = TOKENIZER.token_to_id(TURN_END)
    return model


def save_pruned(folder):
    pruned = SimpleNamespace(
        model=make_instruct_model(),
        tokenizer=TOKENIZER,
        prompt=PROMPT,
        plan=SimpleNamespace(kept_token_ids=[], channels=[], parameters=1),
        plan_summary={},
        calibration=SimpleNamespace(summary=dict),
    )
    save_checkpoint(folder, cast(Any, pruned), [], {})
    return folder


def save_finetuned(folder):
    source = read_artifact(save_pruned(folder.with_name("source")))
    save_reweighted(folder, source, make_instruct_model(), PromptEncoder(TOKENIZER, PROMPT), [], {})
    return folder


@pytest.mark.parametrize("save", [save_pruned, save_finetuned])
def test_other_programs_end_at_what_a_middle_ends_with_too(tmp_path, save):
    """An instruct base's own end is that of a turn, which fine-tuning never teaches."""
    generation = json.loads((save(tmp_path / "model") / "generation_config.json").read_text())
    ends = [TOKENIZER.token_to_id(token) for token in (END_TOKEN, FIM_TOKENS[0], TURN_END)]
    assert generation["eos_token_id"] == ends


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("save", [save_pruned, save_finetuned])
def test_weights_have_the_mode_of_other_files(tmp_path, save):
    """Another account may read it."""
    folder = save(tmp_path / "model")
    (tmp_path / "other").touch()
    assert (folder / "model.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
