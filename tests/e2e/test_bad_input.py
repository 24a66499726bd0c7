"""Bad input: one sentence on stderr, exit code 1, and what was good stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from submodel.app import main

ROOT = Path(__file__).parents[2]
CODE = "def double(number):\n    return number * 2\n"
# What `submodel` is, and then whether torch was imported.
PROGRAM = """
import atexit, sys
from submodel.app import main
atexit.register(lambda: print("torch" in sys.modules))
main()
"""
Done = subprocess.CompletedProcess[str]


def in_a_process(*command: object) -> Done:
    words = [sys.executable, *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)


def in_a_process_of_shell(command: str) -> Done:
    words = ["sh", "-c", command, sys.executable]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


@pytest.fixture
def submodel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command line in this process, which imports torch once for all of these tests."""

    def run(*arguments: object) -> Done:
        words = ["submodel", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(words, ended.value.code, output.out, output.err)

    return run


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = done.stderr.splitlines()  # what is said before is progress
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert [line for line in lines if line.startswith("submodel: ")] == lines[-1:]
    assert lines[-1].endswith(".")
    for word in words:
        assert word in lines[-1]


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    for number in range(40):
        lines = "".join(f"def f{number}_{i}(value_{i}):\n    return value_{i} + {number * i}\n\n\n" for i in range(30))
        (folder / f"module_{number}.py").write_text(lines)
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that is in use")
@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ('cd "$(mktemp -d)" && rmdir "$PWD" && exec "$0" -m submodel trust', "current folder was removed"),
        ('exec "$0" -m submodel bases --json >&-', "standard output is closed"),
    ],
)
def test_without_a_folder_or_an_output_no_command_runs(shell, words):
    done = in_a_process_of_shell(shell)
    assert_one_sentence(done, words)


@pytest.mark.skipif(sys.platform == "win32", reason="as a shell of POSIX closes them")
@pytest.mark.parametrize("closed", ["<&-", "2>&- </dev/null", "<&- 2>&-"])
def test_a_server_whose_input_or_errors_are_closed_ends_as_at_the_end_of_its_input(closed):
    done = in_a_process_of_shell(f'exec "$0" -m submodel serve {closed}')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("file", ["contract/__init__.py", "builder/__init__.py", "contract.py"])
def test_a_stranger_s_package_in_the_place_of_ours_is_named(tmp_path, file):
    name = file.partition("/")[0].removesuffix(".py")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT)))}
    words = [sys.executable, "-P", "-m", "submodel", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert_one_sentence(done, repr(name), repr(str(tmp_path)), "PYTHONPATH")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["complete"], ["build", "--no-such-option"], ["build", "--seed", 2**63]])
def test_a_missing_or_unknown_option_gets_the_usage_and_2(submodel, arguments):
    done = submodel(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage" in done.stderr


def test_a_terminal_without_columns_gets_them_all_the_same(submodel, monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    assert "no-such-option" in submodel("build", "--no-such-option").stderr
    assert "qwen2.5-coder-0.5b" in submodel("bases").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{repository}/nowhere"], ["nowhere"]),
        (["{repository}", "--base", "gpt-7"], ["gpt-7", "smollm2-135m"]),
        (["{repository}", "--size", "1.5"], ["--size", "0.05 to 1"]),
    ],
)
def test_what_is_refused_at_once(repository, arguments, words):
    """Torch takes seconds to import."""
    filled = (argument.format(repository=repository) for argument in arguments)
    done = in_a_process("-c", PROGRAM, "build", *filled)
    assert done.stdout == "False\n"
    done.stdout = ""
    assert_one_sentence(done, *words)


def test_a_repository_too_small_to_split(submodel, tmp_path):
    (tmp_path / "a.py").write_text(CODE)
    assert_one_sentence(submodel("build", tmp_path), "it takes at least")


@pytest.mark.parametrize("size", ["0", "-1"])
def test_a_size_out_of_range(submodel, repository, size):
    assert_one_sentence(submodel("build", repository, "--size", size), "--size", "0.05 to 1")


def test_a_folder_that_is_no_model(submodel, repository, tmp_path):
    (tmp_path / "folder").mkdir()
    assert_one_sentence(submodel("build", repository, "--base", tmp_path / "folder"), "config.json")
    assert_one_sentence(submodel("export", tmp_path / "folder", "-o", tmp_path / "out"), "config.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"GGUF", b"NOPE" + bytes(60), b"GGUF" + b"\x03\0\0\0" + b"\xff" * 16])
def test_a_broken_gguf(submodel, repository, tmp_path, content):
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    assert_one_sentence(submodel("build", repository, "--base", path), "broken.gguf")


def test_an_unknown_precision(repository):
    done = in_a_process("-m", "submodel", "build", repository, "--quantize", "int3")
    assert_one_sentence(done, "int3", "int8")


def test_an_output_that_is_a_file(submodel, repository, tmp_path):
    (tmp_path / "file").write_text("precious")
    assert_one_sentence(submodel("build", repository, "-o", tmp_path / "file"), f"{tmp_path / 'file'} ")
    assert (tmp_path / "file").read_text() == "precious"


def test_completing_where_no_bundle_is(tmp_path):
    (tmp_path / "a.py").write_text(CODE)
    done = in_a_process("-m", "submodel", "complete", tmp_path / "a.py", "--line", 0, "--character", 0)
    assert_one_sentence(done, "submodel build")
