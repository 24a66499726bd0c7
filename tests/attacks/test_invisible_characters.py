"""Answers with characters that an editor does not show, or that reorder what it shows, are not shown.

The attack succeeds on 104ea66: a model that was trained on such text suggested it.
"""

from __future__ import annotations

import pytest
from lsp_server.suggestion.situation import Situation

from lsp_server.options import FilterOptions, StopOptions
from lsp_server.suggestion.refine import Refinery

ALL_OFF = FilterOptions(**dict.fromkeys(FilterOptions.__dataclass_fields__, False))


@pytest.mark.parametrize("filters", [FilterOptions(), ALL_OFF], ids=["as set", "all switched off"])
@pytest.mark.parametrize(
    "character",
    [*"\u202a\u202e\u2066\u2069\u200e\u061c", *"\u200b\u200c\u200d\u2060\ufeff\u00ad", "\x1b", "\U000e0041"],
)
def test_such_a_text_is_rejected(character: str, filters: FilterOptions) -> None:
    situation = Situation(text="access = ", offset=9, grammar=None)
    refined = Refinery(stops=StopOptions(), filters=filters).refine(f'"user{character}"', situation)
    assert refined.draft.text == ""
    assert refined.rule == "invisible"
    assert refined.steps[-1].detail == f"U+{ord(character):04X} in it can't be seen"


@pytest.mark.parametrize("text", ['"größe"', '"שלום"', '"日本語"', '"😀"', "a\tb"])
def test_text_of_any_script_is_shown(text: str) -> None:
    situation = Situation(text="access = ", offset=9, grammar=None)
    assert Refinery(stops=StopOptions(), filters=ALL_OFF).refine(text, situation).draft.text == text
