"""A protocol that survives clients' errors.

pygls leaves a request whose parameters it can't read without an answer. It fails on a change of a document that was
never opened.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar
from urllib.parse import unquote

from cattrs import Converter
from lsprotocol import converters, types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidRequest
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, JsonRPCResponseMessage, LanguageServerProtocol
from pygls.protocol.language_server import lsp_method

from lsp_server.open_documents import OpenDocuments

T = TypeVar("T")


class TolerantProtocol(LanguageServerProtocol):
    """pygls' protocol, but it answers each request, ignores changes of unknown documents, and drops ended futures."""

    def structure_message(self, data: dict[str, Any]) -> Any:
        """Return a message from its JSON. One that can't be read is refused by its id, if it has one."""
        try:
            _check(data)
            return super().structure_message(data)
        except JsonRpcException as error:
            number = data.get("id")
            if "method" in data and isinstance(number, (int, str)):
                self._send_response(number, error=error.to_response_error())
            if data.get("method") == types.TEXT_DOCUMENT_DID_CHANGE:
                self._documents().drop(_uri_of(data))
            raise

    def _execute_handler(
        self,
        msg_id: int | str,
        handler: Callable[..., Any],
        callback: Callable[[Any], None],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Run a handler, and forget its future once it is done: pygls 2.1 keeps those of notifications for ever."""

        def forget(future: Any) -> None:
            if not future.cancelled():  # pygls itself forgets one that a client cancels; shutdown iterates over them
                self._request_futures.pop(msg_id, None)
            callback(future)

        super()._execute_handler(msg_id, handler, forget, args, kwargs)

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> Generator[Any, Any, None]:
        """Cancel what has not ended, then shut down. pygls fails if a request's entry goes while it iterates."""
        for number, future in list(self._request_futures.items()):
            if number != self.msg_id:
                future.cancel()
        yield from super().lsp_shutdown(*args)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Generator[Any, Any, None]:
        """Change a document that is open."""
        if unquote(params.text_document.uri) in self.workspace.text_documents:
            yield from super().lsp_text_document__did_change(params)

    def _documents(self) -> OpenDocuments:
        return OpenDocuments({} if self._workspace is None else self.workspace.text_documents)


def _check(data: dict[str, Any]) -> None:
    """Raise JsonRpcInvalidRequest unless a message is as pygls takes for granted."""
    if "jsonrpc" not in data:
        return
    number, method, error = data.get("id"), data.get("method", ""), data.get("error")
    is_right = number is None or (isinstance(number, (int, str)) and not isinstance(number, bool))
    is_right = is_right and isinstance(method, str) and (method != "" or "method" not in data)
    if isinstance(error, dict):
        is_right = is_right and isinstance(error.get("code"), int) and isinstance(error.get("message"), str)
    if not is_right:
        raise JsonRpcInvalidRequest()


def _uri_of(data: dict[str, Any]) -> str | None:
    """Return the document that a message names, None if it names none."""
    params = data.get("params")
    document = params.get("textDocument") if isinstance(params, dict) else None
    uri = document.get("uri") if isinstance(document, dict) else None
    return uri if isinstance(uri, str) else None


class _TriggerKinds:
    """Reads triggerKind from clients that count it from 1, as the protocol does, and from 0, as VS Code's API does.

    A client that has once sent 0 counts from there: its 1 is what the protocol calls 2.
    """

    def __init__(self) -> None:
        self._counts_from_0 = False

    def read(self, value: object, _: type) -> types.InlineCompletionTriggerKind:
        self._counts_from_0 |= value == 0
        if value == 2 or (value == 1 and self._counts_from_0):
            return types.InlineCompletionTriggerKind.Automatic
        return types.InlineCompletionTriggerKind.Invoked


def lenient_converter() -> Converter:
    """Return pygls' converter, changed for triggerKind and for methods of our own. It stops at the first fault.

    pygls' own collects all faults: a hundred thousand letters in the place of a list keep it busy for three seconds. It
    also makes a class for each object within a message that the protocol doesn't know: a megabyte of `{},` keeps it
    busy for 25 seconds and takes 2 GB. Here such objects stay dictionaries.
    """
    converter: Converter = converters.get_converter(Converter(detailed_validation=False))
    for message in (JsonRPCRequestMessage, JsonRPCResponseMessage, JsonRPCNotification):
        converter.register_structure_hook(message, _as_it_is)
    converter.register_structure_hook(types.InlineCompletionTriggerKind, _TriggerKinds().read)
    return converter


def _as_it_is(message: dict[str, Any], kind: type[T]) -> T:
    if kind is not JsonRPCResponseMessage:
        message = {"params": None, **message}  # JSON-RPC lets them be left out
    return kind(**message)
