"""A real server in its own process, with the oracle user: one request a keystroke, answered before the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from contract.children import child_environment, python_module
from contract.errors import SubmodelError
from laboratory.replay.figures import Replayed
from laboratory.replay.passages import Passage
from laboratory.replay.typist import KeystrokeEdit, Offer, Typist, keys_alone
from lsp_server.options import EXPERIMENTAL

SERVE = (*python_module("submodel"), "serve", "--stdio")
# The oracle waits for every answer, so that the server need not debounce.
UNHURRIED = {
    "care": {"onBattery": "full"},
    EXPERIMENTAL: {"trigger": {"debounceMinMs": 0, "debounceMaxMs": 0}},
}
START_TIMEOUT_S = 300  # a bundle of a gigabyte on a busy machine


def replay(
    root: Path,
    bundle: Path,
    passages: Sequence[Passage],
    options: dict[str, Any],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Replayed]:
    """Type each passage. Raises SubmodelError if the server does not get ready, or ends.

    `options` are the server's. They override UNHURRIED.
    """
    return asyncio.run(_replay(root, bundle, passages, options, on_progress))


def merge_options(options: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return both options merged group by group, as clients send them; `more` overrides. A group may be null."""
    merged = dict(options)
    for key, value in more.items():
        merged[key] = merge_options(merged.get(key) or {}, value) if isinstance(value, dict) else value
    return merged


async def _replay(
    root: Path,
    bundle: Path,
    passages: Sequence[Passage],
    options: dict[str, Any],
    on_progress: Callable[[int, int], None],
) -> list[Replayed]:
    replayed = []
    async with server(root, bundle, options) as client:
        for index, passage in enumerate(passages):
            replayed.append(await _type(client, root, passage))
            on_progress(index + 1, len(passages))
    return replayed


@asynccontextmanager
async def server(root: Path, bundle: Path, options: dict[str, Any]) -> AsyncIterator[LanguageClient]:
    """Yield a client whose server has its bundle in memory, and does not debounce. Raises SubmodelError if it ends."""
    client = LanguageClient("submodel-replay", "1")
    await client.start_io(*SERVE, "--bundle", str(bundle), env=child_environment())
    try:
        inline = types.InlineCompletionClientCapabilities()
        text_document = types.TextDocumentClientCapabilities(inline_completion=inline)
        general = types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf32])
        await client.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(text_document=text_document, general=general),
                workspace_folders=[types.WorkspaceFolder(uri=root.resolve().as_uri(), name=root.name)],
                initialization_options=merge_options(UNHURRIED, options),
            )
        )
        client.initialized(types.InitializedParams())
        try:
            await until_ready(client)
            yield client
        finally:
            if not client.stopped:  # `stop` waits for its end
                await client.shutdown_async(None)
                client.exit(None)
    except RuntimeError as error:
        if not client.stopped:  # the caller's; pygls raises one if the process ends before it has answered
            raise
        raise SubmodelError(f"The server ended while it was asked ({error}); see if memory ran out.") from error
    finally:
        await client.stop()  # type: ignore[no-untyped-call]


async def until_ready(client: LanguageClient) -> None:
    """Wait for the server's bundle. Raises SubmodelError if it can't be loaded, or not within START_TIMEOUT_S."""
    started = time.monotonic()
    while time.monotonic() - started < START_TIMEOUT_S:
        status = await client.protocol.send_request_async("submodel/status", {})
        if status.state == "ready":
            return
        if status.state == "failed":
            raise SubmodelError(status.message)
        await asyncio.sleep(0.1)
    raise SubmodelError(f"The server was not ready within {START_TIMEOUT_S} s; look at what it says on stderr.")


async def _type(client: LanguageClient, root: Path, passage: Passage) -> Replayed:
    uri = (root.resolve() / passage.path).as_uri()
    typist = Typist(passage=passage)
    document = types.TextDocumentItem(uri, "", 1, typist.text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(document))
    version, asked, latencies = 1, 0, []
    shown: dict[int, bool] = {}  # by the suggestion: whether it was ever right
    accepted = 0
    while not typist.is_done:
        text = typist.text
        started = time.perf_counter()
        offer = await _ask(client, uri, text, typist.offset)
        latencies.append((time.perf_counter() - started) * 1000)
        asked += 1
        change: KeystrokeEdit | None
        if offer is not None:
            shown[offer.id] = shown.get(offer.id, False) or typist.is_right(offer)
        if offer is not None and len(offer.text) > 1 and typist.is_right(offer):
            change = typist.accept(offer)
            accepted += 1
        else:
            change = typist.press()
        if change is not None:
            version += 1
            _send(client, uri, version, text, change)
    client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))
    return Replayed(
        keys_alone=keys_alone(passage),
        keys=typist.keys,
        asked=asked,
        shown=len(shown),
        accepted=accepted,
        wrong=sum(not is_right for is_right in shown.values()),
        latencies_ms=tuple(latencies),
    )


async def _ask(client: LanguageClient, uri: str, text: str, offset: int) -> Offer | None:
    position = _position(text, offset)
    result = await client.text_document_inline_completion_async(
        types.InlineCompletionParams(
            text_document=types.TextDocumentIdentifier(uri),
            position=position,
            context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
        )
    )
    items = result.items if isinstance(result, types.InlineCompletionList) else result or ()
    if not items:
        return None
    item = items[0]
    arguments: Any = item.command.arguments if item.command is not None else None
    replaces = item.range.end.character - position.character if item.range is not None else 0
    return Offer(text=str(item.insert_text), replaces=replaces, id=int(arguments[0]) if arguments else 0)


def _send(client: LanguageClient, uri: str, version: int, text: str, change: KeystrokeEdit) -> None:
    there = types.Range(_position(text, change.start), _position(text, change.start + change.removed))
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(version=version, uri=uri),
            [types.TextDocumentContentChangePartial(range=there, text=change.inserted)],
        )
    )


def _position(text: str, offset: int) -> types.Position:
    """Return the position of an offset, in UTF-32, if lines end in line feeds."""
    line_start = text.rfind("\n", 0, offset) + 1
    return types.Position(text.count("\n", 0, offset), offset - line_start)
