from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lsp_server.options import FilterOptions, ServerOptions, StopOptions
from lsp_server.request import CompletionRequest
from lsp_server.suggestion import stops
from lsp_server.suggestion.refine import FILTERS, STOPS, is_done, refine
from tests.lsp_server.marked_documents import request_at

FOLDER = Path(__file__).parent / "golden"
SECTIONS = ("document", "model", "with it", "without it")
ALWAYS_ON = {
    "invisible",
    "secret",
}  # filters without a switch: tests/attacks/test_invisible_characters.py, test_secrets.py


@dataclass(frozen=True, kw_only=True)
class Case:
    rule: str
    title: str
    request: CompletionRequest
    raw: str
    shown: str
    shown_without: str


def read_cases(path: Path) -> Iterator[Case]:
    for part in re.split(r"(?m)^== ", path.read_text("utf-8"))[1:]:
        title, _, body = part.partition("\n")
        heads = re.findall(r"(?m)^-- (.*)$", body)
        texts = [text.removesuffix("\n") for text in re.split(r"(?m)^-- .*\n", body)[1:]]
        assert [head.partition(",")[0] for head in heads] == list(SECTIONS), f"{path.name}: {title}"
        document, raw, shown, shown_without = (text.replace("→", "\t") for text in texts)
        _, file_name, *more = (word.strip() for word in heads[0].split(","))
        request = request_at(
            f"{document}\n",
            path=file_name,
            options=ServerOptions(),
            is_multi_line="block" in more,
            may_reindent="reindent" in more,
        )
        yield Case(rule=path.stem, title=title, request=request, raw=raw, shown=shown, shown_without=shown_without)


CASES = [case for path in sorted(FOLDER.glob("*.txt")) for case in read_cases(path)]


def show(case: Case, options: ServerOptions) -> str:
    completion = refine(case.raw, replace(case.request, options=options))
    if not completion.text:
        return "nothing"
    place = case.request if completion.indent is None else case.request.with_indent(completion.indent)
    text, offset = place.text, place.offset
    return (text[:offset] + f"«{completion.text}»" + text[offset + completion.replaces :]).removesuffix("\n")


def without(rule: str) -> ServerOptions:
    """Everything but one rule, and but those rules that would mend the same thing."""
    both: dict[str, tuple[str, ...]] = {
        "suffix_duplicate": ("suffix_duplicate", "syntax"),
        "doubled_closers": ("doubled_closers", "syntax"),
    }
    both |= {"repetition": ("repetition", "syntax"), "next_line": ("next_line", "dedent", "syntax")}
    both |= {"special_tokens": ("special_tokens", "syntax"), "newline": ("newline", "dedent", "syntax")}
    both |= {"dedent": ("dedent", "next_line", "syntax"), "whole_line": ("whole_line", "syntax")}
    off = dict.fromkeys(both.get(rule, {rule} - ALWAYS_ON), False)
    of_stops = {name: value for name, value in off.items() if name in STOPS}
    return ServerOptions(
        stops=replace(StopOptions(), **of_stops),
        filters=replace(FilterOptions(), **{name: value for name, value in off.items() if name not in STOPS}),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.title}")
def test_golden(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    assert show(case, ServerOptions()) == case.shown
    if case.rule in ALWAYS_ON:
        others = {name: act for name, act in FILTERS.items() if name != case.rule}
        monkeypatch.setattr("lsp_server.suggestion.refine.FILTERS", others)
    assert show(case, without(case.rule)) == case.shown_without


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.title}")
def test_what_acted_is_reported(case: Case) -> None:
    refined = refine(case.raw, case.request)
    rule = case.rule.replace("_", "-")
    if case.shown == "nothing":
        assert refined.rule == rule
    if case.shown != case.shown_without and case.rule != "whole_line":
        step = next(step for step in refined.steps if step.name == rule)
        assert step.detail
        assert step.before


