from __future__ import annotations

from lsp_server.status import memory_bytes


def test_this_machine_can_be_read() -> None:
    assert memory_bytes() > 1 << 20
