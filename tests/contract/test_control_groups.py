"""Limits that containers, users and jobs of a shared machine have, in both versions of Linux's control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract import control_groups
from contract.control_groups import memory_limits, processor_quota

QUOTA, PERIOD = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"  # of version 1
BYTES = "memory/memory.limit_in_bytes"


@pytest.fixture(autouse=True)
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of all groups, empty yet. This process is in the root."""
    monkeypatch.setattr(control_groups, "CGROUPS", tmp_path)
    monkeypatch.setattr(control_groups, "OWN", tmp_path / "own")
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


def take(root: Path, group: str = "") -> None:
    """Two gigabytes are taken, half a gigabyte of that by files that were read."""
    write(
        root / "memory" / group, {"memory.usage_in_bytes": "2000000000", "memory.stat": "total_inactive_file 500000000"}
    )
    write(root / group, {"memory.current": "2000000000", "memory.stat": "anon 1\ninactive_file 500000000"})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": ""}, None),
        ({QUOTA: "200000", PERIOD: "100000"}, 2),
        ({QUOTA: "-1", PERIOD: "100000"}, None),
        ({QUOTA: "200000"}, None),
        ({QUOTA: "200000", PERIOD: "0"}, None),
        ({}, None),
    ],
)
def test_the_processors_of_a_container(groups: Path, files: dict[str, str], expected: int | None) -> None:
    write(groups, files)
    assert processor_quota() == expected


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/user.slice/user-7.slice/job", {"user.slice/user-7.slice/cpu.max": "300000 100000"}, 3),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "400000 100000"}, 3),
        ("0::/a/b", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "300000 100000"}, 3),
        ("0::/a", {"other/cpu.max": "100000 100000"}, None),
        (
            "4:memory:/elsewhere\n2:cpuacct,cpu:/slurm/job_1\n0::/",
            {"cpu/slurm/job_1/cpu.cfs_quota_us": "200000", "cpu/slurm/job_1/cpu.cfs_period_us": "100000"},
            2,
        ),
        ("2:cpu:/docker/0a1b\n0::/", {QUOTA: "200000", PERIOD: "100000"}, 2),  # the container sees itself as the root
        ("0::/a:b", {"a:b/cpu.max": "200000 100000"}, 2),
        ("no list", {"cpu.max": "200000 100000"}, 2),
    ],
)
def test_the_processors_of_the_own_group_and_of_those_above(
    groups: Path, own: str, files: dict[str, str], expected: int | None
) -> None:
    write(groups, {"own": own, **files})
    assert processor_quota() == expected


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {"memory.max": "4000000000"}, [(2_500_000_000, 4_000_000_000)]),
        ("0::/", {"memory.max": "max"}, []),
        ("0::/", {"memory.max": "max", "memory.high": "3000000000"}, [(1_500_000_000, 3_000_000_000)]),
        ("0::/", {"memory.max": "1000000000"}, [(0, 1_000_000_000)]),
        ("0::/a/b", {"a/memory.max": "4000000000"}, [(2_500_000_000, 4_000_000_000)]),
        ("4:memory:/a\n0::/", {"memory/a/memory.limit_in_bytes": "4000000000"}, [(2_500_000_000, 4_000_000_000)]),
        ("4:memory:/a\n0::/", {BYTES: "4000000000"}, [(2_500_000_000, 4_000_000_000)]),
    ],
)
def test_the_memory_that_groups_leave(
    groups: Path, own: str, files: dict[str, str], expected: list[tuple[int, int]]
) -> None:
    for group in ("", "a", "a/b"):
        take(groups, group)
    write(groups, {"own": own, **files})
    assert list(memory_limits()) == expected
