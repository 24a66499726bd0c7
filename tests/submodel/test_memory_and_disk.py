"""What is said of memory and disks, of machines and of containers."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from submodel import memory_and_disk


def looked(check):
    """Its status; what isn't ok says what to do, in one sentence."""
    assert check.found
    assert check.advice.endswith(".") == (check.status != "ok")
    assert "\n" not in check.advice
    return check.status


@pytest.mark.parametrize(
    ("total", "available", "status", "advice"),
    [
        (16e9, 9e9, "ok", ""),
        (16e9, 3e9, "warn", "close other programs"),
        (3e9, 2e9, "warn", "another machine"),
        (3e9, 0.3e9, "warn", "Serving takes"),
    ],
)
def test_memory(monkeypatch, total, available, status, advice):
    play_memory(monkeypatch, total, available)
    check = memory_and_disk.check_memory()
    assert looked(check) == status
    assert advice in check.advice


def play_memory(monkeypatch, total, available):
    """A machine of so many bytes."""
    reported = SimpleNamespace(total=int(total), available=int(available))
    monkeypatch.setattr("psutil.virtual_memory", lambda: reported)


@pytest.mark.parametrize(
    ("parameters", "status", "advice"),
    [
        (1_500_000_000, "warn", "this base takes up to 18.0 GB; take `--base smollm2-135m`, or build"),
        (494_000_000, "warn", "this base takes up to 5.9 GB; take `--base smollm2-135m`, or close other"),
        (300_000_000, "ok", ""),
        (100_000_000, "ok", ""),
    ],
)
def test_a_build_is_to_have_memory_by_its_base(monkeypatch, parameters, status, advice):
    play_memory(monkeypatch, 16e9, 5e9)
    check = memory_and_disk.check_memory(parameters)
    assert (looked(check), advice in check.advice) == (status, True)
    play_memory(monkeypatch, 1e9, 0.9e9)
    assert "base smollm2" not in memory_and_disk.check_memory(100_000_000).advice, "which is no smaller"


def test_disks(tmp_path, monkeypatch):
    folder = tmp_path / "not" / "yet"
    assert looked(memory_and_disk.check_disk("disk", folder, 1)) == "ok"
    assert looked(memory_and_disk.check_disk("disk", folder, 1 << 60)) == "warn"
    assert not [*tmp_path.iterdir()], "nothing is left there"
    monkeypatch.setattr("os.open", Mock(side_effect=PermissionError(13, "refused")))  # os.access says yes on Windows
    check = memory_and_disk.check_disk("disk", folder, 1)
    assert looked(check) == "warn"
    assert f"{tmp_path}, which can't be written" in check.found


@pytest.mark.parametrize(
    ("parameters", "size", "gigabytes"),
    [
        (494_000_000, 0.6, 3.0),  # 2.4, below what is always asked for
        (1_544_000_000, 0.6, 7.4),
        (494_000_000, 1.0, 4.0),
    ],
)
def test_a_build_is_to_have_disk_by_what_it_writes(parameters, size, gigabytes):
    assert round(memory_and_disk.build_disk_bytes(parameters, size) / 1e9, 1) == gigabytes
