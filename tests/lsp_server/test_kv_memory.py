"""Several places in the memory of keys and values, and prompts that are read before anybody asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.bundle.bundle import Bundle
from contract.prompt import shared_prefix
from contract.runtime_errors import RUNTIME_ERRORS
from lsp_server.decoding import kv_cache
from lsp_server.decoding.decoder import AHEAD_S, CHUNK_S, MIN_AHEAD, PROMPT_CHUNK, ChunkSize
from lsp_server.decoding.engine import Engine, Generation
from lsp_server.decoding.kv_cache import GROWTH_POSITIONS, KvCache, KvMemory
from lsp_server.serve_errors import ServeError

PLACES = [[(7 * i + 31 * place) % 251 for i in range(120 + 60 * place)] for place in range(4)]
SHARED = [[*range(40), *place] for place in PLACES]  # the same 40 tokens in front


@pytest.fixture(scope="module")
def engine(tiny_bundle: Bundle) -> Engine:
    return Engine(tiny_bundle, threads=1)


def fresh_answer(bundle: Bundle, prompt_ids: Sequence[int]) -> Generation:
    return Engine(bundle, threads=1).generate(prompt_ids, max_new_tokens=6, lines=None)


def after(calls: int) -> list[bool]:
    return [False] * calls + [True] * 100


def new_cache() -> KvCache:
    return KvCache(layers=1, kv_heads=1, head_dim=2, max_positions=4 * GROWTH_POSITIONS)


def hold(memory: KvMemory, prompt_ids: Sequence[int]) -> KvCache:
    """As the engine reads a prompt, without a model."""
    cache = memory.take(prompt_ids, len(prompt_ids))
    cache.reserve(len(prompt_ids))
    cache.tokens = list(prompt_ids)
    return cache


@pytest.mark.parametrize("places", [PLACES, SHARED], ids=["nothing shared", "40 tokens shared"])
def test_going_back_to_a_place_computes_nothing(tiny_bundle: Bundle, places: list[list[int]]) -> None:
    engine = Engine(tiny_bundle, threads=1)
    expected = [fresh_answer(tiny_bundle, place) for place in places]
    for _ in range(2):
        for place, answer in zip(places, expected, strict=True):
            found = engine.generate(place, max_new_tokens=6, lines=None)
            assert found.token_ids == answer.token_ids
            assert found.probabilities == pytest.approx(answer.probabilities, rel=1e-4)
    assert [engine.generate(place, max_new_tokens=1).computed_tokens for place in places] == [0] * len(places)


def test_an_answer_begins_without_a_step_where_tokens_were_generated(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny_bundle, threads=1)
    monkeypatch.setattr(engine, "drafter", None)
    feed, read = engine.decoder.feed, []
    monkeypatch.setattr(
        engine.decoder, "feed", lambda tokens, keep=1: read.append(len(tokens)) or feed(tokens, keep=keep)
    )
    first = engine.generate(PLACES[0], max_new_tokens=6, lines=None)
    for count in (5, 2, 0):  # the user goes back in what was generated
        del read[:]
        found = engine.generate([*PLACES[0], *first.token_ids[:count]], max_new_tokens=6 - count, lines=None)
        assert found.token_ids == first.token_ids[count:]
        assert found.probabilities == pytest.approx(first.probabilities[count:], rel=1e-4)
        assert read == [1] * (6 - count - 1)


def test_logits_are_kept_of_some_tokens_and_forgotten_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = new_cache()
    rows = np.arange(6, dtype=np.float32).reshape(6, 1)
    monkeypatch.setattr(kv_cache, "MAX_LOGITS_BYTES", 4 * rows[0].nbytes)
    cache.reserve(10)
    cache.tokens = [7] * 10
    cache.keep_logits(5, rows)
    assert [cache.logits_after(count) for count in range(5, 11)] == [None, None, *rows[2:]]
    rows[5] = 99
    assert cache.logits_after(10) == 5, "a copy: the decoder writes to its own"
    other = new_cache()
    other.copy_start(cache, 8)
    for kept in (other, cache):
        kept.keep(8)
        kept.tokens += [1, 2]
        assert [kept.logits_after(count) for count in (7, 8, 9, 10)] == [2, 3, None, None]


def test_a_cache_whose_buffers_moved_is_bound_again(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model fails in a fresh cache, which then copies what it shares with a longer place and grows."""
    engine = Engine(tiny_bundle, threads=1)
    long = [token % 251 for token in range(3 * GROWTH_POSITIONS)]
    engine.read(long)
    run = engine.decoder._session.run_with_iobinding

    def fail(*arguments: object) -> None:
        raise RUNTIME_ERRORS[0]("out of memory")

    monkeypatch.setattr(engine.decoder._session, "run_with_iobinding", fail)
    with pytest.raises(ServeError):
        engine.read([250, 249, 248])
    monkeypatch.setattr(engine.decoder._session, "run_with_iobinding", run)
    like = [*long[: GROWTH_POSITIONS + 100], 250, 249]
    found = engine.generate(like, max_new_tokens=6, lines=None)
    assert found.computed_tokens < 10
    assert found.token_ids == fresh_answer(tiny_bundle, like).token_ids


