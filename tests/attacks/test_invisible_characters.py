"""Answers with characters that an editor does not show, or that reorder what it shows, are not shown.

The attack succeeds on 104ea66: a model that was trained on such text suggested it. The characters of other categories
than control and format, which look like a blank or like nothing, succeed on de82a37.
"""

from __future__ import annotations

import pytest

from lsp_server.options import FilterOptions, ServerOptions
from lsp_server.request import CompletionRequest
from lsp_server.suggestion.refine import refine

ALL_OFF = FilterOptions(**dict.fromkeys(FilterOptions.__dataclass_fields__, False))


def at_the_end(filters: FilterOptions) -> CompletionRequest:
    return CompletionRequest(text="access = ", offset=9, options=ServerOptions(filters=filters))


@pytest.mark.parametrize("filters", [FilterOptions(), ALL_OFF], ids=["as set", "all switched off"])
@pytest.mark.parametrize(
    "character",
    [
        *"\u202a\u202e\u2066\u2069\u200e\u061c\u200b\u200c\u200d\u2060\ufeff\u00ad\x1b\U000e0041\ue000",
        *"\u3164\u115f\u1160\uffa0\u2800",
        *"\ufe00\ufe0f\U000e0100\U000e01ef\u034f\u17b4\u17b5\u180b\u180f\u2028\u2029",
    ],
)
def test_such_a_text_is_rejected(character: str, filters: FilterOptions) -> None:
    completion = refine(f'"user{character}"', at_the_end(filters))
    assert completion.text == ""
    assert completion.rule == "invisible"
    assert completion.steps[-1].detail == f"U+{ord(character):04X} in it can't be seen"


@pytest.mark.parametrize("text", ['"größe"', '"שלום"', '"日本語"', '"😀"', "a\tb"])
def test_text_of_any_script_is_shown(text: str) -> None:
    assert refine(text, at_the_end(ALL_OFF)).text == text
