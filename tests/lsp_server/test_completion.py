from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.artifact import PARITY_PROMPTS
from builder.checkpoint_writer import write_prompts
from builder.fim_examples import FimExample
from builder.learning_examples import make_examples
from contract.bundle.bundle import Bundle
from contract.errors import BundleError
from contract.prompt import ContextSnippet, PromptEncoder, shared_prefix
from lsp_server.completion import Completer, _Confidence, open_completer
from lsp_server.decoding.engine import LINE_TOKENS, Engine, FinishReason, Generation
from lsp_server.options import PATIENT, WHEN_ASKED, FilterOptions, ServerOptions, ThresholdOptions, TriggerOptions
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.refine import refine, without_begun_word
from testbed.tokenizer import FILE_TOKEN, FIM, FIM_TOKENS, make_tokenizer

PARTS = ("prefix", "suffix", "middle")
# No stall of the machine cuts an answer of a real engine, or makes its prompt short.
# The tiny model is sure of nothing.
UNTIMED = ServerOptions(
    trigger=TriggerOptions(budget_ms=60_000, cold_ms=60_000), threshold=ThresholdOptions(confidence=0)
)
NOT_HEALED = ServerOptions(filters=FilterOptions(healing=False))  # answers then begin at the cursor
CODE = "def area(self):\n    return self.width * self.height\n\n\ndef perimeter(self):\n    return "


class FixedEngine:
    """Answers every prompt with the same text, and keeps what it was asked."""

    def __init__(self, encoder: PromptEncoder, text: str, max_positions: int = 2048) -> None:
        self.encoder = encoder
        self.max_positions = max_positions
        self.can_heal = True
        self.prompts: list[list[int]] = []
        self.token_s = 0.0  # how long it reads a token
        self.read_ahead: list[list[int]] = []
        self._answer = Generation(
            text=text,
            token_ids=(1, 2),
            probabilities=(0.9, 0.9),
            prompt_tokens=1,
            computed_tokens=1,
            milliseconds=1,
            finish=FinishReason.LINES,
        )

    def generate(self, prompt_ids: Sequence[int], **_: object) -> Generation:
        self.prompts.append(list(prompt_ids))
        return self._answer

    def known_tokens(self, prompt_ids: Sequence[int]) -> int:
        return max(shared_prefix(ids, list(prompt_ids)) for ids in ([], *self.read_ahead))

    def reading_s(self, prompt_ids: Sequence[int]) -> float:
        return (len(prompt_ids) - self.known_tokens(prompt_ids)) * self.token_s

    def read(self, prompt_ids: Sequence[int], stop: object) -> int:
        self.read_ahead.append(list(prompt_ids))
        return len(prompt_ids)


@pytest.fixture(scope="module")
def engine(tiny_bundle: Bundle) -> Engine:
    return Engine(tiny_bundle, threads=1)


def at(text: str, offset: int, **fields: Any) -> CompletionRequest:
    return CompletionRequest(text=text, offset=offset, **fields)


def fixed(engine: Engine, text: str = "x", **options: int) -> tuple[Completer, FixedEngine]:
    double = FixedEngine(engine.encoder, text, **options)
    return Completer(double), double  # type: ignore[arg-type]


def test_the_server_asks_as_fine_tuning_taught_and_as_the_builder_scores(tmp_path: Path) -> None:
    """With the file's path in front, wherever a prompt is made."""
    taught = replace(FIM, stop_tokens=(FILE_TOKEN,)).as_taught()
    encoder = PromptEncoder(make_tokenizer(control_tokens=(*FIM_TOKENS, FILE_TOKEN)), taught)
    before, middle, behind = f"{CODE}self.", "width + self.height", "\n\n\ndef scale(self, factor):\n"
    double = FixedEngine(encoder, middle)
    request = at(before + behind, len(before), path="app/shapes.py", options=UNTIMED)
    Completer(double).complete(request)  # type: ignore[arg-type]
    example = FimExample.of_parts(before, middle, behind, path="app/shapes.py", language="Python").as_served(encoder)
    write_prompts(tmp_path, encoder, [example])
    parity = json.loads((tmp_path / PARITY_PROMPTS).read_text())[0]["prompt_ids"]
    assert double.prompts == [example.prompt(encoder)] == [parity]
    learned = next(iter(make_examples([example.file], encoder, 1, 0))).ids
    head = encoder.path_ids("app/shapes.py")
    assert len(head) > 1 and parity[: len(head)] == head == list(learned[: len(head)])
    Completer(double).complete(replace(request, path=""))  # type: ignore[arg-type]
    assert double.prompts[1] == parity[len(head) :]


