"""Bodies found, taken out and put back."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laboratory.programs.functions import BLANK, cut_body, find_functions, is_test_file

SOURCE = '''\
"""A module."""
import functools


def documented(value):
    """Says what it does."""
    # a hint
    doubled = value * 2

    return doubled  # really


class Shelf:
    size = 3

    class Board:
        def deep(self):
            x = 1
            return x

    @property
    def decorated(
        self,
    ) -> int:
        if self.size:
            return 1
        return 2

    async def outer(self):
        @functools.cache
        def inner():
            y = 1
            return y
        return inner


def one_line(): return 1; return 2
def joined():
    """Doc."""; x = 1
    return x
def only_docs():
    """Nothing.

    At all.
    """
def short():
    return 1
def with_text():
    text = """
left of the body
"""
    return text
if True:
    def conditional():
        x = 1
        return x
def last():
    x = "ü"
    return x'''


def found(text=SOURCE, **limits):
    return {one.name: one for one in find_functions("a.py", text, **{"min_lines": 2, "max_lines": 20} | limits)}


def test_functions_of_modules_and_classes_are_found():
    assert list(found()) == ["documented", "Shelf.Board.deep", "Shelf.decorated", "Shelf.outer", "last"]


def test_bodies_are_whole_lines_without_the_docstring():
    functions = found()
    assert functions["documented"].body == "doubled = value * 2\n\n    return doubled  # really"
    assert functions["Shelf.decorated"].body == "if self.size:\n            return 1\n        return 2"
    assert functions["Shelf.outer"].body.startswith("@functools.cache\n")
    assert functions["last"].body == 'x = "ü"\n    return x'
    for function in functions.values():
        request = function.request(9)
        assert request.prefix + function.body + request.suffix == SOURCE
        assert request.prefix.endswith("\n" + function.indent)
        assert request.cut(function.body) == function.body


def test_lines_of_the_body_are_counted():
    assert "short" in found(min_lines=1)
    assert list(found(min_lines=3, max_lines=3)) == ["documented", "Shelf.decorated"]


def test_a_blanked_file_is_python_and_raises():
    for function in found().values():
        ast.parse(function.with_body(BLANK))
    scope = {}
    exec(found()["last"].with_body(BLANK), scope)
    with pytest.raises(NotImplementedError):
        scope["last"]()
    assert scope["documented"](2) == 4


def test_the_first_lines_indentation_may_come_with_the_answer():
    function = found()["last"]
    assert function.with_body("  return 2") == function.with_body("return 2")


NESTED = "x = (\n" + "-\n" * 6000 + "1)\n"  # for which CPython's parser raises MemoryError


@pytest.mark.parametrize("text", ["def f(:\n", "def f():\r\n    x = 1\r\n    return x\r\n", "\0", "print 1", NESTED])
def test_what_is_no_python_has_no_functions(text):
    assert found(text) == {}


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("x = 1\n    return x\n\n\ndef more():\n    pass", "x = 1\n    return x\n\n"),
        ("x = 1\n    return x\n  y", "x = 1\n    return x"),
        ("\n    return 1\nclass A:", "\n    return 1"),
        ("if x:\n        return 1\n    return 2", "if x:\n        return 1\n    return 2"),
        ("x = 1\n# a comment ends it, too\n    y", "x = 1"),
        ("x = 1\n  ", "x = 1\n  "),  # the line may still become one of the body
        ("x = 1\n\treturn", "x = 1"),
        ("", ""),
    ],
)
def test_a_dedent_ends_the_body(answer, kept):
    assert cut_body(answer, "    ") == kept


@given(st.text(alphabet=" \nx", max_size=30), st.text(alphabet=" \nx", max_size=10))
def test_a_cut_body_stays_cut(answer, more):
    cut = cut_body(answer, "  ")
    assert answer.startswith(cut)
    assert cut_body(cut, "  ") == cut
    if cut != answer:
        assert cut_body(answer + more, "  ") == cut


def test_test_files_are_known_by_name():
    assert all(map(is_test_file, ["test_a.py", "a/b_test.py", "tests/helpers.py", "src/tests/a.py", "conftest.py"]))
    assert not any(map(is_test_file, ["src/contest.py", "testing.py", "latest/a.py", "attest.py"]))
