"""Items of the protocol, made of completions: one that an editor draws in the text, and one of an editor's list."""

from __future__ import annotations

import re

from lsprotocol import types

from lsp_server.list_client import ListClient
from lsp_server.positions import Encoding, units_of
from lsp_server.request import Completion, CompletionRequest

ACCEPTED = "submodel.accepted"


def inline_item(
    completion: Completion,
    request: CompletionRequest,
    info: types.SelectedCompletionInfo | None,
    encoding: Encoding,
    *,
    is_recalled: bool,
) -> types.InlineCompletionItem:
    """Return the item that an editor draws in the text.

    info: the item that is selected in the editor's list, which this one begins with. is_recalled: the completion is
    text at hand and not the model's; whether it is accepted is not counted.
    """
    cursor = types.Position(request.client.line, request.client.character)  # clamped to the document
    start, end = (cursor, cursor) if info is None else (info.range.start, info.range.end)
    text = request.client.to_insert(completion.text)
    begin = start
    if request.may_reindent and completion.indent is not None:
        begin = types.Position(start.line, 0)
        text = completion.indent + request.line_before[len(request.indent) :] + text
    if info is not None:
        text = info.text + text
    is_snippet = request.may_place_cursor and completion.leaves_cursor
    return types.InlineCompletionItem(
        insert_text=_snippet(text, completion.added) if is_snippet else text,
        range=types.Range(start=begin, end=_behind(request, completion, end, encoding)),
        command=None if is_recalled else _accepted(completion),
    )


def list_item(
    completion: Completion, request: CompletionRequest, client: ListClient, encoding: Encoding
) -> types.CompletionItem:
    """Return the item of an editor's list."""
    # Editors filter their lists by the word in front of the cursor. So the item has to begin with it.
    word = client.word_before(request)
    cursor = types.Position(request.client.line, request.client.character)
    start = types.Position(cursor.line, cursor.character - units_of(word, encoding))
    end = _behind(request, completion, cursor, encoding)
    text = word + completion.text
    new_text = request.client.to_insert(text)
    is_plain = client.needs_insert_text(word, request)
    return types.CompletionItem(
        label=text.strip().partition("\n")[0],
        label_details=types.CompletionItemLabelDetails(description="submodel"),
        kind=types.CompletionItemKind.Value,  # blink.cmp before 1.5 drops Text
        preselect=True,
        sort_text="\0",
        filter_text=text.partition("\n")[0],
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        insert_text=new_text if is_plain else None,
        text_edit=None if is_plain else types.TextEdit(range=types.Range(start=start, end=end), new_text=new_text),
        command=_accepted(completion),
    )


def _behind(
    request: CompletionRequest, completion: Completion, position: types.Position, encoding: Encoding
) -> types.Position:
    """Return the end of what a completion replaces, counted from a client's position."""
    replaced = request.text[request.offset : request.offset + completion.replaces]
    return types.Position(position.line, position.character + units_of(replaced, encoding))


def _snippet(text: str, behind: int) -> types.StringValue:
    """Return a text as a snippet that leaves so many of its last characters behind the cursor."""
    before, after = (re.sub(r"[\\$}]", r"\\\g<0>", part) for part in (text[:-behind], text[-behind:]))
    return types.StringValue(value=f"{before}$0{after}")


def _accepted(completion: Completion) -> types.Command:
    return types.Command(title="Accepted", command=ACCEPTED, arguments=[completion.trace_id])
