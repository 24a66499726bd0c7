"""Judges a model by the repository's own tests: the model writes a function's body, and the tests run with it.

Each run has a fresh copy, in the sandbox, without network; the user's folder is only read. A body is put into the copy
before anything of the repository runs there. Nothing is written to a copy afterwards, so that a link that tests leave
in the place of a file leads no later write astray. The copy that the others are made from lies where no program in
namespaces sees it. A function counts if the tests notice its absence: they pass with the file as it is, and fail with
`raise NotImplementedError` for a body.

Not covered: languages other than Python; tests that need a network, a container, devices or Unix sockets; tests that
need files that the copy leaves out (`LEFT_OUT`) or that the sandbox hides, as in the home folder; and tests that fail
now and then, which make functions look covered and models look worse.

Tests have passed if the command's exit code is 0, and for pytest also if its count is unchanged. An answer that ends
the process early with 0 is noticed by the missing count, but not with other test runners. Answer and tests share a
process: an answer that prints pytest's last line and then ends the process passes. So the figures are valid for models
that try to solve the task, not for models that try to pass.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from builder.evaluation.metrics import share_of
from contract.errors import EvaluationError
from laboratory.programs.completer import ProgramCompleter
from laboratory.programs.functions import BLANK, Function, find_functions, is_test_file
from laboratory.programs.sandbox import Limits, Network, SandboxRun, run_sandboxed, temporary_folder

LEFT_OUT: Final = (".git", ".submodel", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox")
MOST_COPIED_BYTES: Final = 4 << 30  # where the temporary folder is in memory, the copy is, too
MOST_COPIED_FILES: Final = 500_000
TESTS_LIMITS: Final = Limits(
    wall_s=300.0,
    cpu_s=300,
    memory_bytes=8 << 30,  # address space: numeric libraries reserve gigabytes that they don't use
    processes=256,
    file_bytes=1 << 30,
    open_files=1024,
)


@dataclass(frozen=True, kw_only=True)
class FunctionalSettings:
    """How the tests are run, and how many functions are tried."""

    python: str = sys.executable  # the interpreter that has what the repository needs
    test_command: tuple[str, ...] = ()  # of another runner; by default pytest, which stops at the first failure
    limits: Limits = TESTS_LIMITS
    functions: int = 50  # each costs one run of the tests, with its body blanked; a covered one costs one more a model
    min_lines: int = 2  # of the body without its docstring
    max_lines: int = 20
    max_new_tokens: int = 400  # about 20 long lines
    seed: int = 1

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs in the copy."""
        return self.test_command or (self.python, "-m", "pytest", "-x")


_DEFAULT_SETTINGS: Final = FunctionalSettings()


@dataclass(frozen=True, kw_only=True)
class FunctionalScores:
    """The results. The passes of each model are in the order of the covered functions."""

    tried: int
    covered: tuple[Function, ...]
    passes: dict[str, tuple[bool, ...]]
    unchanged_s: float  # one run of the tests
    network: Network

    def to_json(self) -> dict[str, Any]:
        """Return for reports the functions, and the share of covered ones that each model writes so that tests pass."""
        return {
            "functions_tried": self.tried,
            "functions_covered": len(self.covered),
            "functions": [{"path": function.path, "name": function.name} for function in self.covered],
            "models": {name: _rate(passes, [one.path for one in self.covered]) for name, passes in self.passes.items()},
            "tests_s": self.unchanged_s,
            "network": self.network,
        }


def _rate(passes: Sequence[bool], files: Sequence[str]) -> dict[str, Any]:
    if not passes:
        return {"passed": [], "pass_rate": None, "pass_rate_interval": None}
    interval = share_of(passes, files)
    return {
        "passed": list(passes),
        "pass_rate": interval.value,
        "pass_rate_interval": [interval.low, interval.high],
    }


