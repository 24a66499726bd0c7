from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from contract.bundle.bundle import Bundle
from contract.bundle.drafts import FILES, FOLDER, build_index, write_index
from contract.documents import FileFacts, Manifest
from contract.errors import BundleError
from lsp_server.decoding import kv_cache
from lsp_server.decoding.decoder import MAX_CHUNK, PROMPT_CHUNK, ChunkSize
from lsp_server.decoding.engine import Engine, FinishReason, Generation
from lsp_server.decoding.kv_cache import GROWTH_POSITIONS
from lsp_server.decoding.speculation import NO_DRAFT, Draft, Drafter
from lsp_server.serve_errors import EngineCrash, ServeError


@pytest.fixture(scope="module")
def engine(tiny_bundle: Bundle) -> Engine:
    return Engine(tiny_bundle, threads=1)


@pytest.fixture(scope="module")
def session(tiny_bundle: Bundle) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(tiny_bundle.model_path), providers=["CPUExecutionProvider"])


def naive_logits(session: onnxruntime.InferenceSession, token_ids: Sequence[int]) -> np.ndarray:
    """The same graph over the whole sequence at once, without any past."""
    feeds = {"input_ids": np.array([token_ids]), "attention_mask": np.ones((1, len(token_ids)), np.int64)}
    for value in session.get_inputs():
        if value.name.startswith("past_key_values"):
            feeds[value.name] = np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
    logits: np.ndarray = session.run(["logits"], feeds)[0][0]
    return logits


def naive_answer(session: onnxruntime.InferenceSession, prompt_ids: Sequence[int], count: int) -> list[int]:
    token_ids = list(prompt_ids)
    for _ in range(count):
        token_ids.append(int(naive_logits(session, token_ids)[-1].argmax()))
    return token_ids[len(prompt_ids) :]


def script(monkeypatch: pytest.MonkeyPatch, engine: Engine, token_ids: Sequence[int]) -> None:
    """Let the model answer `token_ids` whatever it is asked."""
    engine.memory.clear()
    feed = engine.decoder.feed
    wanted = iter(token_ids)

    def scripted_feed(tokens: Sequence[int], keep: int = 1) -> np.ndarray:
        logits = np.zeros_like(feed(tokens, keep=keep))
        logits[0, next(wanted)] = 1
        return logits

    monkeypatch.setattr(engine.decoder, "feed", scripted_feed)
    monkeypatch.setattr(engine, "drafter", None)  # a token a step


def after(calls: int) -> Callable[[], bool]:
    """A stop callback that says True from its call number `calls` on."""
    asked = iter(range(1000))
    return lambda: next(asked) >= calls


def answer(engine: Engine, prompt: str, **options: object) -> Generation:
    return engine.generate(engine.encoder.text_ids(prompt), **options)  # type: ignore[arg-type]


def test_greedy_answer_equals_recomputing_everything(engine: Engine, session: onnxruntime.InferenceSession) -> None:
    prompt_ids = engine.encoder.text_ids("def shape(self):\n    return ")
    generation = engine.generate(prompt_ids, max_new_tokens=20)
    assert list(generation.token_ids) == naive_answer(session, prompt_ids, 20)
    assert len(set(generation.token_ids)) > 5, "a model that repeats one token shows nothing"


def test_probabilities_are_those_of_the_softmax(engine: Engine, session: onnxruntime.InferenceSession) -> None:
    prompt_ids = engine.encoder.text_ids("def shape(self):\n    return ")
    generation = engine.generate(prompt_ids, max_new_tokens=5, lines=None)
    logits = naive_logits(session, [*prompt_ids, *generation.token_ids]).astype(np.float64)[len(prompt_ids) - 1 : -1]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = [shares[index, token] for index, token in enumerate(generation.token_ids)]
    np.testing.assert_allclose(generation.probabilities, expected, rtol=1e-3)


EDITS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 5), st.lists(st.integers(0, 399), max_size=8)), max_size=8
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.lists(st.integers(0, 399), min_size=1, max_size=300), edits=EDITS)
def test_kept_cache_changes_no_answer(
    engine: Engine, session: onnxruntime.InferenceSession, start: list[int], edits: list[tuple[int, int, list[int]]]
) -> None:
    prompt_ids = start
    for place, removed, added in edits:
        engine.generate(prompt_ids, max_new_tokens=3, lines=None)
        place = min(place, len(prompt_ids))
        prompt_ids = [*prompt_ids[:place], *added, *prompt_ids[place + removed :]] or [0]
    generation = engine.generate(prompt_ids, max_new_tokens=4, lines=None)
    expected = naive_answer(session, prompt_ids, len(generation.token_ids))
    assert list(generation.token_ids) == expected


