"""Fine-tuning on a tiny model: it learns its files, keeps its best, and goes on after a kill as if nothing had been."""

import errno
import itertools
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from builder.corpus.corpus import SourceFile
from builder.corpus.split import Split
from builder.finetuning import finetune as tuning
from builder.finetuning import packed, training_run, training_state
from builder.finetuning import training_data as material
from builder.finetuning.finetune import finetune
from builder.finetuning.finetune_settings import DEVICE_VARIABLE, FinetuneSettings
from builder.finetuning.packed import BY_TORCH, choose_attention
from builder.finetuning.schedule import learning_rate_at, steps_within, validation_steps
from builder.finetuning.training_data import Material, token_weights
from builder.finetuning.training_state import StateFile, Tensors, TrainingProgress
from builder.learning_examples import Example, make_examples
from contract.errors import BuildError, CorpusError
from contract.prompt import PromptEncoder
from submodel.build.build_settings import BuildSettings
from testbed.models import make_model
from testbed.tokenizer import FIM, make_tokenizer
from tests.builder.sample_texts import TEXT

pytestmark = pytest.mark.slow  # each test trains

# Minutes enough for every pass, so that the number of steps does not depend on this machine's speed.
SETTINGS = FinetuneSettings(
    minutes=6,
    rank=4,
    learning_rate=5e-3,
    warmup_steps=2,
    max_passes=8,
    validation_tokens=200,
    least_validations=4,
    least_patience=4,
)


class Killed(Exception):
    pass


def corpus():
    parts: dict[Split, str] = {"calibration": "alpha", "validation": "beta", "held-out": "gamma"}
    return [
        SourceFile(path=f"{name}.py", language="Python", text=TEXT.replace("settings", name), sha256="0", split=split)
        for split, name in parts.items()
    ]


def many_files():
    """Five of two splits, alike but for a name."""
    return [
        SourceFile(
            path=f"{split}_{number}.py",
            language="Python",
            text=12 * TEXT.replace("settings", f"{split}_{number}"),
            sha256="0",
            split=split,
        )
        for split in ("calibration", "validation")
        for number in range(5)
    ]


def test_a_pass_over_much_code_is_limited_and_the_next_one_draws_other_lines(monkeypatch):
    monkeypatch.setattr(material, "MOST_TOKENS", 400)
    encoder, _ = encoder_and_model()
    encoder = PromptEncoder(encoder.tokenizer, encoder.prompt_format.with_window(60, 20))
    limited = Material(many_files(), encoder, SETTINGS)
    passes = [[one.ids for one in limited._pass(number).all()] for number in (0, 1)]
    one_file = 12 * len(encoder.text_ids(TEXT))
    assert all(one_file <= sum(map(len, one)) < 2 * one_file for one in passes)
    assert set(passes[0]) != set(passes[1])
    other = Material(many_files(), encoder, replace(SETTINGS, seed=1))
    assert set(passes[0]) != {one.ids for one in other._pass(0).all()}


def test_only_the_steps_that_are_asked_for_are_made_and_they_are_those_of_whole_passes(monkeypatch):
    """A pass over a large repository takes many seconds to make, and a CPU reads a part of it."""
    encoder, _ = encoder_and_model()
    encoder = PromptEncoder(encoder.tokenizer, encoder.prompt_format.with_window(60, 20))
    settings = replace(SETTINGS, max_passes=2)
    whole = Material(many_files(), encoder, settings)
    passes = [whole._pass(number).all() for number in range(3)]
    made, real = [], PromptEncoder.window

    def window(*arguments):
        made.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(PromptEncoder, "window", window)
    material = Material(many_files(), encoder, settings)
    made.clear()  # those of the validation
    assert material.example(3) == passes[0][3]
    assert material.has_step(7)
    assert 0 < len(made) <= 4
    length = len(passes[0])
    assert list(material.steps_from(length)) == list(range(length, 2 * length))
    steps = [material.example(step) for step in range(3 * length)]
    assert steps == [passes[number][place % len(passes[number])] for number in range(3) for place in range(length)]


def encoder_and_model():
    tokenizer = make_tokenizer()
    torch.manual_seed(3)
    return PromptEncoder(tokenizer, FIM), make_model(tokenizer.get_vocab_size())


