"""Handlers of the protocol's methods, each named as its method. They translate to calls of the server, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lsprotocol import types

from contract.bundle.bundle import WORKSPACE_BUNDLE
from contract.bundle.manifest import MANIFEST_FILE
from contract.documents import ServerStatus
from lsp_server.bounded_streams import LOST_CHANGE
from lsp_server.items import ACCEPTED, ListClient, find_list_client, inline_item, is_intellij, list_item
from lsp_server.open_documents import Document
from lsp_server.options import names_an_option
from lsp_server.server import STATUS, CompletionServer
from lsp_server.session import SNOOZE_MINUTES

NO_ITEMS = types.InlineCompletionList(items=())
# Characters after which an editor without inline completions asks. Within words it asks by itself.
TRIGGER_CHARACTERS = (".", "(", "[", "{", "=", ",", ":", " ", "\n")
BUNDLE_FILES = (f"/{MANIFEST_FILE}", f"/{WORKSPACE_BUNDLE.as_posix()}")  # the folder comes or goes as one
# Clients that count any CR which is not a file's line end as a character of its line.
ONE_LINE_END = frozenset({"Neovim", "Eglot", "helix"})


EXPLAIN = "submodel/explain"
CURSOR = "submodel/cursor"


def register_own_methods(server: CompletionServer) -> None:
    """Register the handlers of these methods."""

    @server.feature(STATUS)
    async def submodel_status(ls: CompletionServer, params: object) -> ServerStatus:
        await ls.session.meter.renew()  # who asks may start a build: not on battery
        return ls.describe()

    @server.feature(EXPLAIN)
    def submodel_explain(ls: CompletionServer, params: object) -> dict[str, Any]:
        uri = _get(_get(params, "textDocument"), "uri")
        count = _get(params, "count")
        traces = ls.session.traces.newest(count if isinstance(count, int) else 1, uri)
        return {"decisions": [trace.to_json() for trace in traces]}

    @server.feature(CURSOR)
    def submodel_cursor(ls: CompletionServer, params: object) -> None:
        uri, position = _get(_get(params, "textDocument"), "uri"), _get(params, "position")
        line, character = _get(position, "line"), _get(position, "character")
        if isinstance(uri, str) and _is_count(line) and _is_count(character):
            ls.note_cursor(uri, types.Position(line, character))

    @server.feature(LOST_CHANGE)
    def submodel_lost_change(ls: CompletionServer, params: object) -> None:
        uri = _get(params, "uri")
        ls.documents.drop(uri if isinstance(uri, str) else None)

    @server.command(ACCEPTED)
    def submodel_accepted(ls: CompletionServer, *arguments: Any) -> None:
        ls.session.tracker.accepted(int(_number(arguments, -1)))

    @server.command("submodel.statistics")
    def submodel_statistics(ls: CompletionServer, *arguments: Any) -> dict[str, Any]:
        document = ls.session.tracker.statistics.to_json()
        if arguments and _get(arguments[0], "reset"):
            ls.session.tracker.reset()
        return document

    @server.command("submodel.pause")
    def submodel_pause(ls: CompletionServer, *arguments: Any) -> ServerStatus:
        ls.session.pause()
        ls.send_status()
        return ls.describe()

    @server.command("submodel.resume")
    def submodel_resume(ls: CompletionServer, *arguments: Any) -> ServerStatus:
        ls.session.pauses.resume()
        ls.send_status()
        return ls.describe()

    @server.command("submodel.snooze")
    def submodel_snooze(ls: CompletionServer, *arguments: Any) -> ServerStatus:
        minutes = ls.session.snooze(_number(arguments, SNOOZE_MINUTES))
        ls.send_status_in(minutes * 60)
        ls.send_status()
        return ls.describe()

    @server.command("submodel.reload")
    async def submodel_reload(ls: CompletionServer, *arguments: Any) -> ServerStatus:
        await ls.reload()
        return ls.describe()


def _number(arguments: Sequence[Any], default: float) -> float:
    value = arguments[0] if arguments else None
    return value if isinstance(value, (int, float)) and 0 <= value < math.inf else default


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 31


def _get(value: object, key: str) -> Any:
    """Return a value of an object that came over the wire: a dictionary, or what pygls makes of one."""
    return value.get(key) if isinstance(value, dict) else getattr(value, key, None)


def register_handlers(server: CompletionServer) -> None:
    """Register the handlers of the protocol's methods."""

    @server.feature(types.INITIALIZE)
    def initialize(ls: CompletionServer, params: types.InitializeParams) -> None:
        client = params.client_info.name if params.client_info is not None else ""
        ls.is_neovim, ls.has_one_line_end = client == "Neovim", client in ONE_LINE_END
        is_list = not _has_inline_completion(params.capabilities)
        if is_list:
            ls.set_list_client(find_list_client(params.client_info, params.capabilities))
        elif is_intellij(params.client_info):
            ls.session.fit = ListClient(replaces_behind=False).fit
        ls.set_initial_options(params.initialization_options)
        if is_list:
            options = types.CompletionOptions(trigger_characters=TRIGGER_CHARACTERS)
            ls.feature(types.TEXT_DOCUMENT_COMPLETION, options)(text_document_completion)

    @server.feature(types.INITIALIZED)
    async def initialized(ls: CompletionServer, params: types.InitializedParams) -> None:
        for problem in ls.problems:
            ls.notices.warn(problem)
        await ls.load_bundles()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def workspace_did_change_configuration(
        ls: CompletionServer, params: types.DidChangeConfigurationParams
    ) -> None:
        settings = _own_settings(params.settings)
        if settings is None:  # the client wants to be asked
            settings = await _ask_for_settings(ls)
        known = ls.problems
        is_changed = ls.set_options(settings)
        ls.note_use()  # a timer runs that the old options have set
        for problem in ls.problems:
            if problem not in known:  # Helix sends its options twice, others all of them at each change of one
                ls.notices.warn(problem)
        if is_changed:
            await ls.reload()
        ls.send_status()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def workspace_did_change_workspace_folders(
        ls: CompletionServer, params: types.DidChangeWorkspaceFoldersParams
    ) -> None:
        await ls.load_bundles()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def workspace_did_change_watched_files(
        ls: CompletionServer, params: types.DidChangeWatchedFilesParams
    ) -> None:
        if any(change.uri.endswith(BUNDLE_FILES) for change in params.changes):
            ls.follow_builds()
            ls.finder.forget()
            await ls.load_bundles()

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def text_document_did_open(ls: CompletionServer, params: types.DidOpenTextDocumentParams) -> None:
        document = Document(params.text_document, ls.encoding, has_one_line_end=ls.has_one_line_end)
        ls.open_document(document)
        ls.note_bundle(document)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def text_document_did_change(ls: CompletionServer, params: types.DidChangeTextDocumentParams) -> None:
        document = ls.document(params.text_document.uri)
        if document is not None:
            ls.note_edits(document, document.take_edits())

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def text_document_did_close(ls: CompletionServer, params: types.DidCloseTextDocumentParams) -> None:
        ls.session.tracker.closed(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def text_document_inline_completion(
        ls: CompletionServer, params: types.InlineCompletionParams
    ) -> types.InlineCompletionList:
        document = ls.document(params.text_document.uri)
        if document is None:
            return NO_ITEMS
        info = params.context.selected_completion_info
        is_invoked = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
        request = ls.request(document, params.position, info=info, is_invoked=is_invoked)
        completion = await ls.ask(request)
        other = await ls.session.recall(request, completion)
        return types.InlineCompletionList(
            items=[
                inline_item(one, request, info, ls.encoding, is_recalled=one is other)
                for one in (completion, other)
                if one is not None
            ]
        )


async def text_document_completion(ls: CompletionServer, params: types.CompletionParams) -> types.CompletionList:
    """Answer as inline completion does, with one item of an editor's list."""
    document = ls.document(params.text_document.uri)
    if document is None:
        return types.CompletionList(is_incomplete=True, items=())
    request = ls.request(document, params.position, is_listed=True)
    completion = await ls.ask(request)
    items = [] if completion is None else [list_item(completion, request, ls.list_client, ls.encoding)]
    return types.CompletionList(is_incomplete=True, items=items)


def _has_inline_completion(capabilities: types.ClientCapabilities) -> bool:
    text_document = capabilities.text_document
    return text_document is not None and text_document.inline_completion is not None


async def _ask_for_settings(ls: CompletionServer) -> object:
    workspace = ls.client_capabilities.workspace
    if workspace is None or not workspace.configuration:
        return None
    items = [types.ConfigurationItem(section="submodel")]
    answers = await ls.workspace_configuration_async(types.ConfigurationParams(items))
    return answers[0] if answers else None


def _own_settings(settings: object) -> object:
    """Return the options that a client has sent, bare or under this server's name, as beside those of other servers."""
    if not isinstance(settings, dict):
        return settings
    if "submodel" in settings:
        return settings["submodel"]
    return settings if names_an_option(settings) else None
