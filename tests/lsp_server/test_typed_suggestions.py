from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsp_server.answer_cache import ENTRIES, MAX_TYPED_CHARS, Suggestions
from lsp_server.options import FilterOptions, ServerOptions
from lsp_server.request import Completion, CompletionRequest

BEFORE, AFTER = "x = ", "\ny = 2\n"


def cache_with(text: str, replaces: int = 0, after: str = AFTER) -> Suggestions:
    cache = Suggestions()
    cache.put("b", BEFORE + after, len(BEFORE), Completion(text=text, replaces=replaces))
    return cache


def ask(cache: Suggestions, typed: str, after: str = AFTER) -> tuple[str, int, str] | None:
    found = cache.get("b", BEFORE + typed + after, len(BEFORE + typed))
    return (found[0].text, found[0].replaces, found[1]) if found else None


@example(text="a \n", typed="a")  # white space is left, which nobody sees
@given(text=st.text(alphabet="ab( \n", min_size=1, max_size=20), typed=st.text(alphabet="ab( \n", max_size=20))
def test_what_is_typed_along_leaves_the_rest(text: str, typed: str) -> None:
    found = ask(cache_with(text), typed)
    if typed == "":
        assert found == (text, 0, "exact")
    elif text.startswith(typed) and text[len(typed) :].strip():
        assert found == (text[len(typed) :], 0, "typed-through")
    else:
        assert found is None


def test_going_back_meets_the_earlier_suggestion() -> None:
    cache = cache_with("foo(bar)")
    cache.put("b", BEFORE + "fu" + AFTER, len(BEFORE) + 2, Completion(text="n()"))
    assert ask(cache, "fu") == ("n()", 0, "exact")
    assert ask(cache, "f") == ("oo(bar)", 0, "typed-through")
    assert ask(cache, "") == ("foo(bar)", 0, "exact")


def test_other_text_around_is_another_place() -> None:
    cache = cache_with("foo")
    assert cache.get("b", "y = " + AFTER, 4) is None
    assert ask(cache, "", after="\nz\n") is None
    assert cache.get("other bundle", BEFORE + AFTER, len(BEFORE)) is None


def test_a_closer_that_the_editor_put_in_is_no_other_place() -> None:
    assert ask(cache_with("foo(bar)"), "foo(", after=")" + AFTER) == ("bar)", 0, "typed-through")
    assert ask(cache_with("foo(bar)"), "foo", after=")" + AFTER) is None
    assert ask(cache_with("foo('a')"), "foo('", after="')" + AFTER) == ("a')", 0, "typed-through")
    assert ask(cache_with("foo({a: [1]})"), "foo({a: [", after="]})" + AFTER) == ("1]})", 0, "typed-through")


def test_the_end_of_a_tag_that_the_editor_put_in_is_no_other_place() -> None:
    cache = cache_with("<b>hi</b>")
    typed = BEFORE + "<b>h"
    found = cache.find("b", CompletionRequest(text=f"{typed}</b>{AFTER}", offset=len(typed)))
    assert found is not None and (found[0].text, found[0].replaces) == ("i", 0)
    for typed in ("<b", "<b>hi"):  # no tag is open yet, and all but its end is typed
        document = f"{BEFORE}{typed}</b>{AFTER}"
        assert cache.find("b", CompletionRequest(text=document, offset=len(BEFORE + typed))) is None


@pytest.mark.parametrize(
    ("text", "typed", "options"),
    [
        ("<b>\n  hi\n</b>", "<b>", ServerOptions()),
        ("<b>hi</b>", "<b>h", ServerOptions(filters=FilterOptions(suffix_duplicate=False))),
    ],
    ids=["of several lines", "without the filter"],
)
def test_what_would_double_the_end_of_a_tag_is_left_out(text: str, typed: str, options: ServerOptions) -> None:
    before = BEFORE + typed
    request = CompletionRequest(text=f"{before}</b>{AFTER}", offset=len(before), options=options)
    assert cache_with(text).find("b", request) is None


def test_a_whole_block_can_be_typed_along() -> None:
    line = "width = box.left + box.right - margin\n"
    assert ask(cache_with(8 * line), 7 * line) == (line, 0, "typed-through")


def test_closers_that_are_replaced_stay_replaced() -> None:
    cache = cache_with("foo)", replaces=1, after=")" + AFTER)
    assert ask(cache, "fo", after=")" + AFTER) == ("o)", 1, "typed-through")


@pytest.mark.parametrize(
    ("text", "after", "typed", "left", "options"),
    [
        ("a + b", " + b\n", "a", " + b", FilterOptions(suffix_duplicate=False)),
        ("foo)", ")\n", "fo", "o)", FilterOptions(doubled_closers=False)),
    ],
)
def test_without_a_filter_what_is_typed_along_keeps_what_it_doubles(
    text: str, after: str, typed: str, left: str, options: FilterOptions
) -> None:
    before = BEFORE + typed
    request = CompletionRequest(text=before + after, offset=len(before), options=ServerOptions(filters=options))
    found = cache_with(text, after=after).find("b", request)
    assert found is not None and (found[0].text, found[0].replaces) == (left, 0)


def test_nothing_is_remembered_too() -> None:
    assert ask(cache_with(""), "") == ("", 0, "exact")
    assert ask(cache_with(""), "f") is None


