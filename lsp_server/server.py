"""The language server: the protocol's messages to calls of the completion service and back.

Handlers are named as the methods that they answer. stdout belongs to the protocol; everything else goes to stderr.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from cattrs import Converter
from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter
from pygls.uris import to_fs_path

from builder.errors import SubmodelError
from exporters.bundle import find_bundle
from exporters.errors import BundleError
from lsp_server.documents import Document
from lsp_server.errors import ServeError
from lsp_server.options import ServerOptions, read_options
from lsp_server.positions import Encoding
from lsp_server.service import CompletionService, Question

log = logging.getLogger(__name__)

NO_COMPLETIONS = types.InlineCompletionList(items=())


class CompletionServer(LanguageServer):
    """One client's server: its options, its documents, and the service that completes them."""

    def __init__(self, options: ServerOptions, version: str) -> None:
        super().__init__("submodel", version, converter_factory=_lenient_converter)
        self.options = options
        self.problems: list[str] = []
        self.service = CompletionService()

    @property
    def encoding(self) -> Encoding:
        """What client and server agreed to count characters in."""
        return Encoding(self.workspace.position_encoding or Encoding.UTF16)

    @property
    def folders(self) -> list[Path]:
        """The workspace's folders on disk, or else the folder that the server was started in."""
        uris = [folder.uri for folder in self.workspace.folders.values()] or [self.workspace.root_uri]
        paths = [path for uri in uris if uri and (path := to_fs_path(uri))]
        return [Path(path) for path in paths] or [Path.cwd()]

    def warn(self, message: str) -> None:
        """Tell the user, and the log."""
        log.warning(message)
        notice = types.ShowMessageParams(type=types.MessageType.Warning, message=f"submodel: {message}")
        self.window_show_message(notice)


def create_server(options: ServerOptions, version: str) -> CompletionServer:
    """A server whose defaults are `options`; what the client sends with `initialize` goes before them."""
    server = CompletionServer(options, version)

    @server.feature(types.INITIALIZE)
    def initialize(ls: CompletionServer, params: types.InitializeParams) -> None:
        ls.options, ls.problems = read_options(params.initialization_options, ls.options)

    @server.feature(types.INITIALIZED)
    async def initialized(ls: CompletionServer, params: types.InitializedParams) -> None:
        for problem in ls.problems:
            ls.warn(problem)
        if not ls.options.enabled:
            return
        try:
            folder = ls.options.bundle or choose_bundle(ls.folders)
            await asyncio.wrap_future(ls.service.load(folder, ls.options.threads))
        except SubmodelError as error:
            ls.warn(f"{error} Then restart the language server; until then it completes nothing.")

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def text_document_did_open(ls: CompletionServer, params: types.DidOpenTextDocumentParams) -> None:
        document = Document(params.text_document, ls.encoding)
        ls.workspace.text_documents[unquote(document.uri)] = document  # in the place of pygls' own

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def text_document_inline_completion(
        ls: CompletionServer, params: types.InlineCompletionParams
    ) -> types.InlineCompletionList:
        document = ls.workspace.get_text_document(params.text_document.uri)
        if not ls.options.enabled or not isinstance(document, Document):
            return NO_COMPLETIONS
        offset = document.offset_at_position(params.position)
        question = Question(
            text=document.source,
            offset=offset,
            path=document.path or "",
            language_id=document.language_id,
            options=ls.options,
        )
        answer = await ls.service.complete(question)
        if answer is None or not answer.text:
            return NO_COMPLETIONS
        end = types.Position(params.position.line, params.position.character + answer.replaces)
        there = types.Range(start=params.position, end=end)
        return types.InlineCompletionList(items=[types.InlineCompletionItem(insert_text=answer.text, range=there)])

    @server.feature(types.SHUTDOWN)
    def shutdown(ls: CompletionServer, params: None) -> None:
        ls.service.close()

    return server


def choose_bundle(folders: Sequence[Path]) -> Path:
    """The first folder's bundle that there is; raises the first folder's BundleError where none has one."""
    failures: list[BundleError] = []
    for folder in folders:
        try:
            return find_bundle(folder)
        except BundleError as error:
            failures.append(error)
    raise failures[0]


def serve_stdio(options: ServerOptions, version: str) -> None:
    """Serve the client at stdin and stdout until it leaves."""
    _log_to_stderr()
    # Whatever else writes to stdout, a library's print or native code, must not get between the messages.
    protocol_output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    server = create_server(options, version)
    try:
        server.start_io(stdout=protocol_output)
    finally:
        server.service.close()


def serve_tcp(host: str, port: int, options: ServerOptions, version: str) -> None:
    """Serve the one client that connects to host:port until it leaves; ServeError where that address is not free."""
    _log_to_stderr()
    server = create_server(options, version)
    try:
        server.start_tcp(host, port)
    except OSError as error:
        raise ServeError(f"Can't listen on {host}:{port} ({error.strerror}); give another host or port.") from error
    finally:
        server.service.close()


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("pygls").setLevel(logging.ERROR)  # below that it logs the user's text, and late cancellations


def _lenient_converter() -> Converter:
    """The converter of pygls, but for triggerKind: clients before the protocol's 3.18 count it from 0."""
    converter: Converter = default_converter()  # type: ignore[no-untyped-call]
    converter.register_structure_hook(types.InlineCompletionTriggerKind, _read_trigger_kind)
    return converter


def _read_trigger_kind(value: object, _: type) -> types.InlineCompletionTriggerKind:
    if value == types.InlineCompletionTriggerKind.Automatic:
        return types.InlineCompletionTriggerKind.Automatic
    return types.InlineCompletionTriggerKind.Invoked