def test_drafts_of_earlier_answers_change_no_answer(tiny_bundle: Bundle) -> None:
    drafting, plain = Engine(tiny_bundle, threads=1), Engine(tiny_bundle, threads=1)
    plain.drafter = None
    assert drafting.drafter is not None
    options = replace(UNTIMED, max_new_tokens=10)
    text = CODE + "self.width(value) * self.other"
    raws = []
    for end in [*range(len(CODE), len(text)), *range(len(text), len(CODE), -3)]:
        answers = [Completer(engine).complete(at(text[:end], end, options=options)) for engine in (drafting, plain)]
        assert answers[0].raw == answers[1].raw
        drafted, alone = (answer.confidence for answer in answers)  # None where nothing is shown
        assert drafted == (None if alone is None else pytest.approx(alone, rel=1e-3))
        raws.append(answers[0].raw)
    assert len(set(raws)) > 3


@given(before=st.text(alphabet="ab \n", max_size=12), after=st.text(alphabet="ab \n", max_size=12))
def test_the_nearest_lines_are_those_that_splitting_the_text_finds(before: str, after: str) -> None:
    request = at(before + after, len(before))
    above, below = before.split("\n")[:-1], after.split("\n")[1:]
    assert request.previous_line == next((line for line in reversed(above) if line.strip()), "")
    assert request.next_line == next((line for line in below if line.strip()), "")


def test_completes_through_the_engine(engine: Engine) -> None:
    completion = Completer(engine).complete(at(CODE, len(CODE), options=replace(UNTIMED, max_new_tokens=8)))
    prefix, suffix, middle = (engine.encoder.tokenizer.token_to_id(f"<|{part}|>") for part in PARTS)
    prompt_ids = [prefix, *engine.encoder.text_ids(CODE[:-1]), suffix, middle]
    expected = engine.generate(prompt_ids, max_new_tokens=9, start=" ")  # the space, which was there, and eight more
    assert completion.raw == expected.text != ""
    assert completion.tokens == 9
    assert completion.milliseconds > 0


@pytest.mark.parametrize("text", ["", "\n\n", "  \n\t"])
def test_nothing_to_go_by_gives_nothing(engine: Engine, text: str) -> None:
    completer, double = fixed(engine)
    assert completer.complete(at(text, len(text))).text == ""
    assert double.prompts == []


@pytest.mark.parametrize(
    ("answer", "after_cursor", "shown"),
    [
        ("foo(x)", "", "foo(x)"),
        ("foo(x)  ", "", "foo(x)"),
        ("foo, ", "bar)", "foo, "),  # white space between two texts can be seen
        ("   ", "", ""),
        ("", "", ""),
        ("foo\r\nbar", "", "foo"),
        ("foo\nbar", "", "foo"),
    ],
)
def test_what_of_an_answer_is_shown(engine: Engine, answer: str, after_cursor: str, shown: str) -> None:
    completer, _ = fixed(engine, answer)
    text = "a = " + after_cursor + "\n"
    assert completer.complete(at(text, 4, options=NOT_HEALED)).text == shown


def test_stopped_completion_shows_nothing(engine: Engine) -> None:
    asked = iter(range(100))
    text = f"{CODE}self."  # that nobody has asked for yet
    completion = Completer(engine).complete(at(text, len(text)), stop=lambda: next(asked) > 5)
    assert completion.tokens > 0
    assert completion.text == ""


def test_a_cursor_within_a_line_end_is_before_it() -> None:
    request = CompletionRequest(text="x = 1\r\ny = 2\n", offset=6)
    assert (request.text, request.offset, request.line_before) == ("x = 1\ny = 2\n", 5, "x = 1")


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_line_ends_change_no_prompt(engine: Engine, line_end: str) -> None:
    completer, double = fixed(engine)
    offset = CODE.index("height")
    completer.complete(at(CODE, offset))
    other = CODE.replace("\n", line_end)
    completer.complete(at(other, other.index("height")))
    assert double.prompts[0] == double.prompts[1]


def test_half_a_surrogate_pair_is_no_crash(engine: Engine) -> None:
    completer, double = fixed(engine)
    completer.complete(at("a = '\ud800'", 7))
    assert "�" in engine.encoder.tokenizer.decode(double.prompts[0])


def test_of_other_files_the_newest_stay_if_positions_are_few(engine: Engine) -> None:
    snippets = tuple(ContextSnippet(path=f"{name}.py", text=name * 200 + "\n") for name in "uvw")

    def asked(context: tuple[ContextSnippet, ...], positions: int) -> list[int]:
        completer, double = fixed(engine, max_positions=positions)
        completer.complete(at(CODE, len(CODE), context=context, options=NOT_HEALED))
        return double.prompts[0]

    whole = asked(snippets, 4096)
    assert asked(snippets, len(whole) + LINE_TOKENS) == whole
    assert asked(snippets, len(whole) + LINE_TOKENS - 1) == asked(snippets[1:], 4096)