def test_nothing_that_was_found_first_hides_no_suggestion_that_is_being_typed() -> None:
    cache = Suggestions()
    cache.put("b", BEFORE + "f" + AFTER, len(BEFORE) + 1, Completion(rule="threshold"))
    assert ask(cache, "f") == ("", 0, "exact")
    cache.put("b", BEFORE + AFTER, len(BEFORE), Completion(text="foo(bar)"))
    assert ask(cache, "f") == ("oo(bar)", 0, "typed-through")


def test_the_least_recently_used_goes_first() -> None:
    cache = cache_with("foo")
    for index in range(ENTRIES):
        assert ask(cache, "") is not None
        cache.put("b", f"{index} = ", 4, Completion(text="x"))
    assert len(cache._entries) == ENTRIES
    assert ask(cache, "") is not None
    assert cache.get("b", "0 = ", 4) is None


@pytest.mark.parametrize(("length", "is_found"), [(MAX_TYPED_CHARS, True), (MAX_TYPED_CHARS + 1, False)])
def test_how_far_a_suggestion_is_followed(length: int, is_found: bool) -> None:
    assert (ask(cache_with("a" * 2 * MAX_TYPED_CHARS), "a" * length) is not None) is is_found


def test_a_change_anywhere_in_the_window_is_another_place() -> None:
    """Windows reach thousands of characters: what was found beside another line far above is no answer here."""
    cache = Suggestions()
    far = "import json\n" + "x = 1\n" * 700
    cache.put("b", far + BEFORE + AFTER, len(far + BEFORE), Completion(text="foo"))
    other = far.replace("json", "yaml")
    assert cache.get("b", far + BEFORE + AFTER, len(far + BEFORE)) is not None
    assert cache.get("b", other + BEFORE + AFTER, len(other + BEFORE)) is None


def test_a_suggestion_that_is_typed_up_to_its_closer_is_over() -> None:
    cache = Suggestions()
    cache.put("s", "foo()", 4, Completion(text="bar)", replaces=1))
    half, whole = (CompletionRequest(text=f"foo({typed})", offset=4 + len(typed)) for typed in ("ba", "bar"))
    found = cache.find("s", half)
    assert found is not None and (found[0].text, found[0].replaces) == ("r)", 1)
    assert cache.find("s", whole) is None


def test_a_block_that_is_typed_up_to_its_brace_leaves_the_brace_a_line() -> None:
    cache = Suggestions()
    cache.put("s", "  if (x) ", 9, Completion(text="{\n    a();\n    b();"))
    found = cache.find("s", CompletionRequest(text="  if (x) {}", offset=10))
    assert found is not None and (found[0].text, found[0].replaces) == ("\n    a();\n    b();\n  ", 0)


@pytest.mark.parametrize(("text", "replaces"), [("\n    a();\n    b();\n", 0), ("\n    a();\n    b();\n  }", 1)])
@pytest.mark.parametrize("behind", ["}", "})", "}));"])
@pytest.mark.parametrize(("typed", "left"), [("", "a();\n    b();"), ("a();\n    ", "b();")])
def test_a_block_goes_on_after_enter_has_put_the_brace_on_a_line_of_its_own(
    text: str, replaces: int, behind: str, typed: str, left: str
) -> None:
    cache, closers = Suggestions(), behind.rstrip(";")
    text = f"{text[:-1]}{closers};" if replaces else text  # with the closers it takes the place of these
    cache.put("s", f"  f() {{{behind}\n\nx\n", 7, Completion(text=text, replaces=len(closers) if replaces else 0))
    document = f"  f() {{\n    {typed}\n  {behind}\n\nx\n"
    found = cache.find("s", CompletionRequest(text=document, offset=12 + len(typed)))
    assert found is not None and (found[0].text, found[0].replaces) == (left, 0)


def test_after_enter_a_suggestion_that_goes_on_behind_the_brace_stays_whole() -> None:
    cache = Suggestions()
    cache.put("s", "f() {}", 5, Completion(text="\n  a();\n} else b();", replaces=1))
    found = cache.find("s", CompletionRequest(text="f() {\n  \n}", offset=8))
    assert found is not None and found[0].text == "a();\n} else b();"


def test_a_suggestion_goes_on_behind_closers_that_are_typed_over() -> None:
    cache = Suggestions()
    cache.put("s", "x = f()\n", 6, Completion(text="a, g(b)).h();", replaces=1))
    for typed, after, left, replaces in (
        ("a, g(b)", ")\n", ").h();", 1),
        ("a, g(b))", "\n", ".h();", 0),
        ("a, g(b)).h", "\n", "();", 0),
    ):
        found = cache.find("s", CompletionRequest(text=f"x = f({typed}{after}", offset=6 + len(typed)))
        assert found is not None and (found[0].text, found[0].replaces) == (left, replaces), typed
    assert cache.find("s", CompletionRequest(text="x = f(a, g(b)))\n", offset=14)) is not None, "the editor's stands"
    cache.put("s", "y()\n", 2, Completion(text="a).b"))
    assert cache.find("s", CompletionRequest(text="y(a)\n", offset=4)) is None, "no closer was to be replaced"


def test_the_line_of_a_brace_is_added_once() -> None:
    cache = Suggestions()
    cache.put("s", "f() {}", 5, Completion(text="\n  a();\n"))
    found = cache.find("s", CompletionRequest(text="f() {\n  }", offset=8))
    assert found is not None and (found[0].text, found[0].replaces) == ("a();\n", 0)
