"""Documents in which a mark, `‸`, shows the cursor."""

from __future__ import annotations

from typing import Any

from lsp_server.request import CompletionRequest

CURSOR = "‸"


def request_at(document: str, **more: Any) -> CompletionRequest:
    """The request at the mark; `more` are other fields of it."""
    return CompletionRequest(text=document.replace(CURSOR, ""), offset=document.index(CURSOR), **more)
