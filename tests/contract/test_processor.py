from __future__ import annotations

import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from contract import processor


@pytest.mark.parametrize(
    ("siblings", "expected"),
    [
        ({0: "0,4", 4: "0,4", 1: "1,5"}, 2),  # two of the three share a core
        ({0: "0"}, 1),
        ({cpu: str(cpu) for cpu in range(64)}, processor.MAX_DEFAULT_THREADS),
    ],
)
def test_threads_are_physical_cores(monkeypatch: pytest.MonkeyPatch, siblings: dict[int, str], expected: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(siblings), raising=False)
    monkeypatch.setattr(processor, "_siblings", siblings.__getitem__)
    monkeypatch.setattr(processor, "fast_processors", lambda allowed: set())
    assert processor.default_threads() == expected


def test_a_process_that_has_some_of_the_cores_alone_uses_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(processor, "_siblings", str)
    monkeypatch.setattr(processor, "fast_processors", lambda allowed: set())
    for count, expected in ((2, 2), (99, processor.MAX_DEFAULT_THREADS)):
        with processor.limited_threads(count):
            assert processor.default_threads() == expected
    assert processor.default_threads() == processor.MAX_DEFAULT_THREADS


@pytest.mark.parametrize(("machine", "logical", "expected"), [("AMD64", 12, 6), ("arm64", 6, 6), ("x86_64", 1, 1)])
def test_threads_where_the_system_does_not_say(
    monkeypatch: pytest.MonkeyPatch, machine: str, logical: int, expected: int
) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: logical)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(processor, "_fast_cores_of_macos", lambda: None)
    assert processor.default_threads() == expected


def test_of_intel_s_hybrid_processors_the_fast_cores_count(tmp_path: Path) -> None:
    (tmp_path / "cpu_core").mkdir()
    (tmp_path / "cpu_core" / "cpus").write_text("0-3,8\n")
    assert processor.fast_processors(range(12), tmp_path) == {0, 1, 2, 3, 8}
    assert processor.fast_processors([9, 10], tmp_path) == set()


@pytest.mark.parametrize(("capacities", "expected"), [([1024, 1000, 400, 400], {0, 1}), ([1024] * 3, {0, 1, 2})])
def test_of_arm_s_cores_those_of_most_capacity_count(tmp_path: Path, capacities: list[int], expected: set[int]) -> None:
    for cpu, capacity in enumerate(capacities):
        folder = tmp_path / "system" / "cpu" / f"cpu{cpu}"
        folder.mkdir(parents=True)
        (folder / "cpu_capacity").write_text(f"{capacity}\n")
    assert processor.fast_processors(range(len(capacities)), tmp_path) == expected


def test_where_nothing_is_reported_all_cores_are_alike(tmp_path: Path) -> None:
    assert processor.fast_processors([0, 1], tmp_path) == set()


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
    monkeypatch.setattr(processor, "_features_of_numpy", set)
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert processor.saturates(tmp_path / "cpuinfo") is expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"AVX2": True, "AVX512VNNI": True}, False),
        ({"AVX2": True, "AVX512VNNI": False}, True),
        ({"AVX2": True}, True),  # a numpy that has other names
        (None, True),
    ],
)
def test_without_cpuinfo_numpy_tells_of_vnni(
    found: dict[str, bool] | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    module = SimpleNamespace() if found is None else SimpleNamespace(__cpu_features__=found)
    monkeypatch.setattr(processor, "import_module", lambda name: module)
    assert processor.saturates(tmp_path / "none") is expected


@pytest.mark.skipif(not processor.is_x86() or sys.platform != "linux", reason="Linux lists what numpy finds")
def test_numpy_finds_the_features_that_linux_lists() -> None:
    assert processor._features_of_numpy() == {"avx2", "avx512_vnni"} & processor.processor_flags()