def test_dense_text_is_cut_to_the_positions(engine: Engine) -> None:
    text = "漢" * 3000  # three tokens each
    completer, double = fixed(engine, max_positions=600)
    assert completer.complete(at(text, 2900)).text == "x"
    assert 100 < len(double.prompts[0]) <= 600 - 48


def test_blank_line_is_asked_for_from_its_start(engine: Engine) -> None:
    completer, double = fixed(engine, "    return x")
    document = "def f(x):\n    \n\nf(1)\n"
    assert completer.complete(at(document, 14)).text == "return x"
    completer.complete(at("def f(x):\n\n\nf(1)\n", 10))
    assert double.prompts[0] == double.prompts[1], "as if the indentation had not been typed"


def test_begun_word_is_completed_as_if_it_had_not_been_begun(engine: Engine) -> None:
    completer, double = fixed(engine, " perimeter(self):")
    texts = [
        completer.complete(at(f"class A:\n    def{typed}", 16 + len(typed))).text for typed in (" per", " perim", " x")
    ]
    assert texts == ["imeter(self):", "eter(self):", ""], "the last word is not the one that the model says"
    assert double.prompts[0] == double.prompts[1]
    off = ServerOptions(filters=FilterOptions(healing=False))
    completer.complete(at("class A:\n    def per", 20, options=off))
    assert double.prompts[-1] != double.prompts[0]


@pytest.mark.parametrize("before", ["\nimpor", "\n@", "\r\n\r\nimpor", '  "x"'])
def test_the_first_word_behind_blank_lines_is_asked_for(engine: Engine, before: str) -> None:
    request = CompletionRequest(text=before, offset=len(before), options=PATIENT)
    assert Completer(engine).complete(request).rule != "empty-document"


def test_a_long_word_of_many_tokens_leaves_room_for_an_answer(engine: Engine) -> None:
    before = "x = 1  # " + "这是一个很长的中文注释说明代码"
    completer = Completer(engine)
    prompt = completer._prompt(CompletionRequest(text=before, offset=len(before), options=PATIENT))
    assert len(prompt.start) > 4
    assert prompt.max_new_tokens >= LINE_TOKENS + len(engine.encoder.text_ids(prompt.start))


@pytest.mark.parametrize(
    ("max_tokens", "max_new_tokens", "limit"),
    [(None, None, LINE_TOKENS), (20, None, 20), (100, None, LINE_TOKENS), (4096, 16, 16), (8, 16, 8)],
)
def test_a_client_s_limit_lowers_that_of_a_line(
    engine: Engine, max_tokens: int | None, max_new_tokens: int | None, limit: int
) -> None:
    completer, _ = fixed(engine)
    options = replace(NOT_HEALED, max_new_tokens=max_new_tokens)
    assert completer._prompt(at(CODE, len(CODE), max_tokens=max_tokens, options=options)).max_new_tokens == limit


def test_a_space_after_text_is_no_part_of_the_prompt(engine: Engine) -> None:
    completer, double = fixed(engine, " perimeter(self)")
    assert completer.complete(at("class A:\n    def ", 17)).text == "perimeter(self)", "one space, not two"
    completer.complete(at("class A:\n    def per", 20))
    assert double.prompts[0] == double.prompts[1]


@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        ("total = ", "compute(alpha, beta)"),
        ("total = comp", "ute(alpha, beta)"),
        ("    total =", " compute(alpha, beta)"),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_text_at_hand_is_another_candidate(tiny_bundle: Bundle, typed: str, rest: str) -> None:
    suffix_first = replace(tiny_bundle, prompt=replace(tiny_bundle.prompt, suffix_first=True))
    text = f"    total = compute(alpha, beta)\n    first = 1\n{typed}"
    assert Completer(Engine(suffix_first, threads=1)).recall(at(text, len(text))).text == rest


def test_confidence_is_of_what_was_not_typed_yet(engine: Engine) -> None:
    token_ids = tuple(engine.encoder.text_ids(" self.x"))
    double = FixedEngine(engine.encoder, " self.x")
    shares = tuple(0.9 - 0.1 * index for index in range(len(token_ids)))
    double._answer = replace(double._answer, token_ids=token_ids, probabilities=shares)
    typed = engine.encoder.tokenizer.decode(list(token_ids[:1]))
    assert typed.strip(), "a whole token stands there already"
    completion = Completer(double).complete(at(f"return{typed}", 6 + len(typed)))  # type: ignore[arg-type]
    assert completion.text == " self.x"[len(typed) :]
    assert completion.confidence == pytest.approx(math.prod(shares[1:]))