def run(tmp_path, name="state", stage_hash="k", files=None, settings=SETTINGS, **callbacks):
    encoder, model = encoder_and_model()
    state = StateFile(path=tmp_path / name, stage_hash=stage_hash)
    return finetune(model, encoder, files or corpus(), settings, state=state, **callbacks)


def weighted_loss(model, examples, middle_weight):
    """The mean of the tokens' losses by their weights, each sequence by itself."""
    total = weight = 0.0
    for example in examples:
        logits = model(torch.tensor([list(example.ids)])).logits[0, :-1]
        nats = torch.nn.functional.cross_entropy(logits, torch.tensor(example.ids[1:]), reduction="none")
        weights = token_weights(example, middle_weight)
        total, weight = total + float((nats * weights).sum()), weight + float(weights.sum())
    return total / weight


@torch.no_grad()
def test_a_step_and_a_validation_weigh_middles_more(tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "PASS_TOKENS", 1)  # several passes a validation
    settings = replace(SETTINGS, steps=1, middle_weight=50.0, validation_tokens=2000)
    with torch.enable_grad():
        before, after = run(tmp_path, settings=settings).summary["curve"]
    encoder, model = encoder_and_model()
    files = Material(corpus(), encoder, settings)
    assert len(files.validation) > 1
    for loss, examples in ((before["validation"], files.validation), (after["training"], [files.example(0)])):
        assert loss == pytest.approx(weighted_loss(model, examples, 50.0), rel=1e-5)
        assert loss != pytest.approx(weighted_loss(model, examples, 1.0), rel=1e-4)


def test_it_learns_and_leaves_a_plain_model(tmp_path):
    encoder, before = encoder_and_model()
    finetuned = run(tmp_path)
    losses = finetuned.summary["validation_loss"]
    assert losses["after"] < losses["before"] - 0.05
    assert type(finetuned.model) is type(before)
    assert finetuned.model.state_dict().keys() == before.state_dict().keys()
    # The loss that is reported is that of the merged model.
    examples = make_examples([corpus()[1]], encoder, SETTINGS.validation_tokens, SETTINGS.seed)
    loss = weighted_loss(finetuned.model, examples, SETTINGS.middle_weight)
    assert loss == pytest.approx(losses["after"], rel=1e-3)


@pytest.mark.parametrize("is_faster", [False, True])
def test_it_learns_in_bf16(tmp_path, monkeypatch, is_faster):
    """By torch's attention and by ours."""
    monkeypatch.setattr(packed, "is_faster_here", lambda *_: is_faster)
    encoder, model = encoder_and_model()
    state = StateFile(path=tmp_path / "s", stage_hash="k")
    finetuned = finetune(model.bfloat16(), encoder, corpus(), SETTINGS, state=state)
    losses = finetuned.summary["validation_loss"]
    assert losses["before"] is not None and losses["after"] is not None
    assert losses["after"] < losses["before"] - 0.05
    assert len({entry["validation"] for entry in finetuned.summary["curve"]}) > 2, "each step changes the weights"


