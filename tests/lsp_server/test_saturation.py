"""Int8 products on processors without VNNI, which add two of them in 16 bits and saturate."""

from __future__ import annotations

import onnxruntime
import pytest

from contract import session_config
from contract.bundle.bundle import Bundle
from lsp_server.decoding import runtime


@pytest.mark.parametrize("does", [True, False])
def test_a_session_asks_for_products_that_do_not_saturate_where_they_would(
    does: bool, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere they take twice as long for nothing."""
    monkeypatch.setattr(session_config, "saturates", lambda: does)
    entries: dict[str, str] = {}

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def add_session_config_entry(self, key: str, value: str) -> None:
            entries[key] = value
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    runtime.open_session(tiny_bundle.model_path, threads=1)
    assert entries.get("session.x64quantprecision") == ("1" if does else None)