def test_confidence_is_the_product_of_what_is_shown(engine: Engine) -> None:
    token_ids = tuple(engine.encoder.text_ids("return x;\n"))
    text = engine.encoder.tokenizer.decode(list(token_ids))
    double = FixedEngine(engine.encoder, text.rstrip("\n"))
    shares = tuple(0.99 - 0.01 * index for index in range(len(token_ids)))
    double._answer = replace(double._answer, token_ids=token_ids, probabilities=shares)
    completion = Completer(double).complete(at("x = ", 4, options=NOT_HEALED))  # type: ignore[arg-type]
    assert completion.text == "return x;"
    assert completion.confidence == pytest.approx(math.prod(shares[:-1]))


def test_that_a_line_begins_further_left_counts_for_its_confidence(engine: Engine) -> None:
    token_ids = tuple(engine.encoder.text_ids("    else:\n"))
    double = FixedEngine(engine.encoder, engine.encoder.tokenizer.decode(list(token_ids)).rstrip("\n"))
    shares = tuple(0.99 - 0.01 * index for index in range(len(token_ids)))
    double._answer = replace(double._answer, token_ids=token_ids, probabilities=shares)
    before = "def f():\n    if x:\n        y()\n        "
    request = at(before, len(before), path="a.py", may_reindent=True, options=NOT_HEALED)
    completion = Completer(double).complete(request)  # type: ignore[arg-type]
    assert (completion.indent, completion.text) == ("    ", "else:")
    assert completion.confidence == pytest.approx(math.prod(shares[:-1]))


class SpellingEngine(FixedEngine):
    """Says one part after the other, each with a probability, until it is enough or a line is whole."""

    def __init__(self, encoder: PromptEncoder, *parts: tuple[str, float]) -> None:
        super().__init__(encoder, "")
        self._parts = parts
        self.said = ""

    def generate(self, prompt_ids: Sequence[int], **options: object) -> Generation:
        is_done = options["is_done"]
        assert callable(is_done)
        self.said = ""
        token_ids: list[int] = []
        shares: list[float] = []
        for part, share in self._parts:
            self.said += part
            token_ids += self.encoder.text_ids(part)
            shares += [share] + [1.0] * (len(token_ids) - len(shares) - 1)
            is_ended = is_done(self.said, share)
            if options["lines"] == 1 and "\n" in self.said:
                break
            if is_ended:
                break
        is_line = options["lines"] == 1 and "\n" in self.said
        finish = FinishReason.LINES if is_line else FinishReason.DONE
        text = self.said.partition("\n")[0] if is_line else self.said
        return replace(self._answer, text=text, token_ids=tuple(token_ids), probabilities=tuple(shares), finish=finish)


def spelled(engine: Engine, parts: Sequence[tuple[str, float]], text: str, **fields: Any) -> Completion:
    """The completion at the end of a text, or at `offset`, if the model has to be sure of half."""
    options = replace(NOT_HEALED, threshold=ThresholdOptions(confidence=0.5))
    request = at(text, fields.pop("offset", len(text)), options=options, **fields)
    return Completer(SpellingEngine(engine.encoder, *parts)).complete(request)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parts", "shown", "said"),
    [
        ([("go(", 0.9), ("x", 0.8), (", y)", 0.5), ("\n", 0.9)], "go(x", "go(x, y)"),
        ([("go(", 0.9), ("al", 0.8), ("pha", 0.5), (")\n", 0.9)], "go(", "go(alpha"),
        ([("go(", 0.9), ("x", 0.8), (")\n", 0.5)], "go(x", "go(x)\n"),
        ([("go(", 0.9), ("x)", 0.8), ("\n", 0.5)], "go(x)", "go(x)\n"),
        ([("go", 0.3), ("(x)\n", 0.9)], "", "go"),
        ([("go(", 0.9), ("x)", 0.8), ("\n", 0.9)], "go(x)", "go(x)\n"),
    ],
    ids=["a word", "within a word", "with the line's end", "the line's end", "nothing", "all"],
)
def test_a_suggestion_ends_where_the_model_is_no_longer_sure(
    engine: Engine, parts: list[tuple[str, float]], shown: str, said: str
) -> None:
    spelling = SpellingEngine(engine.encoder, *parts)
    options = replace(NOT_HEALED, threshold=ThresholdOptions(confidence=0.5))
    completion = Completer(spelling).complete(at("y = ", 4, options=options))  # type: ignore[arg-type]
    assert (completion.text, spelling.said) == (shown, said), "nor does it go on"
    assert completion.is_unsure == (parts[2:] != [("\n", 0.9)])
    assert completion.rule == (None if shown else "threshold")
    assert completion.is_line_whole == (said[len(shown) :] == "\n" or not shown)
    options = replace(NOT_HEALED, threshold=WHEN_ASKED.threshold)
    by_hand = Completer(spelling).complete(at("y = ", 4, options=options))  # type: ignore[arg-type]
    assert by_hand.text == "".join(part for part, _ in parts).strip()
    assert not by_hand.is_unsure


