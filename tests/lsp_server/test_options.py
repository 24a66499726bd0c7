from __future__ import annotations

from pathlib import Path

import pytest

from lsp_server.options import CareOptions, ServerOptions, TriggerOptions, read_options
from lsp_server.options_page import render_options

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
        ("filters", True, "an object"),
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


def test_groups_are_nested() -> None:
    document = {"trigger": {"comments": False, "debounceMaxMs": 90}, "care": {"onBattery": "off"}}
    options, problems = read_options(document, DEFAULTS)
    assert problems == []
    assert options.trigger == TriggerOptions(comments=False, debounce_max_ms=90)
    assert options.care == CareOptions(on_battery="off")
    assert options.threads == 3


@pytest.mark.parametrize(
    ("group", "key", "value", "demand"),
    [
        ("trigger", "budgetMs", 1, "whole number from 50 to 60000"),
        ("threshold", "precision", 70, "number from 0 to 1"),
        ("care", "onBattery", "maybe", "one of 'full', 'saving', 'off'"),
        ("care", "maxLoad", True, "number from 0 to 100"),
    ],
)
def test_bad_option_of_a_group_is_named_with_its_path(group: str, key: str, value: object, demand: str) -> None:
    options, problems = read_options({group: {key: value, "colour": 1}}, DEFAULTS)
    assert options == DEFAULTS
    assert len(problems) == 2
    assert f"'{group}.{key}'" in problems[0]
    assert demand in problems[0]
    assert f"'{group}.colour'" in problems[1]
    assert f"{group}.{key}" in problems[1], "the known ones are listed"


def test_page_of_options_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "options.md"
    assert page.read_text("utf-8") == render_options(), "run python -m lsp_server.options_page > docs/options.md"