def test_each_rule_has_a_golden_file_in_which_it_matters_and_a_switch_unless_it_protects_the_user() -> None:
    switches = {one.name for options in (StopOptions, FilterOptions) for one in fields(options)}
    switches.remove("healing")  # it changes the question, not the answer: test_completion
    assert set(STOPS) | set(FILTERS) - ALWAYS_ON | {"whole_line"} == switches
    assert {case.rule for case in CASES if case.shown != case.shown_without} == switches | {"secret"}


STOPPED = [case for case in CASES if case.rule in STOPS and case.shown != case.shown_without]


@pytest.mark.parametrize("case", STOPPED, ids=lambda case: f"{case.rule}: {case.title}")
def test_a_growing_answer_is_stopped(case: Case) -> None:
    """The time of the rest is saved; an answer of one line ends with it."""
    answer = f"{case.raw}\n"
    assert any(is_done(answer[:length], case.request) for length in range(len(answer) + 1))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.title}")
def test_a_growing_answer_is_never_stopped_short(case: Case) -> None:
    """The model is told to end no earlier than where the whole answer is cut."""
    request = replace(case.request, options=ServerOptions(filters=FilterOptions(syntax=False)))
    whole = refine(case.raw, request)
    for length in range(len(case.raw) + 1):
        if is_done(case.raw[:length], request):
            early = refine(case.raw[:length], request)
            assert (early.text, early.replaces) == (whole.text, whole.replaces)
            break


def test_an_answer_that_leaves_the_block_is_stopped_once_its_indentation_is_written() -> None:
    request = CompletionRequest(text="def f(x):\n    y = x\n        \n", offset=28)
    assert not is_done("    ", request)
    assert is_done("    r", request)
    assert not is_done("    r", replace(request, options=without("dedent")))


@pytest.mark.parametrize("typed", ["\u3000", "\u00a0", "\f", "    \u3000"])
def test_an_answer_behind_other_white_space_than_tabs_and_spaces_begins_at_the_cursor(typed: str) -> None:
    """Nothing of it is taken for an indentation that the answer has to repeat."""
    above = "def f(x):\n    y = x\n"
    request = CompletionRequest(text=f"{above}{typed}\n", offset=len(above + typed))
    assert refine("return y\n", request).text == "return y"


def test_a_very_long_line_below_is_not_compared_token_by_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops, "_TOKEN", SimpleNamespace(findall=lambda text: pytest.fail("after each token")))
    request = CompletionRequest(text="x = \n" + "a, " * 1000 + "\n", offset=4, is_multi_line=True)
    assert stops.next_line("1\ny", request, False) is None


def at(document: str, path: str) -> CompletionRequest:
    return request_at(document, path=path, options=ServerOptions())


CLOSING_LINES = ["esac", "@endif", "End If", "end)", r"\end{itemize}", "<% end %>", "{{/if}}", "{{ end }}", "{:else}"]


@pytest.mark.parametrize("line", CLOSING_LINES)
def test_what_closes_a_deeper_block_is_not_the_line_below(line: str) -> None:
    assert refine(f"  {line}", at(f"a\n  b\n  ‸\n{line}\n", "a.txt")).text == line


@pytest.mark.parametrize("line", ["/// <summary>", "@Override", "#[test]", "<div>"])
def test_what_many_definitions_begin_with_may_stand_above_a_blank_line(line: str) -> None:
    assert refine(line, at(f"‸\n\n{line}\nx\n", "a.txt")).text == line


IMPORTS = ["import {}", "from {} import x", "use {}::x;", "using {};", "require '{}'", "#include <{}.h>"]


@pytest.mark.parametrize("form", IMPORTS)
def test_an_import_of_the_run_above_is_not_repeated(form: str) -> None:
    one, other = form.format("first"), form.format("second")
    assert refine(one, at(f"{one}\n{other}\n‸\n", "a.txt")).rule == "repetition"
    assert refine(one, at(f"{one}\n\nx = 1\n‸\n", "a.txt")).text == one, "that is another run"