def test_a_block_ends_behind_the_last_line_that_the_model_is_sure_of(engine: Engine) -> None:
    parts = [("    go()\n", 0.9), ("    stop(", 0.9), ("now)\n", 0.3)]
    completion = spelled(engine, parts, "def f():\n    ", path="a.py")
    assert (completion.is_multi_line, completion.text) == (True, "go()")
    assert completion.is_line_whole


def test_white_space_behind_a_header_counts_as_it_does_for_the_confidence(engine: Engine) -> None:
    """Else the whole answer is dropped, though its first word is sure enough."""
    parts = [("\n    ", 0.8), ("go", 0.8), (".on()\n", 0.7)]
    completion = spelled(engine, parts, "def f():", path="a.py")
    assert completion.text == "\n    go"
    assert completion.confidence == pytest.approx(0.64)


def test_a_token_that_completes_no_character_counts_once_another_completes_it() -> None:
    confidence, seen = _Confidence(), []
    for length, probability in ((3, 0.9), (3, 0.5), (4, 1.0), (5, 0.8)):  # the second token is the first byte of two
        confidence.add(length, probability, counts=True)
        seen.append(round(confidence.value, 3))
    assert seen == [0.9, 0.9, 0.45, 0.36]


def test_what_a_stop_ends_too_is_unsure_as_well(engine: Engine) -> None:
    """By hand all of it is asked for: the model goes on behind what stands below."""
    parts = [("foo()", 0.9), (" + 1\n", 0.3)]
    completion = spelled(engine, parts, "x = \nx = foo()\n", offset=4)
    assert (completion.rule, completion.is_unsure) == ("next-line", True)


@pytest.mark.parametrize(("may_place_cursor", "shown"), [(True, "len()"), (False, "len")])
def test_a_bracket_is_closed_only_where_the_cursor_goes_within(
    engine: Engine, may_place_cursor: bool, shown: str
) -> None:
    parts = [("len(", 0.9), ("x)\n", 0.3)]
    completion = spelled(engine, parts, "print()\n", offset=6, path="a.py", may_place_cursor=may_place_cursor)
    assert completion.text == shown


def test_neither_indentation_nor_what_is_typed_makes_a_suggestion_unsure(engine: Engine) -> None:
    parts = [("    ", 0.1), ("go()", 0.9), ("\n", 0.9)]
    completion = spelled(engine, parts, "if a:\n    stop()\n    ", path="a.py")
    assert completion.text == "go()"


@pytest.mark.parametrize(("share", "is_shown"), [(0.9, True), (0.5, True), (0.1, False), (math.nan, False)])
def test_a_confidence_that_is_low_or_no_number_is_not_shown(engine: Engine, share: float, is_shown: bool) -> None:
    double = FixedEngine(engine.encoder, "x")
    double._answer = replace(double._answer, token_ids=(5,), probabilities=(share,))
    options = replace(NOT_HEALED, threshold=ThresholdOptions(confidence=0.5))
    completion = Completer(double).complete(at("y = ", 4, options=options))  # type: ignore[arg-type]
    assert (bool(completion.text), completion.rule == "threshold") == (is_shown, not is_shown)


@pytest.mark.parametrize(
    ("finish", "shown"),
    [
        (FinishReason.LENGTH, "foo(ba, "),
        (FinishReason.BROKEN_TEXT, "foo(ba, "),
        (FinishReason.LINES, "foo(ba, qu"),
    ],
)
def test_half_a_word_is_not_shown(engine: Engine, finish: FinishReason, shown: str) -> None:
    completer, double = fixed(engine, " foo(ba, qu")
    double._answer = replace(double._answer, finish=finish)
    completion = completer.complete(at("x = ", 4))
    assert completion.text.rstrip() == shown.rstrip()
    assert completion.is_line_whole == (finish is FinishReason.LINES)
    assert not completion.is_late, "with more time it would end there again"


@pytest.mark.parametrize(
    ("sure", "unsure", "shown", "unfinished"),
    [
        ("go(alpha", "bet", "go(", "go("),
        ("go(a_1", "2", "go(", "go("),
        ("go(alpha", ", b", "go(alpha", "go("),
        ("go(naïf", "s", "go(", "go("),
        ("返回当前登录", "用户", "返回当前登录", "返回当前登录"),
        ("# 返回id", "s", "# 返回", "# 返回"),
        ("# 返回id", "是", "# 返回id", "# 返回"),
        ("# คืนค", "่า", "# คืน", "# คืนค"),
        ("# 全ユー", "ザー", "# 全", "# 全"),
        ("# दुनिया नमस्त", "े", "# दुनिया", "# दुनिया"),
        ("# दुनिया नमस्ते", "य", "# दुनिया", "# दुनिया"),
    ],
)
def test_what_is_cut_in_any_script_ends_behind_a_word(sure: str, unsure: str, shown: str, unfinished: str) -> None:
    request = at("\n", 0)
    assert refine(sure + unsure, request, sure=len(sure)).text == shown
    assert refine(sure, request, is_unfinished=True).text == unfinished