def run_by_clock(tmp_path, monkeypatch, seconds_of, *, copies, minutes, warmup_steps):
    """The summary of a run by a clock of its own.

    seconds_of: how long a pass takes, of the training passes so far, whether it is one, and its tokens.
    """
    now, passes, real = [0.0], [0], training_run.packed_nats  # type: ignore[attr-defined]

    def packed_nats(model, sequences, device):
        passes[0] += model.training
        now[0] += seconds_of(passes[0], model.training, sum(map(len, sequences)))
        return real(model, sequences, device)

    monkeypatch.setattr(training_run, "packed_nats", packed_nats)
    monkeypatch.setattr(training_run, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    first, *others = corpus()
    files = [replace(first, path=f"{number}.py") for number in range(copies)] + others
    return run(tmp_path, files=files, settings=replace(SETTINGS, minutes=minutes, warmup_steps=warmup_steps)).summary


def test_the_minutes_are_used_up_though_what_runs_first_takes_longer(tmp_path, monkeypatch):
    """A token takes a hundredth of a second, four times that in the first pass and step."""
    seen = set()

    def seconds_of(passes, is_training, tokens):
        is_first = is_training not in seen
        seen.add(is_training)
        return tokens / 100 * (4 if is_first else 1)

    monkeypatch.setattr(training_run, "PASS_TOKENS", 1)  # several passes a validation, as of whole windows
    summary = run_by_clock(tmp_path, monkeypatch, seconds_of, copies=20, minutes=2, warmup_steps=4)
    assert 4 < summary["steps"] < 8 * 20
    assert summary["minutes"] == pytest.approx(2, rel=0.07)


@pytest.mark.parametrize(("later", "stall"), [(0.7, 0.0), (1.4, 0.0), (1.0, 300.0)])
def test_the_minutes_are_used_up_though_the_machine_changes_or_stands_still(tmp_path, monkeypatch, later, stall):
    """After ten steps a token takes `later` times as long; the third step stalls."""

    def seconds_of(passes, is_training, tokens):
        return tokens / 100 * (later if passes > 10 else 1) + stall * (passes == 3)

    summary = run_by_clock(tmp_path, monkeypatch, seconds_of, copies=40, minutes=3, warmup_steps=4)
    assert 10 < summary["steps"] < 8 * 40
    assert summary["minutes"] - stall / 60 == pytest.approx(3, rel=0.15)


def test_on_a_slow_machine_the_rate_rises_and_falls_within_few_steps(tmp_path, monkeypatch):
    """A step takes twelve seconds of the two minutes."""
    rates = []

    def noted_rate(step, total, *, peak, warmup):
        rates.append(learning_rate_at(step, total, peak=1.0, warmup=warmup))
        return peak * rates[-1]

    monkeypatch.setattr(training_run, "learning_rate_at", noted_rate)

    def seconds_of(passes, is_training, tokens):
        return 12 * is_training

    run_by_clock(tmp_path, monkeypatch, seconds_of, copies=20, minutes=2, warmup_steps=8)
    assert len(rates) == 9, "all but one of ten: the plan goes by tokens, and here each step takes as long"
    assert rates[:3] == [1 / 8, 2 / 8, 1.0], "the plan is made after a fifth of the minutes"
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 0.2


@pytest.mark.parametrize("passes", [1, 3])
def test_a_file_of_few_lines_is_learned_from(tmp_path, monkeypatch, passes):
    """Its passes have one step each, fewer than the warm-up: each is taken once, and the last at a low rate."""
    rates = []

    def noted_rate(step, total, *, peak, warmup):
        rates.append(learning_rate_at(step, total, peak=1.0, warmup=warmup))
        return peak * rates[-1]

    monkeypatch.setattr(training_run, "learning_rate_at", noted_rate)
    few = [replace(file, text="def compute(value):\n    return value + 1\n") for file in corpus()]
    settings = replace(SETTINGS, minutes=2, warmup_steps=8, max_passes=passes)
    summary = run(tmp_path, files=few, settings=settings).summary
    assert summary["steps"] == len(rates) == passes
    assert summary["curve"][-1]["step"] == passes
    assert rates[0] == max(rates)
    assert rates[-1] < 0.6 or passes == 1


def test_steps_that_are_asked_for_are_taken_whatever_the_time(tmp_path, monkeypatch):
    """Two machines of one kind, one of them busy: the same model."""
    settings = replace(SETTINGS, steps=5)
    assert "steps" not in SETTINGS.to_json()
    quick = run(tmp_path, "quick", settings=settings)
    now = [0.0]

    def slow() -> float:
        now[0] += 100
        return now[0]

    monkeypatch.setattr(training_run, "time", SimpleNamespace(perf_counter=slow))
    busy = run(tmp_path, "busy", settings=settings)
    assert quick.summary["steps"] == busy.summary["steps"] == 5 and quick.summary["minutes"] < busy.summary["minutes"]
    for name, tensor in quick.model.state_dict().items():
        assert torch.equal(busy.model.state_dict()[name], tensor)
    assert run(tmp_path, "all", settings=replace(SETTINGS, steps=10_000)).summary["steps"] < 10_000


@pytest.mark.parametrize("after", [2, 3, 5])  # steps; the first comes right after the number of steps was fixed
def test_a_killed_run_ends_in_the_same_place(tmp_path, monkeypatch, after):
    monkeypatch.setattr(training_run, "SAVE_EVERY_S", 0.0)
    whole = run(tmp_path, "whole")
    assert whole.summary["steps"] > 6

    def die(done, total):
        if done == after:
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path, on_progress=die)
    found = StateFile(path=tmp_path / "state", stage_hash="k").load()
    assert found is not None
    assert bool(found[1]["best"]) == (found[0].best_step > 0), "the start is not written"
    said = []
    resumed = run(tmp_path, on_event=said.append)
    assert "goes on" in said[0]
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], tensor)
    said.clear()
    again = run(tmp_path, on_event=said.append)  # killed after its last step: nothing is trained again
    assert said == [f"Fine-tuning goes on after step {again.summary['steps']} of {again.summary['steps']}"]
    for name, tensor in resumed.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], tensor)
    for entry, other in zip(resumed.summary["curve"], whole.summary["curve"], strict=True):
        assert {**entry, "seconds": 0} == {**other, "seconds": 0}


