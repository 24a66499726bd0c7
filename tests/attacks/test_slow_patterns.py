"""No regular expression over a stranger's text takes more than linear time.

Succeeds on 9201313 with ten expressions. Seven take the square or worse where they are used: the rule for JWTs (255
kB of `eyJ-` take 1.3 s with the interpreter's lock held), the one for a value on the line below its name, the two for
MBPP's tasks and MultiPL-E's candidates, the last word of an answer, Python's imports (dots) and JavaScript's (white
space, the cube). Three are only ever asked at a line's start, and now say so.

Steps are counted, not seconds: see `regex_steps`.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import builder
import contract
import exporters
import fleet
import laboratory
import lsp_server
import submodel
from submodel.registry import names
from tests.attacks.regex_steps import StepCounter, TooManySteps, pumps

SHORT, LONG = 500, 2000  # characters; a repeat of up to 300, tried at each place, is still linear
MAX_GROWTH = 10.0  # of the steps, from SHORT to LONG: 4 is linear, 16 the square
FREE_STEPS = 20 * LONG  # few enough whatever they grow with
MAX_STEPS = 400 * LONG

# Asked by `match` or `fullmatch` alone, at one place: what is counted is the work there.
_SECRETS = "contract.repository.secret_names"
ANCHORED = frozenset(
    {
        "builder.bases.resolve.HUB_ID.0",
        "fleet.git_source._SCP.0",
        "submodel.registry.names._FETCHED.0",
        "submodel.registry.names._SHORT_FORM.0",
        *(f"{_SECRETS}.{name}.0" for name in ("_QUOTED_VALUE", "_BARE_VALUE", "_DEFAULT_VALUE", "_ELSE_VALUE")),
        *(f"{_SECRETS}.{name}.0" for name in ("_OPEN_VALUE", "_OPEN_ELSE", "_NO_SECRET_END", "_FIELD_VALUE")),
        "contract.repository.secrets._KEY_LINE.0",
    }
)
_NEEDS_MORE = ("torch", "transformers", "onnx", "gguf", "optimum", "onnx_ir")  # not of every installation


def modules() -> Iterator[ModuleType]:
    for package in (contract, builder, exporters, lsp_server, submodel, laboratory, fleet):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__"):
                continue
            try:
                yield importlib.import_module(info.name)
            except ModuleNotFoundError as error:
                if not str(error.name).startswith(_NEEDS_MORE):
                    raise


def _patterns_in(value: object, depth: int = 0) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        if isinstance(value.pattern, str):
            yield value
    elif depth < 3 and isinstance(value, tuple | list | frozenset):
        for one in value:
            yield from _patterns_in(one, depth + 1)
    elif depth < 3 and isinstance(value, dict):
        for one in value.values():
            yield from _patterns_in(one, depth + 1)
    elif depth < 3 and hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for name in value.__dataclass_fields__:
            yield from _patterns_in(getattr(value, name), depth + 1)


def all_patterns() -> dict[str, re.Pattern[str]]:
    """Every compiled expression that a module of ours keeps, by its place."""
    found: dict[re.Pattern[str], str] = {}
    for module in modules():
        for name, value in vars(module).items():
            for number, pattern in enumerate(_patterns_in(value)):
                found.setdefault(pattern, f"{module.__name__}.{name}.{number}")
        for number, pattern in enumerate(_inline_patterns(module)):
            found.setdefault(pattern, f"{module.__name__}.inline.{number}")
    return {place: _at_start(pattern) if place in ANCHORED else pattern for pattern, place in found.items()}


def _at_start(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(f"^(?:{pattern.pattern})", pattern.flags)


def _calls_of_re(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The functions of `re` that are called, each with its first argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "re" and node.func.attr != "escape":
                yield node.func.attr, node.args[0]


def _written(argument: ast.expr) -> str | None:
    """The expression that is written into a call, also of bytes; None if the argument is another one."""
    value = argument.value if isinstance(argument, ast.Constant) else None
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else None


def _tree_of(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text("utf-8"))


def _inline_patterns(module: ModuleType) -> Iterator[re.Pattern[str]]:
    """What is written into a call: `re.sub("…", …)`."""
    for function, argument in _calls_of_re(_tree_of(module)):
        if function != "compile" and (text := _written(argument)) is not None:
            yield re.compile(f"^(?:{text})" if function in ("match", "fullmatch") else text)


PATTERNS = all_patterns()
pytestmark = pytest.mark.slow


def line_of(prefix: str, pump: str, suffix: str, length: int) -> str:
    return prefix + pump * max(1, (length - len(prefix)) // len(pump)) + suffix


counter_of = cache(StepCounter)  # it keeps which characters fit where


def assert_linear(pattern: re.Pattern[str], prefix: str, pump: str, suffix: str) -> None:
    counter = counter_of(pattern)
    try:
        long = counter.count(line_of(prefix, pump, suffix, LONG), MAX_STEPS)
    except TooManySteps:
        pytest.fail(f"more than {MAX_STEPS:,} steps: {pattern.pattern!r} on {prefix!r} + n * {pump!r} + {suffix!r}")
    if long > FREE_STEPS:
        short = counter.count(line_of(prefix, pump, suffix, SHORT))
        assert long <= MAX_GROWTH * short, (
            f"{short:,} steps become {long:,}: {pattern.pattern!r} on {prefix!r} + n * {pump!r} + {suffix!r}"
        )


def test_only_known_expressions_are_put_together_in_a_function() -> None:
    """Those are not tried here: a new one is to be a constant, or to be looked at and named below."""
    found = set()
    for module in modules():
        for node in ast.walk(_tree_of(module)):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for function, argument in _calls_of_re(node) if is_function else ():
                if function == "compile" or _written(argument) is None:
                    found.add((module.__name__, getattr(node, "name", "")))
    assert found == {
        ("contract.repository.secret_forms", "_form"),  # kept in constants, which are tried
        ("contract.repository.secret_forms", "_place"),  # likewise
        ("contract.repository.benchmark_files", "_has_keys"),  # of our own words and one repeat
        ("contract.files.whole_files", "_remove_partial_files"),  # of a name of ours; no repeat without a bound
    }


def test_the_anchored_ones_are_still_there() -> None:
    assert PATTERNS.keys() >= ANCHORED


def test_the_counter_knows_slow_expressions() -> None:
    """The measure itself: it finds what is known to take the square or worse, and passes what does not."""
    for slow, pump in ((r"a*a*b", "a"), (r"(?:a|aa)+b", "a"), (r"eyJ[\w-]*\.", "eyJ-"), (r"\s+$", " ")):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            assert_linear(re.compile(slow), "", pump, "\x01")
    for quick, pump in ((r"a*b", "b"), (r"(?<!a)a++b", "a"), (r"^\s+$", " "), (r"(?>a+)b(?<=ab)", "ab")):
        assert_linear(re.compile(quick), "", pump, "\x01")


def test_the_pumps_reach_what_is_slow_between_two_repeats() -> None:
    """Succeeds on 63ec2ff, where only single repeats and whole texts were repeated: `aA` + n * `Aa-` was not tried."""
    pattern = re.compile(r"[a-z][A-Z].*[A-Z][a-z].*[a-z][A-Z]")
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        for prefix, pump, suffix in pumps(pattern, random.Random(0)):
            assert_linear(pattern, prefix, pump, suffix)


def test_the_counter_agrees_with_the_engine() -> None:
    """What it takes for a match is one: else it would count the work of other expressions."""
    rng = random.Random(0)
    for place, pattern in PATTERNS.items():
        for prefix, pump, suffix in list(pumps(pattern, rng))[:12]:
            text = line_of(prefix, pump, suffix, 60)
            assert StepCounter(pattern).find(text) == _span(pattern.search(text)), (place, text)


def test_a_remote_of_many_endings_is_read_in_linear_time() -> None:
    """Succeeds on de82a37: a clone's own configuration has the address, and no pump above is of these two parts."""
    whole = re.compile(f"^(?:{names._FETCHED.pattern})$")  # as `fullmatch` takes it
    assert_linear(whole, "origin\thttps://host/", " (fetch) [", "")