@pytest.mark.parametrize(
    ("path", "text", "sure", "unsure"),
    [
        ("a.py", "def f():\n    total = 0\n    ‸\n    return total\n", "for", " x in xs:\n"),
        ("a.py", "f(\n    ‸\n    b=1,\n)\n", "key=textwrap.indent(", "a),\n"),
        ("A.java", "class A {\n  void f() {\n    ‸\n  }\n}\n", "for (int i = 0; i <", " n; i++) {\n"),
        ("a.go", "package a\n\nfunc f() {\n\t‸\n}\n", "if err :=", " g(); err != nil {\n"),
        ("a.rs", "struct A {\n    a: u8,\n    ‸\n    c: u8,\n}\n", "b:", " u8,\n"),
    ],
)
def test_of_a_line_that_breaks_off_no_rest_is_asked(path: str, text: str, sure: str, unsure: str) -> None:
    before, after = text.split("‸")
    request = at(before + after, len(before), path=path)
    sure = request.indent + sure
    assert refine(sure + unsure, request, sure=len(sure)).text == sure.lstrip()


@given(text=st.text("aé_9. (\n"), rest=st.text("aé_9. (", min_size=1))
def test_a_begun_word_is_what_an_expression_finds(text: str, rest: str) -> None:
    expected = re.sub(r"(?<!\w)\w+\Z", "", text)
    assert without_begun_word(text) == expected
    assert without_begun_word(text, rest) == (expected if re.match(r"\w", rest) else text)


@pytest.mark.parametrize(
    ("before", "answer", "shown"),
    [
        ("x = ", "foo(a, '", "foo(a,"),
        ("x = ", 'foo(a, "long', "foo(a,"),
        ("x = ", 'foo(a, "long name', "foo(a,"),
        ("x = ", 'foo(a, "a long name', 'foo(a, "a long'),  # the next answer goes on within it
        ("x = ", r'foo(a, "a\"b', "foo(a,"),
        ("x = ", 'foo("a", rb"long name', 'foo("a",'),
        ("x = ", 'f($"long na', "f("),
        ("x = ", "f(g(), xy", "f(g(),"),  # no string is open
        ("x = ", '"longname oth', '"longname'),
        ("x = ", "'", ""),
        ("x = ", '"a long name', '"a long'),  # nothing else would be left
        ("x = 'a", " long name", " long"),  # the user's own string
        ("", '"""Return the name', '"""Return the'),
        ("", "# what the users' names", "# what the users'"),
        ("", "# it's a long name", "# it's a long"),
        ("", "fn f<'a>(x: &'a name", "fn f<'a>(x: &'a"),
    ],
)
def test_a_string_that_ran_out_is_not_shown(before: str, answer: str, shown: str) -> None:
    request = at(before, len(before), options=NOT_HEALED)
    assert refine(answer, request, is_unfinished=True).text == shown


@pytest.mark.parametrize(
    ("path", "document", "is_block", "shown"),
    [
        ("a.ts", "function f(a) {\n  if (!a) {\n    ‸\n  return a;\n}\n", True, "return 1;\n  }"),
        ("a.ts", "function f(a) {\n  if (!a) {\n    ‸\n  }\n  return a;\n}\n", True, "return 1;"),
        ("a.ts", "function f(a) {\n  if (!a) {\n    ‸\n    g(a);\n  }\n}\n", False, "return 1;"),
        ("a.cpp", "void f() {\n  switch (a) {\n    ‸\n  case 1:\n    g();\n  }\n}\n", False, "return 1;"),
        ("a.c", "void f() {\n#ifdef A\n  if (a) {\n    ‸\n#endif\n  }\n}\n", False, "return 1;"),
        ("a.kt", "fun f() {\n  if (a) {\n    ‸\n  return a\n}\n", True, "return 1;\n  }"),
        ("a.kt", "fun f() {\n  if (a) {\n    ‸\n  }\n  return a\n}\n", True, "return 1;"),
        ("a.kt", "fun f() {\n  if (a) {\n    ‸}\n  return a\n}\n", True, "return 1;"),
        ("a.kt", "fun f() {\n  if (a) {\n    ‸\n    b()\n  }\n}\n", False, "return 1;"),
        ("a.kt", "fun f() {\n  if (a) { // b\n    ‸\n  }\n}\n", False, "return 1;"),
        ("a.kt", "class A {\n    ‸\n}\n", False, "return 1;"),
        ("a.kt", "class A {\n  fun f(): Map<A, B?> {\n    ‸\n  }\n}\n", True, "return 1;"),
        ("a.kt", "fun f() {\n  if (a) b; c {\n    ‸\n  }\n}\n", False, "return 1;"),
        ("a.swift", "class A {\n  func f() throws -> Int {\n    ‸\n  }\n}\n", True, "return 1;"),
        ("a.dart", "class A {\n  Future<B> f() async {\n    ‸\n  }\n}\n", True, "return 1;"),
        ("a.scala", "class A {\n  def f(): Int = {\n    ‸\n  }\n}\n", True, "return 1;"),
        ("a.scala", "class A {\n  def f() = {\n    ‸\n  }\n}\n", True, "return 1;"),
    ],
)
def test_a_body_begins_below_a_header_whose_brace_is_missing(
    engine: Engine, path: str, document: str, is_block: bool, shown: str
) -> None:
    completer, _ = fixed(engine, "    return 1;\n  }\n  return 2;")
    request = at(document.replace("‸", ""), document.index("‸"), path=path, options=NOT_HEALED)
    completion = completer.complete(request)
    assert completion.text == shown
    assert completion.is_multi_line == is_block