def test_only_what_changed_is_computed(engine: Engine) -> None:
    prompt_ids = list(range(100))
    engine.generate(prompt_ids, max_new_tokens=1)
    assert engine.generate(prompt_ids, max_new_tokens=1).computed_tokens == 0
    assert engine.generate([*prompt_ids, 7, 8], max_new_tokens=1).computed_tokens == 2
    assert engine.generate(prompt_ids[:60], max_new_tokens=1).computed_tokens == 1
    assert engine.generate([*prompt_ids[:50], 399, *prompt_ids[51:]], max_new_tokens=1).computed_tokens == 50


def test_prompt_longer_than_the_first_buffer(engine: Engine, session: onnxruntime.InferenceSession) -> None:
    start = [3 * i % 256 for i in range(GROWTH_POSITIONS - 20)]
    engine.generate(start, max_new_tokens=1)
    prompt_ids = [*start, *(i % 256 for i in range(GROWTH_POSITIONS))]
    generation = engine.generate(prompt_ids, max_new_tokens=2, lines=None)
    assert list(generation.token_ids) == naive_answer(session, prompt_ids, 2)
    assert generation.computed_tokens == GROWTH_POSITIONS


class Oracle(Drafter):
    """Drafts what the test says, right or wrong."""

    def __init__(self, tokens: Sequence[int]) -> None:
        super().__init__()
        self.tokens = list(tokens)

    def propose(self, tokens: Sequence[int], room: int, *, only_answers: bool = False) -> Draft:
        return Draft(tokens=tuple(self.tokens[:room]), source=("context", 4)) if self.tokens and room > 0 else NO_DRAFT


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 399), min_size=1, max_size=60), st.integers(0, 6), st.lists(st.integers(0, 399), max_size=4)
)
def test_drafts_change_no_answer(
    engine: Engine, session: onnxruntime.InferenceSession, prompt_ids: list[int], right: int, wrong: list[int]
) -> None:
    expected = naive_answer(session, prompt_ids, 9)
    drafter = engine.drafter
    try:
        engine.drafter = Oracle([*expected[:right], *wrong])  # right in the first step, mostly wrong later
        generation = engine.generate(prompt_ids, max_new_tokens=9, lines=None)
    finally:
        engine.drafter = drafter
    assert list(generation.token_ids) == expected[: len(generation.token_ids)]
    following = engine.generate([*prompt_ids, 7], max_new_tokens=3, lines=None)  # the cache holds nothing wrong
    again = naive_answer(session, [*prompt_ids, 7], 3)
    assert list(following.token_ids) == again[: len(following.token_ids)]