def _span(match: re.Match[str] | None) -> tuple[int, int] | None:
    return match.span() if match else None


@pytest.mark.parametrize("place", PATTERNS)
def test_no_expression_takes_more_than_linear_time(place: str) -> None:
    pattern = PATTERNS[place]
    for prefix, pump, suffix in dict.fromkeys(pumps(pattern, random.Random(place))):
        assert_linear(pattern, prefix, pump, suffix)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_nor_on_pieces_of_it_that_are_put_together(data: st.DataObject) -> None:
    pattern = PATTERNS[data.draw(st.sampled_from(sorted(PATTERNS)))]
    pieces = list(dict.fromkeys(part for one in pumps(pattern, random.Random(0)) for part in one if part))
    parts = st.lists(st.sampled_from(pieces), min_size=1, max_size=4).map("".join)
    assert_linear(
        pattern, data.draw(st.sampled_from(["", *pieces])), data.draw(parts), data.draw(st.sampled_from(pieces))
    )


SMOKE = """
from contract.repository.file_filters import reason_by_text
from contract.repository.languages import find_language
from contract.repository.secrets import blank_secrets
size = 256_000
pieces = ("key=", "eyJ-", "token: ", "aws", "://a:", "password='", "secret(", "+", "sk-", "basic ", "login a ",
          "curl -u a:", "'\\\\'+'", "A", "a1", "-", "\\\\n", "\\"d\\":\\"", "MII", "password ", "' + '", "x=",
          "?token=", "'x-key:", "openssl ", "auth=('", "mnemonic ", "://a", "env a", "password: |", "\u200bpw", "\\\\'",
          'password=\\"\\"\\"', "key || '", "key ? a : ", "key((a)", "${key:-", "a=b password=",
          "key: a1B2c3D4, ", "key_sha1")
for piece in pieces:
    for text in (piece * (size // len(piece)), (piece + "\\n") * (size // (len(piece) + 1))):
        blank_secrets(text)
tasks = ("'" + " " * 95 + "x Write a function to abcdefghi\\n") * 2000
texts = ("candidate " * 3 + "candidate=x" + " " * size + "y", tasks)
for text in texts:
    reason_by_text(text, find_language("a.py"))
"""


def test_slow_lines_of_a_whole_file_end() -> None:
    """No limit of speed: a pattern that takes the square would take minutes, and is killed."""
    subprocess.run([sys.executable, "-P", "-c", SMOKE], check=True, timeout=120, env={"PYTHONPATH": ":".join(sys.path)})


BELOW = """
from contract.repository.secrets import remove_secrets
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.filters import secret
line = ("(" + ("pw " * 27)[:79] + ")") * 119 + " ||"
text = line + "\\n" + "a" * 200_000
assert remove_secrets(text).text == text
text = line[-4000:] + "\\n" + "a" * 15_000 + "("
assert secret(Completion(text="1, 'x', `y`, \\"z"), CompletionRequest(text=text, offset=len(text))) is None
"""


def test_a_value_below_a_line_of_thousands_of_names_is_judged_for_few_of_them() -> None:
    """On 40147da0 it was judged for each: this took hours, with the interpreter's lock held."""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-P", "-c", BELOW], check=True, timeout=120, env=environment)
