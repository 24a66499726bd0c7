"""What the benchmark of replays types, and what it writes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import replays
from laboratory.replay.replay_run import ReplaySettings


def test_both_kinds_are_typed_with_waiting_and_at_a_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, int | None]] = []
    written: dict[str, Any] = {}

    def played(settings: ReplaySettings, _: object) -> dict[str, Any]:
        assert settings.bundle == tmp_path / "built" / "bundle"
        asked.append((settings.repository.name, settings.since, settings.pace_ms))
        rows = [{"name": "server"}]
        return {
            "source": "some",
            "clusters": ["b.py", "a.py", "b.py"],
            "pace_ms": settings.pace_ms,
            "runs": rows,
            "seconds": 1,
        }

    clone, built = tmp_path / "clone", tmp_path / "built"
    monkeypatch.setattr("sys.argv", ["replays", str(clone), "--built", str(built), "--name", "n", "--back", "3"])
    for name, value in {
        "find_trusted_bundle": lambda folder: folder / "bundle",
        "commit_at": lambda folder, back: f"HEAD~{back or 3}" if folder == built else f"HEAD~{back}",
        "read_bundle": lambda folder, **_: SimpleNamespace(build="b"),
        "run_replay": played,
        "print_replay": lambda _: None,
        "write_result": lambda name, document: written.update({name: document}),
    }.items():
        monkeypatch.setattr(replays, name, value)

    replays.main()

    assert asked == [
        *[("built", None, pace) for pace in (None, replays.PACE_MS)],
        *[("clone", "HEAD~3", pace) for pace in (None, replays.PACE_MS)],
    ]
    document = written["replay-n"]
    assert document["bundle_build"] == "b"
    for kind in ("held-out", "later"):
        one = document["kinds"][kind]
        assert len(set(one["clusters"])) == 2
        assert (one["waiting"]["pace_ms"], one["at a pace"]["pace_ms"]) == (None, replays.PACE_MS)
