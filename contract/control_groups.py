"""The control groups of Linux that limit this process: its own and those above it, of a container or of a user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
# The processor time that a group may take, and in which time, by versions of control groups.
_QUOTAS = (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
# The most bytes that a group may take, what it has taken, and of that the files that give way. Above `memory.high` the
# system slows a group down, so that a build would never end.
_MEMORY = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory.high", "memory.current", "memory.stat", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"),
)


def processor_quota() -> int | None:
    """Return how many processors this process may use at a time; None without a quota.

    More threads than that stop each other.
    """
    quotas = []
    for folder in _folders("cpu"):
        for names in _QUOTAS:
            with suppress(OSError, ValueError, ZeroDivisionError):  # no group of this version, or "max"
                limit, period = (int(part) for name in names for part in (folder / name).read_text("ascii").split())
                if limit > 0:  # -1: no quota
                    quotas.append(max(1, limit // period))
    return min(quotas, default=None)


def memory_limits() -> Iterator[tuple[int, int]]:
    """Yield for each limit on memory the bytes that can still be taken, and the limit."""
    for folder in _folders("memory"):
        for limit, used, kinds, files in _MEMORY:
            with suppress(OSError, ValueError, KeyError):  # the other version, or "max"
                most, taken = (int((folder / name).read_text("ascii")) for name in (limit, used))
                rows = dict(line.split() for line in (folder / kinds).read_text("ascii").splitlines())
                yield max(0, most - taken + int(rows[files])), most


def _folders(controller: str) -> Iterator[Path]:
    """Yield the folders of the groups of a controller, in both versions: this process's own, then those above it.

    A container may not see the folders that its own lies in; then it sees its limits in the root.
    """
    groups = {"": "/", controller: "/"}  # the second version has one tree for all controllers
    with suppress(OSError, ValueError):
        for line in OWN.read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            groups |= {one: path for one in controllers.split(",") if one in groups}
    for tree, path in groups.items():
        folder = CGROUPS / tree / path.lstrip("/")
        yield from (one for one in (folder, *folder.parents) if one.is_relative_to(CGROUPS / tree))
