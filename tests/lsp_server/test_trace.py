"""The log of decisions, which `submodel/explain` shows."""

from __future__ import annotations

from lsp_server.request import ClientCursor, CompletionRequest
from lsp_server.trace import KEPT, TraceLog


def log_of(*uris: str) -> TraceLog:
    log = TraceLog()
    for uri in uris:
        log.add(log.begin(CompletionRequest(text="", offset=0, client=ClientCursor(uri=uri)), started_s=0.0))
    return log


def test_the_log_keeps_the_last_50_decisions_newest_first() -> None:
    log = log_of(*["file:///a.py"] * 60)
    assert KEPT == 50, "docs/protocol.md says so"
    assert [trace.id for trace in log.newest(100)] == list(range(60, 10, -1))
    assert [trace.id for trace in log.newest()] == [60]
    assert log.newest(-1) == []


def test_a_document_s_decisions_are_its_own() -> None:
    log = log_of("file:///a.py", "file:///b.py", "file:///a.py", "file:///b.py")
    assert [trace.id for trace in log.newest(100, "file:///a.py")] == [3, 1]
    assert [trace.id for trace in log.newest(1, "file:///a.py")] == [3]
    assert log.newest(100, "file:///c.py") == []
