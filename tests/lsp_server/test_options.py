from __future__ import annotations

from pathlib import Path

import pytest

from lsp_server.options import ServerOptions, read_options

DEFAULTS = ServerOptions(threads=3)


def test_good_options_replace_defaults() -> None:
    document = {"enabled": False, "bundle": "/some/bundle", "threads": 2, "maxNewTokens": 20}
    expected = ServerOptions(enabled=False, bundle=Path("/some/bundle"), threads=2, max_new_tokens=20)
    assert read_options(document, DEFAULTS) == (expected, [])


@pytest.mark.parametrize(
    ("key", "value", "demand"),
    [
        ("enabled", "yes", "true or false"),
        ("enabled", 1, "true or false"),
        ("bundle", 7, "path of a bundle folder"),
        ("bundle", "", "path of a bundle folder"),
        ("threads", 0, "whole number from 1 to 256"),
        ("threads", True, "whole number from 1 to 256"),
        ("threads", 2.5, "whole number from 1 to 256"),
        ("maxNewTokens", 10**9, "whole number from 1 to 512"),
    ],
)
def test_bad_option_is_named_and_its_default_holds(key: str, value: object, demand: str) -> None:
    options, problems = read_options({key: value}, DEFAULTS)
    assert options == DEFAULTS
    assert len(problems) == 1
    assert repr(key) in problems[0]
    assert demand in problems[0]


def test_one_bad_option_leaves_the_others() -> None:
    options, problems = read_options({"threads": "many", "maxNewTokens": 9, "colour": "red"}, DEFAULTS)
    assert options == ServerOptions(threads=3, max_new_tokens=9)
    assert len(problems) == 2
    assert "'colour'" in problems[1]


@pytest.mark.parametrize("document", [None, {}, {"threads": None}])
def test_what_is_not_set_is_no_problem(document: object) -> None:
    assert read_options(document, DEFAULTS) == (DEFAULTS, [])


def test_document_of_another_kind() -> None:
    options, problems = read_options([1], DEFAULTS)
    assert options == DEFAULTS
    assert "must be an object" in problems[0]
