"""Items of the protocol, made of completions: one that an editor draws in the text, and one of an editor's list."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lsprotocol import types

from lsp_server.positions import Encoding, units_of
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.brackets import insertable

ACCEPTED = "submodel.accepted"


# What Neovim takes for a part of a word in some languages and not in others.
_NEOVIM_SIGNS = frozenset("!#$%&*+-/:<>?@^|~")


@dataclass(frozen=True, kw_only=True)
class ListClient:
    """A client's list. The defaults are those of a list that does what the protocol says."""

    takes_blocks: bool = True  # else an item is one line
    replaces_behind: bool = True  # else it only inserts, and replaces nothing right of the cursor
    takes_first_word: bool = False  # of a `textEdit`; then `insertText` is taken whole
    has_hyphens: bool = False  # it filters by words that hold hyphens, in every language

    def word_before(self, request: CompletionRequest) -> str:
        """Return the word in front of the cursor, by which the client filters its list."""
        further = "-" if self.has_hyphens else ""
        start, text = request.offset, request.text
        while start > 0 and (text[start - 1].isalnum() or text[start - 1] in "_" + further):
            start -= 1
        word = text[start : request.offset]
        return word.lstrip("-") if self.has_hyphens else word

    def fit(self, request: CompletionRequest, completion: Completion) -> Completion:
        """Return what of a suggestion an item may hold; its text is blank if nothing is left."""
        text, replaces = completion.text, completion.replaces
        if not self.replaces_behind:
            text = insertable(text, request.text[request.offset : request.offset + replaces], request.line_before)
            replaces = 0
        if not self.takes_blocks:
            text = text.partition("\n")[0]
        return replace(completion, text=text, replaces=replaces)

    def needs_insert_text(self, word: str, request: CompletionRequest) -> bool:
        """Return whether `insertText` has to stand in the place of `textEdit`."""
        is_sure = word or request.line_before[-1:] not in _NEOVIM_SIGNS
        return self.takes_first_word and bool(is_sure)


def find_list_client(info: types.ClientInfo | None, capabilities: types.ClientCapabilities) -> ListClient:
    """Return what is known of a client's list."""
    if info is None:  # Kate and ALE don't give their names
        return ListClient(replaces_behind=False)
    if info.name == "kakoune-lsp":  # it inserts a block as a snippet
        return ListClient(takes_blocks=False, replaces_behind=False)
    if info.name != "Neovim":
        return ListClient()
    if _has_insert_text_modes(capabilities):  # nvim-cmp and blink.cmp announce them, Neovim's own list does not
        return ListClient(has_hyphens=True)
    # 0.10 writes a NUL for a line feed, 0.12 inserts the first line alone, and 0.11 the first word.
    is_0_11 = (info.version or "").startswith("0.11.")
    return ListClient(takes_blocks=False, replaces_behind=False, takes_first_word=is_0_11)


def is_intellij(info: types.ClientInfo | None) -> bool:
    """Whether a client is LSP4IJ, which writes the version of any IntelliJ product so."""
    return info is not None and re.search(r"\(build [A-Z]+-\d", info.version or "") is not None


def _has_insert_text_modes(capabilities: types.ClientCapabilities) -> bool:
    text_document = capabilities.text_document
    completion = text_document.completion if text_document is not None else None
    item = completion.completion_item if completion is not None else None
    return item is not None and item.insert_text_mode_support is not None


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