def test_what_places_share_is_copied(engine: Engine) -> None:
    engine.memory.clear()
    computed = [engine.generate(place, max_new_tokens=1).computed_tokens for place in SHARED]
    assert computed == [len(SHARED[0]), *(len(place) - 40 for place in SHARED[1:])]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 300), st.lists(st.integers(0, 399), max_size=4), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_answers_are_those_of_a_fresh_engine(
    engine: Engine, tiny_bundle: Bundle, moves: list[tuple[int, int, list[int], bool]]
) -> None:
    for place, end, typed, is_read_ahead in moves:
        prompt_ids = [*SHARED[place][:end], *typed]
        if is_read_ahead:
            engine.read(prompt_ids)
        else:
            engine.generate(prompt_ids, max_new_tokens=3, lines=None)
    found = engine.generate(prompt_ids, max_new_tokens=6, lines=None)
    assert found.token_ids == fresh_answer(tiny_bundle, prompt_ids).token_ids


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4])
def test_reading_that_is_given_up_keeps_what_it_has_read(
    engine: Engine, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    prompt_ids = [5 * i % 251 for i in range(200)]
    engine.memory.clear()
    monkeypatch.setattr(engine.decoder, "chunk", ChunkSize())
    monkeypatch.setattr(engine.decoder.chunk, "observe", lambda tokens, seconds: None)
    expected = min(calls * PROMPT_CHUNK // 2, len(prompt_ids))
    assert engine.read(prompt_ids, iter(after(calls)).__next__) == expected
    answer = engine.generate(prompt_ids, max_new_tokens=6, lines=None)
    assert answer.computed_tokens == len(prompt_ids) - expected
    assert answer.token_ids == fresh_answer(tiny_bundle, prompt_ids).token_ids


def test_what_is_known_is_not_read_again(engine: Engine) -> None:
    engine.memory.clear()
    assert engine.reading_s(PLACES[0]) == pytest.approx(engine.decoder.chunk.seconds(len(PLACES[0])))
    assert engine.read(PLACES[0]) == len(PLACES[0])
    assert engine.read(PLACES[0]) == 0
    assert engine.reading_s(PLACES[0]) == 0
    with pytest.raises(ServeError, match="empty prompt"):
        engine.read([])
    with pytest.raises(ServeError, match="2048 positions"):
        engine.read([0] * engine.max_positions)


def test_the_memory_of_all_places_is_bounded(tiny_bundle: Bundle) -> None:
    of_a_token = 2 * 2 * 2 * 16 * 4  # layers · (key, value) · heads · head_dim · bytes
    most = (len(PLACES[1]) + len(PLACES[2]) + 100) * of_a_token  # with their answers, but without a third place
    engine = Engine(tiny_bundle, threads=1, kv_bytes=most)
    for place in PLACES[:3]:
        engine.generate(place, max_new_tokens=3, lines=None)
        assert engine.memory.bytes <= most
    assert [engine.memory.known(place) for place in PLACES[1:3]] == [len(place) for place in PLACES[1:3]]
    assert engine.memory.known(PLACES[0]) == 0, "the least recently used place is forgotten"
    long = [11 * i % 251 for i in range(1200)]
    assert engine.generate(long, max_new_tokens=1).computed_tokens == len(long)
    assert len(engine.memory) == 1, "one place may take more than all should"


PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=30)


@settings(max_examples=200)
@given(prompts=PROMPTS, places=st.integers(1, 5))
def test_the_cache_that_is_chosen(prompts: list[list[int]], places: int) -> None:
    first = new_cache()
    max_bytes = first.bytes_for(12 * places)
    memory = KvMemory(first, max_bytes=max_bytes)
    used: list[KvCache] = []
    for prompt_ids in prompts:
        before = {id(cache): list(cache.tokens) for cache in used}
        most = max((shared_prefix(tokens, prompt_ids) for tokens in before.values()), default=0)
        assert memory.known(prompt_ids) == most
        chosen = memory.take(prompt_ids, len(prompt_ids))
        assert chosen.tokens == prompt_ids[:most], "the longest known start, and nothing else"
        if 2 * most < len(before.get(id(chosen), [])):
            raise AssertionError("another place was overwritten")
        chosen.reserve(len(prompt_ids))
        chosen.tokens = list(prompt_ids)
        used = [*(cache for cache in used if cache is not chosen), chosen]
        while sum(cache.bytes for cache in used) > max_bytes:
            del used[0]  # the least recently used are forgotten, and no other
        assert len(memory) == len(used)
        assert memory.bytes <= max_bytes
        for cache in used:
            assert memory.known([*cache.tokens, 9]) == len(cache.tokens)


def test_chunks_that_are_read_ahead_are_shorter() -> None:
    chunk = ChunkSize()
    assert chunk.take_ahead(1000) == PROMPT_CHUNK * AHEAD_S / CHUNK_S
    assert chunk.take_ahead(10) == 10
    assert chunk.seconds(2 * PROMPT_CHUNK) == pytest.approx(2 * CHUNK_S)
    for _ in range(20):
        chunk.observe(chunk.tokens, chunk.tokens / 100)  # tokens a second
    assert chunk.take_ahead(1000) == MIN_AHEAD
    assert chunk.seconds(100) == pytest.approx(1, rel=0.01)
