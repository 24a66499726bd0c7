from __future__ import annotations

import pytest

from lsp_server import cores


@pytest.mark.parametrize(
    ("siblings", "expected"),
    [
        ({0: "0,4", 4: "0,4", 1: "1,5"}, 2),  # two of the three share a core
        ({0: "0"}, 1),
        ({cpu: str(cpu) for cpu in range(64)}, cores.MAX_DEFAULT_THREADS),
    ],
)
def test_threads_are_physical_cores(monkeypatch: pytest.MonkeyPatch, siblings: dict[int, str], expected: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(siblings), raising=False)
    monkeypatch.setattr(cores, "_siblings", siblings.__getitem__)
    assert cores.default_threads() == expected


@pytest.mark.parametrize(("machine", "logical", "expected"), [("AMD64", 12, 6), ("arm64", 6, 6), ("x86_64", 1, 1)])
def test_threads_where_the_system_does_not_say(
    monkeypatch: pytest.MonkeyPatch, machine: str, logical: int, expected: int
) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: logical)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert cores.default_threads() == expected
