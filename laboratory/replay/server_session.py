"""A real server in its own process, with the oracle user: one request a keystroke.

The user waits for each answer, or types at a pace and takes back what is not answered by the next keystroke.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled
from pygls.lsp.client import LanguageClient

from contract.children import child_environment, python_module
from contract.errors import SubmodelError
from contract.progress import OnProgress, no_progress
from laboratory.replay.figures import Replayed
from laboratory.replay.passages import Passage
from laboratory.replay.typist import KeystrokeEdit, Offer, Typist, keys_alone
from lsp_server.options import EXPERIMENTAL

SERVE = (*python_module("submodel"), "serve", "--stdio")
PACED = {"care": {"onBattery": "full"}}  # the defaults, as if on mains power
# The oracle waits for every answer, so that the server need not debounce.
UNHURRIED = {**PACED, EXPERIMENTAL: {"trigger": {"debounceMinMs": 0, "debounceMaxMs": 0}}}
START_TIMEOUT_S = 300  # a bundle of a gigabyte on a busy machine


def replay(
    root: Path,
    bundle: Path,
    passages: Sequence[Passage],
    on_progress: OnProgress = no_progress,
    pace_ms: int | None = None,
) -> list[Replayed]:
    """Type each passage. Raises SubmodelError if the server does not get ready, or ends.

    pace_ms: of a keystroke; None waits for each answer.
    """
    options = UNHURRIED if pace_ms is None else PACED
    return asyncio.run(_replay(root, bundle, passages, options, on_progress, pace_ms))


async def _replay(
    root: Path,
    bundle: Path,
    passages: Sequence[Passage],
    options: dict[str, Any],
    on_progress: OnProgress,
    pace_ms: int | None,
) -> list[Replayed]:
    replayed = []
    async with server(root, bundle, options) as client:
        for index, passage in enumerate(passages):
            replayed.append(await _type(client, root, passage, pace_ms))
            on_progress(index + 1, len(passages))
    return replayed


@asynccontextmanager
async def server(root: Path, bundle: Path, options: dict[str, Any]) -> AsyncIterator[LanguageClient]:
    """Yield a client whose server has these options and its bundle in memory. Raises SubmodelError if it ends."""
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
                initialization_options=options,
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


async def _type(client: LanguageClient, root: Path, passage: Passage, pace_ms: int | None) -> Replayed:
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
        offer, latency_ms = await _ask_until(client, uri, text, typist.offset, pace_ms)
        if latency_ms is not None:
            latencies.append(latency_ms)
        if pace_ms is not None:
            await asyncio.sleep(started + pace_ms / 1000 - time.perf_counter())
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
        late=asked - len(latencies),
        shown=len(shown),
        accepted=accepted,
        wrong=sum(not is_right for is_right in shown.values()),
        latencies_ms=tuple(latencies),
    )


async def _ask_until(
    client: LanguageClient, uri: str, text: str, offset: int, limit_ms: int | None
) -> tuple[Offer | None, float | None]:
    """Return what the server suggests, and after how many milliseconds; what it has not answered by then is cancelled.

    A request that was cancelled has neither.
    """
    id = str(uuid.uuid4())
    started = time.perf_counter()
    answer = asyncio.ensure_future(_ask(client, uri, text, offset, id))
    await asyncio.wait({answer}, timeout=None if limit_ms is None else limit_ms / 1000)
    if answer.done():
        return answer.result(), (time.perf_counter() - started) * 1000
    client.cancel_request(types.CancelParams(id))
    return None, None


async def _ask(client: LanguageClient, uri: str, text: str, offset: int, id: str) -> Offer | None:
    position = _position(text, offset)
    params = types.InlineCompletionParams(
        text_document=types.TextDocumentIdentifier(uri),
        position=position,
        context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
    )
    try:
        result = await client.protocol.send_request_async(types.TEXT_DOCUMENT_INLINE_COMPLETION, params, msg_id=id)
    except JsonRpcRequestCancelled:  # by the user, who types on
        return None
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