def test_a_line_that_the_unsure_rest_does_not_go_on_with_is_whole() -> None:
    block = at("def f():", 8, is_multi_line=True)
    sure = "\n    a = 1\n    b = 2"
    assert refine(f"{sure}\n    c", block, sure=len(sure)).text == sure
    assert refine("foo bar", at("x = ", 4), sure=7).text == "foo bar", "nothing is unsure"


def test_a_carriage_return_ends_a_line() -> None:
    assert refine("a\rb", at("x = ", 4)).text == "a"


def test_white_space_goes_behind_closers_that_are_replaced() -> None:
    refined = refine("a)   ", at("f()\n", 2))
    assert (refined.text, refined.replaces) == ("a)", 1)


def test_a_block_that_is_cut_behind_a_line_ends_that_line() -> None:
    block = at("def f():\n    ", 13, is_multi_line=True)
    assert refine("    a = 1\n    b = 2\n    c", block, is_unfinished=True).is_line_whole
    assert not refine("    a = f", block, is_unfinished=True).is_line_whole
    line = refine("    return self.value\n", block, is_unfinished=True)
    assert (line.text, line.is_line_whole) == ("return self.value", True)


def test_a_line_whose_rest_does_not_parse_is_not_whole() -> None:
    request = at("x = f(1)\ny = \n", 13, path="a.py")
    completion = refine("g(2) + ]", request)
    assert (completion.text, completion.is_line_whole) == ("g(2)", False)


def test_time_budget_ends_the_answer(engine: Engine) -> None:
    prompts = []

    class SlowEngine(FixedEngine):
        def generate(self, prompt_ids: Sequence[int], **options: object) -> Generation:
            is_done = options["is_done"]
            assert callable(is_done)
            prompts.append(is_done("fo", 0.9))
            time.sleep(0.06)
            prompts.append(is_done("foo ba", 0.9))
            return replace(self._answer, text="foo ba", finish=FinishReason.DONE)

    completer = Completer(SlowEngine(engine.encoder, ""))  # type: ignore[arg-type]
    options = replace(NOT_HEALED, trigger=TriggerOptions(budget_ms=50))
    completion = completer.complete(at("x = ", 4, options=options))
    assert prompts == [False, True]
    assert completion.text == "foo"
    assert completion.steps[0].name == "budget"
    assert completion.is_late


def test_a_prompt_that_took_all_the_time_leaves_a_third_of_it_for_the_answer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, done = [0.0], []
    monkeypatch.setattr("lsp_server.completion.time", SimpleNamespace(perf_counter=lambda: now[0]))

    class SlowReader(FixedEngine):
        def generate(self, prompt_ids: Sequence[int], **options: object) -> Generation:
            is_done = options["is_done"]
            assert callable(is_done)
            for seconds in (0.35, 0.09, 0.02):
                now[0] += seconds
                done.append(is_done("fo", 0.9))
            return replace(self._answer, text="fo", finish=FinishReason.DONE)

    options = replace(NOT_HEALED, trigger=TriggerOptions(budget_ms=300))
    Completer(SlowReader(engine.encoder, "")).complete(at("x = ", 4, options=options))  # type: ignore[arg-type]
    assert done == [False, False, True]


@pytest.mark.parametrize("token", ["<|end|>", "<|middle|>"])
def test_control_tokens_in_a_file_are_text(engine: Engine, token: str) -> None:
    completer, double = fixed(engine)
    completer.complete(at(f"x = '{token}'", 5))
    control_id = engine.encoder.tokenizer.token_to_id(token)
    assert control_id not in double.prompts[0][:-1]  # the prompt's own last token is <|middle|>
    assert token in engine.encoder.tokenizer.decode(double.prompts[0][:-1], skip_special_tokens=True)