def test_right_drafts_save_steps(engine: Engine, session: onnxruntime.InferenceSession, monkeypatch) -> None:
    prompt_ids = engine.encoder.text_ids("def shape(self):\n    return ")
    expected = naive_answer(session, prompt_ids, 12)
    calls: list[int] = []
    feed = engine.decoder.feed
    monkeypatch.setattr(
        engine.decoder, "feed", lambda tokens, keep=1: calls.append(len(tokens)) or feed(tokens, keep=keep)
    )
    monkeypatch.setattr(engine, "drafter", Oracle(expected[:11]))
    engine.memory.clear()
    assert list(engine.generate(prompt_ids, max_new_tokens=12).token_ids) == expected
    assert calls == [len(prompt_ids) + 11]  # the prompt and the whole draft in one step


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 5])
def test_cancelled_anywhere_the_next_answer_is_right(
    engine: Engine, session: onnxruntime.InferenceSession, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    prompt_ids = [5 * i % 251 for i in range(2 * PROMPT_CHUNK + 50)]  # three chunks
    engine.memory.clear()
    monkeypatch.setattr(engine, "drafter", None)
    monkeypatch.setattr(engine.decoder, "chunk", ChunkSize())
    monkeypatch.setattr(engine.decoder.chunk, "observe", lambda tokens, seconds: None)
    cancelled = engine.generate(prompt_ids, max_new_tokens=10, lines=None, stop=after(calls))
    assert cancelled.finish is FinishReason.CANCELLED
    assert cancelled.computed_tokens == min(calls * PROMPT_CHUNK, len(prompt_ids))
    assert len(cancelled.token_ids) == max(0, calls - 3)
    following = engine.generate(prompt_ids, max_new_tokens=4, lines=None)
    assert list(following.token_ids) == naive_answer(session, prompt_ids, 4)
    assert following.computed_tokens == max(0, len(prompt_ids) - calls * PROMPT_CHUNK)


def test_chunks_take_as_long_as_a_cancelled_request_may_wait() -> None:
    chunk = ChunkSize()
    assert chunk.tokens == PROMPT_CHUNK
    for _ in range(20):
        chunk.observe(chunk.tokens, chunk.tokens / 1250)  # tokens a second
    assert chunk.tokens == pytest.approx(250, abs=2)
    chunk.observe(8, 1.0)  # a short one says nothing
    assert chunk.tokens == pytest.approx(250, abs=2)
    for _ in range(20):
        chunk.observe(chunk.tokens, chunk.tokens / 100)
    assert chunk.tokens == pytest.approx(PROMPT_CHUNK // 2, abs=1)
    for _ in range(20):
        chunk.observe(chunk.tokens, chunk.tokens / 1e6)
    assert chunk.tokens == pytest.approx(MAX_CHUNK, abs=1)


def test_failure_of_the_runtime_leaves_no_stale_cache(engine: Engine, session: onnxruntime.InferenceSession) -> None:
    prompt_ids = list(range(30))
    engine.generate(prompt_ids, max_new_tokens=1)
    with pytest.raises(ServeError, match="model failed"):
        engine.generate([*prompt_ids, 10**6], max_new_tokens=1)  # no such row in the embedding
    assert list(engine.generate(prompt_ids, max_new_tokens=3).token_ids) == naive_answer(session, prompt_ids, 3)


@pytest.mark.parametrize("reported", ["Failed to allocate memory for requested buffer of size 8", "std::bad_alloc"])
def test_a_lack_of_memory_is_no_fault_of_the_bundle(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, reported: str
) -> None:
    class Session:
        def run_with_iobinding(self, *_: object) -> None:
            raise RuntimeException(reported)

    monkeypatch.setattr(engine.decoder, "_session", Session())
    engine.memory.clear()
    with pytest.raises(EngineCrash, match=reported):
        engine.generate([5, 6, 7], max_new_tokens=1)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("start", ["", "ab"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_an_error_and_leave_nothing_in_the_cache(
    engine: Engine, session: onnxruntime.InferenceSession, monkeypatch: pytest.MonkeyPatch, start: str, number: float
) -> None:
    feed, prompt_ids = engine.decoder.feed, list(range(30))
    with monkeypatch.context() as patch:
        patch.setattr(engine.decoder, "feed", lambda tokens, keep=1: np.full_like(feed(tokens, keep=keep), number))
        with pytest.raises(ServeError, match="no finite numbers"):
            engine.generate(prompt_ids, max_new_tokens=3, start=start)
    assert engine.known_tokens(prompt_ids) == 0
    assert list(engine.generate(prompt_ids, max_new_tokens=3).token_ids) == naive_answer(session, prompt_ids, 3)


@pytest.mark.parametrize("where", ["the keys and values", "the logits"])
def test_a_lack_of_memory_for_buffers_is_a_crash(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The service then drops the engine, whose state is unknown, and loads it again."""

    def fail(*_: object) -> NoReturn:
        raise {
            "the keys and values": OSError(errno.ENOMEM, "Cannot allocate memory"),
            "the logits": MemoryError(),
        }[where]

    engine = Engine(tiny_bundle, threads=1)
    if where == "the logits":
        monkeypatch.setattr(engine.decoder, "_bind_logits", fail)
    else:
        monkeypatch.setattr(kv_cache, "_pages", fail)
    with pytest.raises(EngineCrash, match=r"memory|MemoryError"):
        engine.generate([5, 6, 7], max_new_tokens=1)


def test_answer_ends_before_the_newline(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    token_ids = engine.encoder.text_ids("return x\n    pass")
    script(monkeypatch, engine, token_ids)
    generation = answer(engine, "def f(x):\n    ")
    assert (generation.text, generation.finish) == ("return x", FinishReason.LINES)


@pytest.mark.parametrize("token", ["<|end|>", "<|prefix|>", "<|suffix|>", "<|middle|>"])
def test_control_token_ends_the_answer_and_is_not_in_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    control_id = engine.encoder.tokenizer.token_to_id(token)
    script(monkeypatch, engine, [*engine.encoder.text_ids("abc"), control_id, *engine.encoder.text_ids("def")])
    generation = answer(engine, "x = ")
    assert (generation.text, generation.finish) == ("abc", FinishReason.CONTROL_TOKEN)
    assert control_id not in generation.token_ids


def test_half_a_character_is_never_shown(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    token_ids = engine.encoder.text_ids("é𝕏")
    assert len(token_ids) == 6, "each byte is a token of its own"
    shown = []
    for count in range(len(token_ids) + 1):
        with monkeypatch.context() as patch:
            script(patch, engine, token_ids)
            shown.append(answer(engine, "x = ", max_new_tokens=count).text)
    assert shown == ["", "", "é", "é", "é", "é", "é𝕏"]


def test_bytes_that_are_no_character_end_the_answer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    lead_byte = engine.encoder.text_ids("é")[0]
    script(monkeypatch, engine, [*engine.encoder.text_ids("ab"), lead_byte, *engine.encoder.text_ids("cd")])
    generation = answer(engine, "x = ")
    assert (generation.text, generation.finish) == ("ab", FinishReason.BROKEN_TEXT)


def test_length_is_bounded_by_the_limit_and_by_the_positions(engine: Engine) -> None:
    assert len(answer(engine, "x = ", max_new_tokens=5).token_ids) == 5
    assert answer(engine, "x = ", max_new_tokens=5).finish is FinishReason.LENGTH
    prompt_ids = [i % 256 for i in range(engine.max_positions - 2)]
    assert len(engine.generate(prompt_ids, max_new_tokens=10, lines=None).token_ids) == 2
    with pytest.raises(ServeError, match="2048 positions"):
        engine.generate([0] * engine.max_positions)
    with pytest.raises(ServeError, match="empty prompt"):
        engine.generate([])


@pytest.mark.parametrize("read", [0, 1000])
def test_a_draft_fits_into_the_positions_that_are_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    prompt_ids = [i % 256 for i in range(engine.max_positions - 3)]
    monkeypatch.setattr(engine, "drafter", Oracle(range(8)))
    engine.memory.clear()
    if read:
        engine.read(prompt_ids[:read])
    assert len(engine.generate(prompt_ids, max_new_tokens=10, lines=None).token_ids) == 3


def test_all_logits_are_those_of_the_whole_sequence(engine: Engine, session: onnxruntime.InferenceSession) -> None:
    token_ids = [7 * i % 256 for i in range(2 * PROMPT_CHUNK + 3)]
    np.testing.assert_allclose(engine.all_logits(token_ids), naive_logits(session, token_ids), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("unlisted", [None, *FILES])
def test_drafts_that_the_manifest_does_not_list_are_not_read(
    tiny_bundle: Bundle, tmp_path: Path, unlisted: str | None
) -> None:
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    write_index(build_index([list(range(100))]), folder / FOLDER)
    nobody_checks = FileFacts(bytes=0, sha256="")
    files = {f"{FOLDER}/{name}": nobody_checks for name in FILES if name != unlisted}
    manifest: Manifest = {**tiny_bundle.manifest, "files": {**tiny_bundle.manifest["files"], **files}}
    graph = folder / tiny_bundle.model_path.relative_to(tiny_bundle.folder)
    engine = Engine(replace(tiny_bundle, folder=folder, model_path=graph, manifest=manifest), threads=1)
    assert engine.drafter is not None
    draft = engine.drafter.recall([5, 6, 7, 8], 2)
    assert draft.tokens == (() if unlisted else (9, 10))


def test_files_of_the_wrong_kind(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not named as an ONNX graph"):
        Engine(replace(tiny_bundle, model_path=tiny_bundle.tokenizer_path))
    bare = tmp_path / "model.onnx"
    bare.write_bytes(b"\x08\x08")  # a version, and nothing else
    with pytest.raises(ServeError, match="can't load"):
        Engine(replace(tiny_bundle, folder=tmp_path, model_path=bare))
    with pytest.raises(ServeError, match="is no tokenizer"):
        Engine(replace(tiny_bundle, tokenizer_path=tiny_bundle.model_path))
