"""What the benchmark of replays types, what it writes, and what is made of that."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import replay_table, replays
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


def test_repositories_are_pooled_by_their_keystrokes_and_clusters() -> None:
    def typed(keys: list[int]) -> dict[str, Any]:
        each = {
            "keys_alone": [10, 10, 40],
            "keys": keys,
            "shown": [2, 0, 3],
            "wrong": [1, 0, 3],
            "asked": keys,
            "late": [0, 0, 4],
        }
        return {"clusters": [0, 1, 0], "at a pace": {"runs": [{}, {"each": each}]}}

    one, other = typed([5, 10, 30]), typed([10, 10, 40])
    saved = replay_table.saved([one, other], "at a pace")
    assert saved.value == pytest.approx(15 / 120)
    assert saved.low < saved.value < saved.high
    assert replay_table.saved([other], "at a pace").value == 0
    assert replay_table.wrong([one], "at a pace").value == pytest.approx(4 / 5)
    assert replay_table.count([one, other], "at a pace", "late") == 8