class RepositoryCopy:
    """A copy of the repository whose tests pass. Each run of the tests gets a copy of it with one body exchanged."""

    def __init__(self, folder: Path, settings: FunctionalSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._limits = settings.limits
        run = self._run_tests()
        if not run.is_passed:
            raise EvaluationError(_say_failure(settings.command, run))
        self.unchanged_s = run.seconds
        self.network = run.network
        self._count = _passed_count(run.stdout)
        if self._count is None and not settings.test_command:
            raise EvaluationError(
                "pytest does not say how many tests have passed, so that skipped ones would count; take -q out of the "
                "repository's options for pytest, or name a command with --test-command."
            )
        # A body that never ends should not cost the whole time; the margin is for a machine with other work.
        wall_s = min(self._limits.wall_s, 10.0 + 4 * run.seconds)
        self._limits = replace(self._limits, wall_s=wall_s)

    def passes(self, function: Function, body: str) -> bool:
        """Return whether the tests pass with that body."""
        run = self._run_tests({function.path: function.with_body(body)})
        return run.is_passed and _passed_count(run.stdout) == self._count

    def find_functions(self, paths: Iterable[str]) -> tuple[Function, ...]:
        """Return the functions of Python files among `paths` (posix, below the root) that aren't tests, in order."""
        found: list[Function] = []
        for path in sorted(set(paths)):
            if not path.endswith(".py") or is_test_file(path):
                continue
            try:
                whole = self._folder / path
                if whole.resolve(strict=True) != whole:  # a link, perhaps to the user's own files
                    continue
                text = whole.read_bytes().decode().replace("\r\n", "\n")
            except FileNotFoundError as error:
                raise EvaluationError(f"There is no file {path} in the repository to take functions from.") from error
            except UnicodeDecodeError:
                continue
            settings = self._settings
            found += find_functions(path, text, min_lines=settings.min_lines, max_lines=settings.max_lines)
        return tuple(found)

    def _run_tests(self, changed: Mapping[str, str] = MappingProxyType({})) -> SandboxRun:
        """Run the tests in a fresh copy; the files `changed` (path → text) are written into it beforehand."""
        with temporary_folder("submodel-run-") as parent:
            folder = parent / self._folder.name
            try:
                shutil.copytree(self._folder, folder, symlinks=True)
                for path, text in changed.items():
                    _replace_text(folder, path, text)
            except (OSError, shutil.Error, RecursionError) as error:
                raise EvaluationError(
                    f"The repository can't be copied to {parent} for a run of its tests: {_why(error)}"
                ) from error
            # Before what is installed: an editable install would lead the tests back to the user's own folder.
            roots = [folder, *(source for source in [folder / "src"] if source.is_dir())]
            return run_sandboxed(self._settings.command, self._limits, folder=folder, python_path=roots)


def _why(error: Exception) -> str:
    """Why a copy failed. `shutil.copytree` and, before Python 3.12, `os.walk` call themselves for each folder."""
    return "its folders are nested too deeply." if isinstance(error, RecursionError) else str(error)


def _replace_text(root: Path, path: str, text: str) -> None:
    """Put a new file with that text in the place of `path` (posix, below `root`); OSError if a link leads to it."""
    *folders, name = path.split("/")
    no_link = getattr(os, "O_NOFOLLOW", 0)  # functions are tried on POSIX only
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | no_link
    descriptor = os.open(root, flags)
    try:
        for folder in folders:
            above, descriptor = descriptor, os.open(folder, flags, dir_fd=descriptor)
            os.close(above)
        mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
        os.unlink(name, dir_fd=descriptor)
        fresh = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | no_link, mode & 0o777, dir_fd=descriptor)
        with os.fdopen(fresh, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    finally:
        os.close(descriptor)


def _check_size(repository: Path) -> None:
    """Raise EvaluationError for a repository that is too large to be copied for each run of its tests."""
    size = count = 0
    for folder, folders, files in os.walk(repository):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in files:
            with suppress(OSError):
                size += Path(folder, name).lstat().st_size
        count += len(folders) + len(files)
        if size > MOST_COPIED_BYTES or count > MOST_COPIED_FILES:
            raise EvaluationError(
                f"The repository {repository} is too large to be copied for each run of its tests: at most "
                f"{MOST_COPIED_BYTES >> 30} GiB and {MOST_COPIED_FILES:,} files. Score it without --functional."
            )


@contextmanager
def copied_repository(repository: Path, settings: FunctionalSettings = _DEFAULT_SETTINGS) -> Iterator[RepositoryCopy]:
    """Copy the repository and run its tests unchanged; the copy is removed at the end.

    Raises EvaluationError where it can't be copied or its tests do not pass.
    """
    with temporary_folder("submodel-tests-") as parent:
        folder = parent / (repository.resolve().name or "repository")
        try:
            _check_size(repository)
            shutil.copytree(repository, folder, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        except (OSError, shutil.Error, RecursionError) as error:
            raise EvaluationError(
                f"The repository {repository} can't be copied to run its tests: {_why(error)}"
            ) from error
        yield RepositoryCopy(folder, settings)


def score_functions(
    repository: Path,
    held_out: Sequence[str],
    completers: Iterable[ProgramCompleter],
    settings: FunctionalSettings = _DEFAULT_SETTINGS,
    *,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> FunctionalScores:
    """Let each model write functions of the held-out files, and the tests judge.

    `completers` is gone through once, so that it may load one model after the other. on_progress(what, done, total)
    counts the functions that are blanked and then each model's. Raises EvaluationError as `copied_repository` does.
    """
    with copied_repository(repository, settings) as copy:
        found = copy.find_functions(held_out)
        rng = random.Random(settings.seed)
        tried = [found[i] for i in sorted(rng.sample(range(len(found)), min(settings.functions, len(found))))]
        covered: list[Function] = []
        for done, function in enumerate(tried, start=1):
            if not copy.passes(function, BLANK):
                covered.append(function)
            on_progress("functions", done, len(tried))
        passes: dict[str, tuple[bool, ...]] = {}
        for completer in completers:
            passes[completer.name] = _judge(copy, covered, completer, settings, on_progress)
            del completer  # makes room for the next one
        return FunctionalScores(
            tried=len(tried),
            covered=tuple(covered),
            passes=passes,
            unchanged_s=copy.unchanged_s,
            network=copy.network,
        )


def _judge(
    copy: RepositoryCopy,
    covered: Sequence[Function],
    completer: ProgramCompleter,
    settings: FunctionalSettings,
    on_progress: Callable[[str, int, int], None],
) -> tuple[bool, ...]:
    requests = [function.request(settings.max_new_tokens) for function in covered]
    done, total = 0, 2 * len(covered)

    def step(count: int) -> None:
        nonlocal done
        done += count
        on_progress(completer.name, done, total)

    passes = []
    for function, request, answer in zip(covered, requests, completer.complete(requests, step), strict=True):
        passes.append(copy.passes(function, request.cut(answer)))
        step(1)
    return tuple(passes)


def _passed_count(output: str) -> str | None:
    """Return how many tests passed by pytest's last line; None if the last line is another."""
    lines = output.rstrip().rsplit("\n", 1)
    match = re.search(r"\b\d+ passed\b", lines[-1])
    return match.group() if match else None


def _say_failure(command: Sequence[str], run: SandboxRun) -> str:
    # A test runner's last word is on stdout; stderr may end with a plug-in's warning.
    lines = (run.stdout.strip() or run.stderr.strip()).splitlines()
    last = f": {lines[-1].strip()}" if lines else ""
    return (
        f"The repository's tests do not pass as they are ({' '.join(command)}, {run.outcome}{last}); name an "
        "interpreter that has what they need, or a command whose tests pass in a copy without network and home folder."
    )