def test_another_run_s_state_and_a_broken_one_are_not_gone_on_with(tmp_path):
    def die(text):
        raise Killed

    with pytest.raises(Killed):
        run(tmp_path, on_event=die)
    said = []
    run(tmp_path, stage_hash="another", on_event=said.append)
    assert not any("goes on" in text for text in said)
    (tmp_path / "state").write_bytes(b"\x10\0\0\0\0\0\0\0{broken")
    said.clear()
    run(tmp_path, on_event=said.append)
    assert not any("goes on" in text for text in said)


def test_a_state_of_other_factors_is_not_gone_on_with(tmp_path):
    """Each stage hash stays. After an update of peft names or shapes differ; another run may measure another format."""
    settings = replace(SETTINGS, steps=2)
    whole = run(tmp_path, settings=settings)
    state = StateFile(path=tmp_path / "state", stage_hash="k")
    found = state.load()
    assert found is not None
    progress, groups = found
    assert progress.best_step > 0
    own, moments, best = groups["weights"], groups["moments"], groups["best"]
    wider = {name: torch.ones(tensor.shape[0] + 1, *tensor.shape[1:]) for name, tensor in own.items()}
    renamed = {f"new.{name}": tensor for name, tensor in best.items()}
    others: list[tuple[TrainingProgress, Tensors, Tensors, Tensors]] = [
        (progress, wider, moments, best),
        (progress, own, {}, best),
        (progress, own, moments, renamed),
        (replace(progress, dtype="bfloat16"), own, moments, best),
        (replace(progress, is_int8=True), own, moments, best),
    ]
    for other in others:
        state.save(*other)
        said = []
        again = run(tmp_path, settings=settings, on_event=said.append)
        assert not any("goes on" in text for text in said)
        for name, tensor in whole.model.state_dict().items():
            torch.testing.assert_close(again.model.state_dict()[name], tensor)


