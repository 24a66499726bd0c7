"""The repository's tests as the judge, on a repository of three files."""

import os
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest

from contract.errors import EvaluationError
from laboratory.programs.functional import FunctionalScores, FunctionalSettings, copied_repository, score_functions
from laboratory.programs.functions import Function
from laboratory.programs.sandbox import Limits

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no sandbox on Windows")

COVERED_BODY = "total = first\n    total += second\n    return total"
SHELF = f'''\
"""Sums."""


def add(first, second):
    """First and second."""
    {COVERED_BODY}


def never_called(value):
    value += 1
    return value
'''
TESTS = """\
from shelf import add


def test_add():
    total = add(2, 3)
    assert total == 5


def test_zero():
    assert add(0, 0) == 0
"""
LIMITS = Limits(needs_namespaces=False, wall_s=60, cpu_s=60, memory_bytes=4 << 30)
QUICK = FunctionalSettings(
    test_command=(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"), limits=LIMITS
)


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "shelf.py").write_text(SHELF)
    (folder / "test_shelf.py").write_text(TESTS)
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main")
    return folder


class Fixed:
    def __init__(self, name, answer):
        self.name = name
        self.answer = answer
        self.asked = []

    def complete(self, requests, on_done):
        self.asked += requests
        on_done(len(requests))
        return [self.answer] * len(requests)


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_models_are_judged_by_the_tests(repository):
    before = tree(repository)
    models = [
        Fixed("knows", COVERED_BODY + "\n\n\ndef broken(:\n"),
        Fixed("does not", "return first - second"),
        Fixed("leaves", "import os\n    os._exit(0)"),
    ]
    seen = []
    scores = score_functions(
        repository,
        ["shelf.py", "test_shelf.py", "README.md"],
        models,
        QUICK,
        on_progress=lambda *step: seen.append(step),
    )
    assert scores.tried == 2
    assert [function.name for function in scores.covered] == ["add"]
    assert scores.passes == {"knows": (True,), "does not": (False,), "leaves": (False,)}
    document = scores.to_json()
    assert document["functions"] == [{"path": "shelf.py", "name": "add"}]
    rate = {"passed": [True], "pass_rate": 1.0, "pass_rate_interval": [pytest.approx(0.2065, abs=1e-4), 1.0]}
    assert document["models"]["knows"] == rate
    (request,) = models[0].asked
    assert request.prefix.endswith('second."""\n    ')
    assert request.suffix.startswith("\n\n\ndef never_called")
    assert COVERED_BODY not in request.prefix + request.suffix
    assert seen[1] == ("functions", 2, 2)
    assert seen[-1] == ("leaves", 2, 2)
    assert tree(repository) == before


@pytest.mark.slow
def test_each_run_starts_from_the_files_as_they_were(repository):
    with copied_repository(repository, QUICK) as copy:
        (add, never_called) = copy.find_functions(["shelf.py"])
        assert not copy.passes(add, COVERED_BODY.replace("second", "sekond"))
        assert copy.passes(add, COVERED_BODY)
        assert copy.passes(never_called, "raise ValueError")
        folder = copy._folder
        assert {str(path): text for path, text in tree(folder).items()} == {
            "shelf.py": SHELF.encode(),
            "test_shelf.py": TESTS.encode(),
        }
    assert not folder.exists()


def test_what_tests_change_is_gone_in_the_next_run(repository):
    once = "import pathlib; left = pathlib.Path('left'); assert not left.exists(); left.touch()"
    settings = FunctionalSettings(test_command=(sys.executable, "-c", once), limits=LIMITS)
    with copied_repository(repository, settings) as copy:
        assert copy.passes(copy.find_functions(["shelf.py"])[0], "pass")


@pytest.mark.slow
def test_an_endless_body_fails(repository):
    with copied_repository(repository, QUICK) as copy:
        add = copy.find_functions(["shelf.py"])[0]
        copy._limits = replace(LIMITS, wall_s=1.5)
        assert not copy.passes(add, "while True:\n        pass")


@pytest.mark.slow
def test_functions_are_drawn_by_seed(repository):
    search = "import sys; sys.exit('NotImplementedError' in open('shelf.py').read())"  # every function is covered

    def draw(seed):
        settings = FunctionalSettings(
            test_command=(sys.executable, "-c", search), limits=LIMITS, functions=1, seed=seed
        )
        scores = score_functions(repository, ["shelf.py"], [], settings)
        assert scores.tried == 1
        return scores.covered[0].name

    drawn = [draw(seed) for seed in range(5)]
    assert set(drawn) == {"add", "never_called"}
    assert draw(0) == drawn[0]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "is_counted"), [("-q", True), ("-qq", False)])
def test_pytest_says_how_many_tests_have_passed(repository, options, is_counted):
    """Else a body that skips the tests would pass."""
    (repository / "pytest.ini").write_text(f"[pytest]\naddopts = {options}\n")
    refusal = nullcontext() if is_counted else pytest.raises(EvaluationError, match="does not say how many tests")
    with refusal, copied_repository(repository, FunctionalSettings(limits=LIMITS)):
        pass


@pytest.mark.slow
def test_tests_that_fail_unchanged_are_reported(repository):
    (repository / "test_shelf.py").write_text("def test_no():\n    assert False\n")
    with (
        pytest.raises(EvaluationError, match=r"do not pass as they are .*failed: 1 failed in") as caught,
        copied_repository(repository, QUICK),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_modules_come_from_the_copy_even_where_the_original_is_installed(repository):
    source = repository / "src"
    source.mkdir()
    (repository / "shelf.py").rename(source / "shelf.py")
    # What an editable install does: the user's own folder is on the path.
    tests = f"import sys; sys.path.append({str(source)!r}); import shelf; assert shelf.add(2, 3) == 5"
    settings = FunctionalSettings(test_command=(sys.executable, "-c", tests), limits=LIMITS)
    with copied_repository(repository, settings) as copy:
        add = copy.find_functions(["src/shelf.py"])[0]
        assert not copy.passes(add, "return 0")


@pytest.mark.slow
def test_links_to_the_users_files_are_left_alone(repository):
    (repository / "linked.py").symlink_to(repository / "shelf.py")
    with copied_repository(repository, QUICK) as copy:
        assert copy.find_functions(["linked.py"]) == ()


def test_a_missing_file_is_reported(repository):
    settings = FunctionalSettings(test_command=("true",), limits=LIMITS)
    with copied_repository(repository, settings) as copy, pytest.raises(EvaluationError, match=r"no file gone\.py"):
        copy.find_functions(["gone.py"])
    with pytest.raises(EvaluationError, match="can't be copied"), copied_repository(repository / "none", settings):
        pass


def test_folders_that_are_nested_too_deeply_are_reported(repository):
    (repository / "/".join("d" * 600)).mkdir(parents=True)
    with pytest.raises(EvaluationError, match="nested too deeply"), copied_repository(repository):
        pass


def test_without_a_covered_function_there_is_no_rate():
    scores = FunctionalScores(tried=1, covered=(), passes={"a": ()}, unchanged_s=1.0, network="none")
    assert scores.to_json()["models"]["a"]["pass_rate"] is None


def test_functions_of_one_file_are_drawn_together():
    function = Function(path="a.py", name="f", text="", start=0, end=0, indent="    ")
    covered = (*[function] * 20, *[replace(function, path="b.py")] * 20)
    passes = tuple(index < 20 for index in range(40))
    scores = FunctionalScores(tried=40, covered=covered, passes={"a": passes}, unchanged_s=1.0, network="none")
    assert scores.to_json()["models"]["a"]["pass_rate_interval"] == [0.0, 1.0]
