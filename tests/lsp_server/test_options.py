from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from lsp_server.options import EAGERNESS, CareOptions, ServerOptions, TriggerOptions, read_options
from lsp_server.options_page import render_options
from tests.test_release import needs_all_files

DEFAULTS = ServerOptions(threads=3)


def test_good_options_replace_defaults() -> None:
    document = {"enabled": False, "bundle": "/some/bundle", "threads": 2, "provider": "cpu"}
    expected = ServerOptions(enabled=False, bundle=Path("/some/bundle"), threads=2, provider="cpu")
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
        ("eagerness", "very", "one of 'quiet', 'normal', 'eager'"),
        ("eagerness", ["quiet"], "one of 'quiet', 'normal', 'eager'"),
        ("trigger", True, "an object"),
        ("experimental", True, "an object"),
    ],
)
def test_bad_option_is_named_and_its_default_holds(key: str, value: object, demand: str) -> None:
    options, problems = read_options({key: value}, DEFAULTS)
    assert options == DEFAULTS
    assert len(problems) == 1
    assert repr(key) in problems[0]
    assert demand in problems[0]


def test_one_bad_option_leaves_the_others() -> None:
    options, problems = read_options({"threads": "many", "provider": "cpu", "colour": "red"}, DEFAULTS)
    assert options == ServerOptions(threads=3, provider="cpu")
    assert len(problems) == 2
    assert "'colour'" in problems[1]


@pytest.mark.parametrize(
    "document",
    [None, {}, {"threads": None}, [], {"trigger": []}, {"experimental": []}],  # Neovim sends {} as []
)
def test_what_is_not_set_is_no_problem(document: object) -> None:
    assert read_options(document, DEFAULTS) == (DEFAULTS, [])


def test_document_of_another_kind() -> None:
    options, problems = read_options([1], DEFAULTS)
    assert options == DEFAULTS
    assert "must be an object" in problems[0]


def test_groups_are_nested() -> None:
    document = {"trigger": {"comments": False, "automatic": False}, "care": {"onBattery": "off"}}
    options, problems = read_options(document, DEFAULTS)
    assert problems == []
    assert options.trigger == TriggerOptions(comments=False, automatic=False)
    assert options.care == CareOptions(on_battery="off")
    assert options.threads == 3


@pytest.mark.parametrize(
    ("group", "key", "value", "demand"),
    [
        ("trigger", "comments", 1, "true or false"),
        ("care", "onBattery", "maybe", "one of 'full', 'saving', 'off'"),
        ("care", "idleUnloadMinutes", True, "number from 0 to 100000"),
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


SWITCHES = {
    "maxNewTokens": 9,
    "trigger": {"debounceMaxMs": 90, "budgetMs": 1000, "multiLine": False},
    "stops": {"dedent": False},
    "filters": {"syntax": False},
    "threshold": {"confidence": 0},
    "care": {"prefetch": False},
}


def test_switches_of_studies_are_read_below_their_key_alone() -> None:
    options, problems = read_options({"experimental": SWITCHES}, DEFAULTS)
    assert problems == []
    assert options.trigger == TriggerOptions(debounce_max_ms=90, budget_ms=1000, multi_line=False)
    assert not options.stops.dedent
    assert not options.filters.syntax
    assert (options.threshold.confidence, options.max_new_tokens, options.care.prefetch) == (0, 9, False)

    options, problems = read_options(SWITCHES, DEFAULTS)
    assert options == DEFAULTS
    assert len(problems) == 8
    assert all("There is no option" in problem and "experimental" not in problem for problem in problems)


def test_options_of_users_are_no_switches_and_bad_switches_are_named() -> None:
    document = {"threads": 2, "care": {"onBattery": "off"}, "threshold": {"confidence": 70}}
    options, problems = read_options({"experimental": document}, DEFAULTS)
    assert options == DEFAULTS
    assert [problem.split("'")[1] for problem in problems] == [
        "experimental.threads",
        "experimental.care.onBattery",
        "experimental.threshold.confidence",
    ]
    assert "number from 0 to 1" in problems[2]


def test_eagerness_orders_what_is_shown_and_how_soon() -> None:
    quiet, normal, eager = (read_options({"eagerness": one}, DEFAULTS)[0] for one in ("quiet", "normal", "eager"))
    assert normal == DEFAULTS
    assert quiet.threshold.confidence > normal.threshold.confidence > eager.threshold.confidence
    assert quiet.trigger.debounce_min_ms > normal.trigger.debounce_min_ms > eager.trigger.debounce_min_ms
    assert quiet.trigger.debounce_max_ms > normal.trigger.debounce_max_ms > eager.trigger.debounce_max_ms
    assert quiet.trigger.cold_ms > normal.trigger.cold_ms > eager.trigger.cold_ms
    assert read_options({}, quiet)[0] == quiet, "a change that leaves it out keeps what came with initialize"
    assert read_options({"eagerness": "normal"}, quiet)[0] == DEFAULTS
    switched, _ = read_options({"experimental": {"threshold": {"confidence": 0}}, "eagerness": "quiet"}, DEFAULTS)
    assert switched == replace(quiet, threshold=switched.threshold)
    assert switched.threshold.confidence == 0


@needs_all_files
def test_users_see_at_most_15_options_in_server_and_editor() -> None:
    root = Path(__file__).parents[2]
    manifest = json.loads((root / "vscode-extension" / "package.json").read_text("utf-8"))
    sections = [section["properties"] for section in manifest["contributes"]["configuration"]]
    settings = {name.removeprefix("submodel.") for section in sections for name in section}
    options = set(re.findall(r"(?m)^\| `([\w.]+)`", render_options()))
    assert {"enabled", "eagerness", "trigger.comments"} <= options
    assert options <= settings
    assert len(settings) <= 15


def test_page_of_options_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "options.md"
    assert page.read_text("utf-8") == render_options(), "run python -m lsp_server.options_page > docs/options.md"


def test_the_option_eagerness_names_the_confidence_of_each_word() -> None:
    why = next(one.metadata["why"] for one in fields(ServerOptions) if one.name == "eagerness")
    named = {word: int(percent) / 100 for percent, word in re.findall(r"(\d+) % \(`(\w+)`\)", why)}
    assert named == {word: eagerness.confidence for word, eagerness in EAGERNESS.items()}
