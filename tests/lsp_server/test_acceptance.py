from __future__ import annotations

import pytest

from lsp_server.acceptance import AcceptanceTracker
from lsp_server.open_documents import Edit

URI = "file:///a.py"


class Typist:
    """A document and a tracker that sees every edit."""

    def __init__(self, text: str = "x = ") -> None:
        self.text = text
        self.tracker = AcceptanceTracker()

    def send(self, text: str, id: int = 1) -> None:
        self.tracker.sent(id, URI, len(self.text), text)

    def insert(self, text: str, at: int | None = None, removed: int = 0) -> None:
        start = len(self.text) if at is None else at
        self.text = self.text[:start] + text + self.text[start + removed :]
        self.tracker.edited(URI, self.text, [Edit(start=start, removed=removed, inserted=text)])

    def counts(self) -> tuple[int, int]:
        figures = self.tracker.statistics
        return figures.shown, figures.accepted


@pytest.mark.parametrize(
    ("keys", "counts"),
    [
        (["foo(bar)"], (1, 1)),
        (["f", "o", "o(bar)"], (1, 1)),
        (list("foo(bar)"), (1, 0)),  # typed key by key to its end: it was right, but not used
        (["foo("], (1, 0)),
        (["foo(", "bar)"], (1, 1)),
        (["f", "x"], (1, 0)),
        (["y"], (1, 0)),
    ],
)
def test_what_edits_say(keys: list[str], counts: tuple[int, int]) -> None:
    typist = Typist()
    typist.send("foo(bar)")
    for key in keys:
        typist.insert(key)
    assert typist.counts() == counts


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_enter_is_one_key_with_the_indentation_that_the_editor_adds(line_end: str) -> None:
    typist = Typist()
    typist.send(f"a(){line_end}    b()")
    for key in ["a", "(", ")", f"{line_end}    ", "x"]:
        typist.insert(key)
    assert typist.counts() == (1, 0)
    typist.insert("y", at=0)
    assert typist.counts() == (1, 0)


def test_a_new_suggestion_rejects_the_one_before_and_the_rest_of_one_is_the_same() -> None:
    typist = Typist()
    typist.send("foo(bar)")
    typist.insert("f")
    typist.send("oo(bar)", id=1)
    assert typist.counts() == (1, 0)
    typist.send("ab", id=2)
    assert typist.counts() == (2, 0)


@pytest.mark.parametrize(("text", "typed"), [(":", ""), ("return", "retur")])
def test_a_suggestion_whose_last_character_is_accepted_is_accepted(text: str, typed: str) -> None:
    typist = Typist()
    typist.send(text)
    for key in [*typed, text[-1]]:
        typist.insert(key)
    typist.tracker.accepted(1)
    assert typist.counts() == (1, 1)
    assert typist.tracker.is_at_accepted_end(URI, len(typist.text))
    typist.tracker.accepted(1)
    assert typist.counts() == (1, 1)


def test_acceptance_with_a_replaced_range() -> None:
    typist = Typist("print()")
    typist.tracker.sent(1, URI, 6, "name)")
    typist.insert("name)", at=6, removed=1)
    assert typist.counts() == (1, 1)
    assert typist.tracker.is_at_accepted_end(URI, len("print(name)"))
    typist.tracker.edited("file:///app.log", "ready", [Edit(start=0, removed=0, inserted="ready")])
    assert typist.tracker.is_at_accepted_end(URI, len("print(name)")), "another document has changed"
    typist.insert("\n")
    assert not typist.tracker.is_at_accepted_end(URI, len("print(name)"))


@pytest.mark.parametrize("start", [3, 7], ids=["the whole line", "what differs of it"])
def test_acceptance_of_a_line_that_is_indented_less_then(start: int) -> None:
    typist = Typist("x:\n        ")
    typist.tracker.sent(1, URI, 11, "else:", moved=4)
    typist.insert("    else:"[start - 3 :], at=start, removed=11 - start)
    assert typist.text == "x:\n    else:"
    assert typist.counts() == (1, 1)
    assert typist.tracker.is_at_accepted_end(URI, len(typist.text))


@pytest.mark.parametrize("typed", ["", "/u"])
def test_a_snippet_is_accepted_in_two_edits(typed: str) -> None:
    typist = Typist('get("")')
    typist.tracker.sent(1, URI, 5, '/u", (c) => {}')
    for at, key in enumerate(typed, 5):
        typist.insert(key, at=at)
    typist.insert("", at=5, removed=len(typed) + 1)
    typist.insert('/u", (c) => {}', at=5)
    typist.tracker.accepted(1)
    assert typist.text == 'get("/u", (c) => {})'
    assert typist.counts() == (1, 1)


def test_a_line_that_the_editor_moves_as_it_is_typed_is_not_accepted() -> None:
    typist = Typist("x:\n        ")
    typist.tracker.sent(1, URI, 11, "else:", moved=4)
    for key in "else":
        typist.insert(key)
    typist.text = "x:\n    else:"
    edits = [Edit(start=7, removed=4, inserted=""), Edit(start=11, removed=0, inserted=":")]
    typist.tracker.edited(URI, typist.text, edits)
    assert typist.counts() == (1, 0)


def test_typing_it_up_to_a_closer_that_stands_there_is_no_acceptance() -> None:
    typist = Typist("foo()")
    typist.tracker.sent(1, URI, 4, "bar)")
    for at, key in enumerate("bar", 4):
        typist.insert(key, at=at)
    assert typist.counts() == (1, 0)
    assert not typist.tracker.is_at_accepted_end(URI, len(typist.text))


def test_the_end_of_an_accepted_half_line_is_no_end() -> None:
    typist = Typist()
    typist.tracker.sent(1, URI, 4, "foo(", is_whole=False)
    typist.insert("foo(")
    assert typist.counts() == (1, 1)
    assert not typist.tracker.is_at_accepted_end(URI, len("x = foo("))
