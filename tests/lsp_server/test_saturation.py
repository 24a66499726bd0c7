"""The 7-bit question: int8 products on processors without VNNI, which add two of them in 16 bits.

`vpmaddubsw` computes a0·b0 + a1·b1 with a in 0 … 255 and b in −127 … 127, and saturates beyond ±32,767. The bounds here
say what that could do to this project's graphs; benchmarks/portability/avx2.py runs the kernels themselves on an
emulated processor.
"""

from __future__ import annotations

import platform
from pathlib import Path

import onnxruntime
import pytest

from contract import processor, session_config
from contract.bundle.bundle import Bundle
from exporters.matrices import CODE_LIMIT
from lsp_server.decoding import runtime

INT16 = 32_767
LARGEST_ACTIVATION = 128 + CODE_LIMIT  # uint8 with zero point 128


def test_eight_bits_can_saturate_and_seven_can_not() -> None:
    """So the option is needed: our weights use all eight bits, for the quarter of loss that the eighth is worth."""
    assert 2 * LARGEST_ACTIVATION * CODE_LIMIT > INT16
    assert 2 * LARGEST_ACTIVATION * 64 <= INT16


def test_weights_in_float_never_meet_that_kernel() -> None:
    """What int8 falls back to is multiplied out on load; int4's kernel quantizes to 4 bits, and 2·255·15 fits."""
    assert 2 * LARGEST_ACTIVATION * 15 <= INT16


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
