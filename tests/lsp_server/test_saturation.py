"""Int8 products on processors without VNNI, which add two of them in 16 bits and saturate.

benchmarks/portability/avx2.py runs those kernels on an emulated processor.
"""

from __future__ import annotations

import platform
from pathlib import Path

import onnxruntime
import pytest

from contract import processor, session_config
from contract.bundle.bundle import Bundle
from lsp_server.decoding import runtime


@pytest.mark.parametrize(
    ("cpuinfo", "machine", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f\n", "x86_64", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", "x86_64", False),
        ("flags\t\t: fpu avx2 avx_vnni\n", "AMD64", False),
        (None, "AMD64", True),
        ("Features\t: asimd\n", "aarch64", False),
    ],
)
def test_which_processors_saturate(
    cpuinfo: str | None, machine: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert processor.saturates(tmp_path / "cpuinfo") is expected


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