def test_a_gpu_that_fails_is_named_with_what_to_do(tmp_path, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("out of memory.\nTried to allocate 2.00 GiB.")

    monkeypatch.setattr(tuning, "_train", fail)
    with pytest.raises(torch.OutOfMemoryError):
        run(tmp_path)
    monkeypatch.setattr(tuning, "training_device", lambda: torch.device("cuda"))
    with pytest.raises(BuildError, match=r"The GPU can't fine-tune .*\(out of memory.*; set SUBMODEL_DEVICE=cpu"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "has_gpu", "expected"), [("", True, "cuda"), ("cpu", True, "cpu"), ("", False, "cpu")]
)
def test_the_gpu_is_taken_if_there_is_one_and_the_environment_allows_it(monkeypatch, wanted, has_gpu, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setenv(DEVICE_VARIABLE, wanted)
    assert tuning.training_device().type == expected


def test_another_device_is_refused_before_a_build_begins(monkeypatch, tmp_path):
    monkeypatch.setenv(DEVICE_VARIABLE, "mps")
    with pytest.raises(BuildError, match="SUBMODEL_DEVICE is 'mps'; set it to cpu"):
        BuildSettings(repository=tmp_path, output=tmp_path / "out")


def test_only_the_own_state_is_removed(tmp_path):
    state, other = (StateFile(path=tmp_path / "state", stage_hash=one) for one in ("k", "another"))
    state.save(TrainingProgress(step=3), *({"w": torch.ones(2)} for _ in range(3)))
    other.remove()
    assert state.load() is not None
    state.remove()
    state.remove()
    assert list(tmp_path.iterdir()) == []


def test_held_out_files_are_not_read(tmp_path):
    files = corpus()
    poisoned = [*files[:2], SourceFile(path="x.py", language="Python", text="q" * 5000, sha256="1", split="held-out")]
    left, right = run(tmp_path, "left", files=files), run(tmp_path, "right", files=poisoned)  # each trains by itself
    for name, tensor in left.model.state_dict().items():
        torch.testing.assert_close(right.model.state_dict()[name], tensor)


@pytest.mark.parametrize("losses", [itertools.count(1.0), itertools.repeat(1.0)], ids=["worse", "no better"])
def test_what_gets_no_better_is_not_kept(tmp_path, monkeypatch, losses):

    def validate(run):
        run._pass_seconds.append(0.01)
        return next(losses)

    monkeypatch.setattr(training_run.TrainingRun, "_validate", validate)
    encoder, model = encoder_and_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    settings = replace(SETTINGS, least_patience=2)
    finetuned = finetune(model, encoder, corpus(), settings, state=StateFile(path=tmp_path / "s", stage_hash="k"))
    assert finetuned.summary["kept_step"] == 0
    assert len(finetuned.summary["curve"]) == 3  # before, and two that were no better: it stopped there
    for name, tensor in before.items():
        torch.testing.assert_close(finetuned.model.state_dict()[name], tensor)


def test_middles_count_more():
    assert token_weights(Example(ids=(4, 9, 7, 5, 6, 2), prompt_tokens=3), 3.0).tolist() == [1.0, 1.0, 3.0, 3.0, 3.0]
    assert token_weights(Example(ids=(4, 9, 5), prompt_tokens=0), 3.0).tolist() == [3.0, 3.0]
    assert token_weights(Example(ids=(4, 9, 5), prompt_tokens=3), 3.0).tolist() == [1.0, 1.0]  # plain text


def test_nothing_to_train_on_is_said(tmp_path):
    learned, validated, held_out = corpus()
    with pytest.raises(CorpusError, match="to fine-tune on; add code files, or build with --minutes 0"):
        run(tmp_path, files=[validated, held_out])
    with pytest.raises(CorpusError, match="to validate the fine-tuning on"):
        run(tmp_path, files=[learned, held_out])


@pytest.mark.parametrize("minutes", [-1, float("inf"), float("nan")])
def test_minutes_that_are_no_length_of_time_are_refused(minutes):
    with pytest.raises(BuildError, match="--minutes"):
        FinetuneSettings(minutes=minutes)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_a_state_that_a_stranger_left_is_not_waited_for(tmp_path):
    state = StateFile(path=tmp_path / "s", stage_hash="k")
    os.mkfifo(state.path)
    assert state.load() is None
    ours = tmp_path / "ours"
    ours.write_bytes(b"ours")
    state.vouch_for(ours)  # there is a seal, of another file
    assert state.load() is None


def test_the_budget_decides_the_steps():
    assert steps_within(60, itertools.repeat(2.0), least=8) == 30
    assert steps_within(61.5, itertools.repeat(2.0), least=8) == 31, "more than half of it fits"
    assert steps_within(1, itertools.repeat(2.0), least=8) == 8
    assert steps_within(6000, itertools.repeat(2.0, 100), least=8) == 100
    assert steps_within(60, itertools.chain([50.0], itertools.repeat(2.0)), least=0) == 6, "a long step first"
    assert steps_within(60, [2.0], least=8) == 1, "there are no more"


def test_the_rate_rises_then_falls():
    rates = [learning_rate_at(step, 100, peak=1.0, warmup=10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_validation_is_spread_and_comes_last():
    assert validation_steps(40, 4) == {10, 20, 30, 40}
    assert max(validation_steps(7, 3)) == 7
    assert 0 not in validation_steps(2, 8)


def test_a_full_disk_is_an_error_of_the_disk(tmp_path, monkeypatch):
    """safetensors has an exception of its own for it, without a number."""

    def fail(*arguments, **options):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(training_state, "save_file", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        run(tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_with_so_many_steps_no_clock_chooses_the_attention(monkeypatch):
    monkeypatch.setattr(packed, "is_faster_here", lambda *_: True)
    _, model = encoder_and_model()
    assert choose_attention(model.bfloat16(), SETTINGS) != BY_TORCH
    assert choose_attention(model, replace(SETTINGS, steps=5)) == BY_TORCH


def test_products_are_for_the_processor(monkeypatch):
    monkeypatch.setattr(packed, "is_faster_here", lambda *_: True)
    _, model = encoder_and_model()
    assert choose_attention(model.bfloat16().to("meta"), SETTINGS) == BY_TORCH
