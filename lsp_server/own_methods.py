"""Methods beyond the protocol: this server's own, and commands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lsprotocol import types

from contract.documents import ServerStatus
from lsp_server.bounded_streams import LOST_CHANGE
from lsp_server.items import ACCEPTED
from lsp_server.pauses import SNOOZE_MINUTES
from lsp_server.server import STATUS, CompletionServer

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
