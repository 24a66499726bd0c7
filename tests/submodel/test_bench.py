"""The bench's arithmetic, and our worker over a tiny bundle."""

import itertools
import json
import subprocess
import sys

import pytest

from submodel.bench.replay import make_replay
from submodel.bench.run import BenchSettings, ratios, run_bench
from submodel.console import StageDisplay


def engine(**changes):
    figures = {
        "name": "ours",
        "prompt_tokens_per_s": 900.0,
        "decode_tokens_per_s": 120.0,
        "completion_ms_p50": 50.0,
        "completion_ms_p95": 200.0,
        "resident_bytes": 300,
        "peak_rss_bytes": 400,
    }
    return {**figures, **changes}


def test_a_ratio_above_one_is_better_but_for_memory():
    peer = engine(
        name="peer",
        prompt_tokens_per_s=300.0,
        decode_tokens_per_s=40.0,
        completion_ms_p50=150.0,
        completion_ms_p95=500.0,
        resident_bytes=1000,
        peak_rss_bytes=800,
    )
    assert ratios(engine(), [peer]) == {
        "peer": {
            "prompt": 3.0,
            "decode": 3.0,
            "completion_p50": 3.0,
            "completion_p95": 2.5,
            "memory": 0.3,
            "peak_memory": 0.5,
        }
    }


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    for number in range(40):
        lines = [f"def function_{number}_{i}(value):\n    return value + {number * i}\n" for i in range(30)]
        (folder / f"module_{number}.py").write_text("\n".join(lines))
    return folder


def test_lines_are_typed_key_by_key(repository):
    replay = make_replay(repository, lines=5, keys=3, seed=1)
    assert len(replay.lines) == 5
    for line in replay.lines:
        assert [stroke.is_first for stroke in line] == [True] + [False] * (len(line) - 1)
        for before, after in itertools.pairwise(line):
            assert after.prefix.endswith(before.truth[0])
            assert before.truth == before.truth[0] + after.truth
            assert after.truth not in after.suffix.split("\n")[0]


def test_engines_are_measured_side_by_side(repository, tiny_bundle):
    settings = BenchSettings(
        bundle=tiny_bundle.folder,
        repository=repository,
        threads=1,
        lines=3,
        keys=2,
        prompt_tokens=60,
        decode_tokens=8,
        rounds=2,
    )
    with StageDisplay() as display:
        document = run_bench(settings, display)
    ours, plain = document["engines"]
    assert (ours["name"], plain["name"]) == ("submodel", "submodel, no drafts")
    assert ours["exact_match"] == plain["exact_match"]
    assert document["keystrokes"] == 6
    for figures in document["engines"]:
        assert figures["prompt_tokens_per_s"] > 0
        assert figures["completion_ms_p50"] <= figures["completion_ms_p95"]
        assert figures["peak_rss_bytes"] > 10e6


def test_a_peer_that_is_no_file_is_said(tmp_path):
    command = [sys.executable, "-m", "submodel", "bench", str(tmp_path), "--peer", "llama.cpp=nowhere.gguf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nowhere.gguf" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.dumps(done.stdout) == '""'
