"""Source files that a grammar takes seconds to hours for: they cost a completion their syntax, and nothing else.

They succeed as attacks on cc3f76c: one such file held the interpreter's lock, so that the server answered nothing and a
build could not be ended. The clock is played, but for the files themselves: those never end without the bound.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from itertools import count

import pytest

from lsp_server.options import TriggerOptions
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.filters import syntax
from lsp_server.syntax import parse_time
from lsp_server.syntax.grammars import Grammar, find_grammar
from lsp_server.syntax.parse_time import TooSlowToParseError
from lsp_server.syntax.parsed_text import ParsedText, begins_block
from lsp_server.triggers import find_refusal

CODE = "".join(f"def f{number}(x):\n    return x + {number}\n\n" for number in range(200))  # 7,000 characters
SLOW = {"a.java": "a<b<\n", "a.rb": "%w(", "a.py": "(a<b>)", "a.c": "a=>", "a.cs": "<a"}


@pytest.fixture
def grammar(monkeypatch: pytest.MonkeyPatch) -> Grammar:
    monkeypatch.setattr(parse_time, "_verdicts", deque(maxlen=8))
    found = find_grammar("a.py")
    assert found is not None
    return found


def let_parses_take(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp_server.syntax.parse_time.time.thread_time", count(0.0, seconds).__next__)


def test_a_text_that_explodes_is_given_up_after_few_steps() -> None:
    program = f"""
from lsp_server.syntax.grammars import find_grammar
from lsp_server.syntax.parse_time import TooSlowToParseError
from lsp_server.syntax.parsed_text import ParsedText
for name, unit in {SLOW!r}.items():
    try:
        ParsedText(unit * (60_000 // len(unit)), find_grammar(name))
    except TooSlowToParseError:
        continue
    raise SystemExit(name)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)  # of some seconds


def test_it_is_served_without_syntax(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> None:
    request = CompletionRequest(text=f"{CODE}def g(x):\n    ", offset=len(CODE) + 14, path="a.py")
    broken = Completion(text="return ) x")
    assert begins_block(request.text, request.offset, grammar)
    assert syntax(broken, request) is not None
    parse_time._verdicts.clear()
    let_parses_take(0.2, monkeypatch)
    assert not begins_block(request.text, request.offset, grammar)
    assert syntax(broken, request) is None
    for end, refused_by in (("# a", "comment"), ("a = ", None)):  # by the line alone
        written = CompletionRequest(text=CODE + end, offset=len(CODE + end), path="a.py")
        refusal = find_refusal(written, TriggerOptions(comments=False))
        assert (None if refusal is None else refusal.name) == refused_by


def test_each_key_does_not_try_again(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as played:
        let_parses_take(0.2, played)
        with pytest.raises(TooSlowToParseError):
            ParsedText(CODE, grammar)
    for text in (f"{CODE}x", f"# {CODE}", CODE[:3000] + CODE[3100:]):
        with pytest.raises(TooSlowToParseError):
            ParsedText(text, grammar)
    for text in (CODE[:3000], CODE.replace("f", "g")):
        assert ParsedText(text, grammar).root.type == "module"


def test_a_text_that_was_quick_is_not_looked_at_again(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> None:
    ParsedText(CODE, grammar)
    monkeypatch.setattr(parse_time, "_is_slow", lambda source, grammar: pytest.fail("it was looked at"))
    assert ParsedText(f"{CODE}x = (1", grammar).errors() == 1


def test_nor_is_one_that_is_edited_at_places_far_apart(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> None:
    ParsedText(CODE, grammar)
    monkeypatch.setattr(parse_time, "_is_slow", lambda source, grammar: pytest.fail("it was looked at"))
    text = CODE
    for _ in range(10):
        text = f"x = 1\n{text}"
        ParsedText(text, grammar)
        text = f"{text}x = 1\n"
        ParsedText(text, grammar)
    assert len(parse_time._verdicts) == 1


def test_edits_have_no_more_time_together_than_a_text(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = ParsedText(CODE, grammar)
    let_parses_take(0.3, monkeypatch)
    for _ in range(3):
        parsed = parsed.edited(0, 0, "x\n")
    with pytest.raises(TooSlowToParseError):
        parsed.edited(0, 0, "x\n")