@pytest.mark.parametrize(
    ("document", "answer", "shown"),
    [
        ("A = [‸]\n", "NaN NaN NaN 1", "NaN NaN NaN 1"),
        ("x: Tuple[‸]\n", "int, int, int, int, int, x", "int, int, int, int, int, x"),
        ("x: Tuple[‸]\n", "first_float, first_float, first_float, first_float, x", "first_float, "),
        ("x = [‸]\n", "a_long_name.of_a_module, " * 3 + "x", "a_long_name.of_a_module, " * 3 + "x"),
        ("f(a‸)\n", ", None, None, None, None)", ", None, None, None, None)"),
        ("f(a‸)\n", ", None" * 9 + ")", ", None"),
        ("f()\n‸\n", "f()", "f()"),
        ("f(1)\n‸\n", "f(1)", ""),
    ],
)
def test_the_longer_an_item_or_a_line_the_sooner_its_repetition_ends(document: str, answer: str, shown: str) -> None:
    assert refine(answer, at(document, "a.txt")).text == shown


@pytest.mark.parametrize(
    ("document", "begins"),
    [
        ("fun f() {\n  ‸\nx\n", True),
        ("x -> {\n  ‸\n}\n", True),
        ("x => {\n  ‸\n}\n", True),
        ("try {\n  ‸\n}\n", True),
        ("} else {\n  ‸\n}\n", True),
        ("fun f() {\n‸\nx\n", False),
        ("fun f() {‸ x\n}\n", False),
        ("class A {\n  fun f() {‸\n}\n", False),
        ("class A {\n  fun f() {‸\n", False),
    ],
)
def test_without_a_grammar_a_body_begins_where_nothing_else_takes_its_braces(document: str, begins: bool) -> None:
    assert stops.begins_body(at(document, "a.kt")) is begins


@pytest.mark.parametrize(
    ("path", "document", "answer", "replaces"),
    [
        ("a.lisp", "(list 'a ‸)\n", "'b)", 1),
        ("a.fs", "let f (a: 'a ‸) = x\n", "b: 'b)", 1),
        ("a.ml", "let f (a : 'a) = g (‸)\n", "b')", 1),
        ("a.elm", "f (x' ‸)\n", "y')", 1),
        ("a.py", "x = (‸)\n", "b'a'), 1", 1),
        ("a.js", "f(g(‸));\n", "a)); b()", 3),
        ("A.java", "List<‸ >\n", "A> b", 2),
        ("a.ts", "x = a‸>\n", "b> c", 0),
    ],
)
def test_how_much_right_of_the_cursor_an_answer_replaces(path: str, document: str, answer: str, replaces: int) -> None:
    refined = refine(answer, at(document, path))
    assert (refined.text, refined.replaces) == (answer, replaces)


@pytest.mark.parametrize(
    ("document", "answer", "shown"),
    [
        ("foo(‸ab)\n", "ab", "ab"),
        ("x = ‸ab c\n", "1 + ab", "1 + ab"),
        ("x = ‸abcd\n", "1 + abc", "1 + "),
        ("x = ‸ab\n", "1 + ab", "1 + "),  # all that stands there
        ("x = ‸ + ab\n", "foo + ab", "foo"),
        ("x = (‸) + ab\n", "foo ) + cd", "foo"),
    ],
)
def test_of_what_stands_right_of_the_cursor_three_characters_or_all_are_no_chance(
    document: str, answer: str, shown: str
) -> None:
    assert refine(answer, at(document, "a.py")).text == shown


@pytest.mark.parametrize(
    ("document", "answer", "shown"),
    [
        ("f() {‸ x}\n", "\n  a();", "\n  a();"),
        ("if (x) {\n  ‸)\n", "  a();\n  b();", "a();\n  b();"),
        ("if (x) {\n  ‸}\n", "  a();", "a();"),
        ("if (x) {\n  ‸}\n", "  a();\n  b();", "a();\n  b();\n"),
    ],
)
def test_only_the_closer_of_a_body_of_several_lines_gets_a_line_of_its_own(
    document: str, answer: str, shown: str
) -> None:
    assert refine(answer, replace(at(document, "a.js"), is_multi_line=True)).text == shown