def test_opens_a_bundle_and_refuses_a_changed_one(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert open_completer(tiny_bundle.folder, threads=1).complete(at(CODE, len(CODE), options=UNTIMED)).text
    changed = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    (changed / "tokenizer.json").write_bytes((changed / "tokenizer.json").read_bytes().replace(b"BPE", b"PBE"))
    with pytest.raises(BundleError, match=r"tokenizer\.json has changed"):
        open_completer(changed)


@pytest.mark.parametrize("is_healed", [False, True])
def test_a_window_is_cut_as_if_the_text_began_where_it_is_counted_from(engine: Engine, is_healed: bool) -> None:
    completer, double = fixed(engine)
    start, options = CODE.index("def perimeter"), ServerOptions() if is_healed else NOT_HEALED
    for window_from in (0, start):
        completer.complete(at(CODE + "\n\nx = 1\n", len(CODE), options=options, window_from=window_from))
    completer.complete(at(CODE[start:] + "\n\nx = 1\n", len(CODE) - start, options=options))
    whole, counted, cut = double.prompts
    assert counted == cut != whole


@pytest.mark.parametrize("end", ["return self.wid", "return ", "return self.width * (", "\n\n", "    "])
def test_what_is_read_ahead_is_what_is_asked(engine: Engine, end: str) -> None:
    completer, double = fixed(engine)
    text, offset = f"{CODE}{end})\n{CODE}", len(CODE) + len(end)
    completer.complete(at(text, offset, path="a.py", options=ServerOptions()))
    assert completer.read_ahead(at(text, offset, path="a.py", options=ServerOptions())) == len(double.prompts[0])
    assert double.read_ahead == double.prompts
    assert completer.read_ahead(at("", 0)) == 0


def test_a_cold_place_is_answered_from_a_short_prompt_first(engine: Engine) -> None:
    text = "".join(f"value_{number} = compute({number})\n" for number in range(400)) + "x = "
    completer, double = fixed(engine, max_positions=100_000)
    engine_format = double.encoder.prompt_format
    double.encoder = PromptEncoder(engine.encoder.tokenizer, engine_format.with_window(2000, 256))
    whole = completer.complete(at(text, len(text), options=ServerOptions()))
    assert not whole.is_from_short_prompt
    double.token_s = 0.4 / len(double.prompts[0]) * 1.01
    near = completer.complete(at(text, len(text), options=ServerOptions()))
    assert near.is_from_short_prompt
    assert len(double.prompts[1]) < len(double.prompts[0]) / 4
    patient = ServerOptions(trigger=TriggerOptions(cold_ms=1000))
    assert not completer.complete(at(text, len(text), options=patient)).is_from_short_prompt
    double.token_s *= 5
    assert completer.complete(
        at(text, len(text), options=replace(patient, trigger=TriggerOptions(cold_ms=60_000)))
    ).is_from_short_prompt
    assert not completer.complete(
        at("x = ", 4, options=ServerOptions(trigger=TriggerOptions(cold_ms=0)))
    ).is_from_short_prompt


def test_the_short_prompt_is_read_ahead_first_and_answers_a_key_until_the_whole_one_is_read(engine: Engine) -> None:
    text = "".join(f"value_{number} = compute({number})\n" for number in range(400)) + "x = "
    completer, double = fixed(engine, max_positions=100_000)
    double.encoder = PromptEncoder(engine.encoder.tokenizer, engine.encoder.prompt_format.with_window(2000, 256))
    resting = at(text, len(text), options=ServerOptions())
    completer.complete(resting)
    whole = double.prompts[0]
    double.token_s = 0.9 * 0.4 / len(whole)  # the whole prompt may be waited for
    assert not completer.complete(resting).is_from_short_prompt
    double.token_s *= 2
    completer.read_ahead(resting)
    near, read = double.read_ahead
    assert len(near) < len(whole) / 4
    assert read == whole
    assert not completer.complete(resting).is_from_short_prompt, "all is read"
    double.read_ahead = []
    completer.read_ahead(resting, is_short_enough=True)
    assert double.read_ahead == [near], "and no more"
    double.read_ahead, answers = [], []
    completer.read_ahead(
        resting, lambda: False, replace(resting, text=text + "1", offset=len(text) + 1), answers.append
    )
    assert [answer.is_from_short_prompt for answer in answers] == [True, False], "the first key, after each of the two"
    double.read_ahead = [near, whole[: len(whole) // 2]]
    double.token_s = 0.9 * 0.4 / len(whole)
    assert completer.complete(resting).is_from_short_prompt, (
        "the rest could be waited for, but the short prompt is there"
    )
    double.read_ahead = [near, whole[: len(whole) * 4 // 5]]
    assert not completer.complete(resting).is_from_short_prompt, "hardly anything is missing"
    double.read_ahead = [near, whole[: len(whole) // 2]]
    double.token_s = 1.0 / len(whole)
    by_hand = replace(resting, options=WHEN_ASKED)
    assert not completer.complete(by_hand).is_from_short_prompt, "all the time may be used"
