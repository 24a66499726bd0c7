"""Bad input: one sentence on stderr, exit code 1, and what was good stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = "def double(number):\n    return number * 2\n"


def submodel(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "submodel", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


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


def test_no_repository(tmp_path):
    assert_one_sentence(submodel("build", tmp_path / "nowhere"), "nowhere")


def test_an_empty_repository(tmp_path):
    assert_one_sentence(submodel("build", tmp_path), str(tmp_path.name))


def test_a_repository_of_binaries(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 10)
    assert_one_sentence(submodel("build", tmp_path))


def test_a_repository_too_small_to_split(tmp_path):
    (tmp_path / "a.py").write_text(CODE)
    assert_one_sentence(submodel("build", tmp_path), "it takes at least")


def test_an_unknown_base(repository):
    assert_one_sentence(submodel("build", repository, "--base", "gpt-7"), "gpt-7", "smollm2-135m")


@pytest.mark.parametrize("size", ["0", "1.5", "-1"])
def test_a_size_out_of_range(repository, size):
    assert_one_sentence(submodel("build", repository, "--size", size), "--size", "0.05 to 1")


def test_a_folder_that_is_no_model(repository, tmp_path):
    (tmp_path / "folder").mkdir()
    assert_one_sentence(submodel("build", repository, "--base", tmp_path / "folder"), "config.json")
    assert_one_sentence(submodel("export", tmp_path / "folder", "-o", tmp_path / "out"), "config.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"GGUF", b"NOPE" + bytes(60), b"GGUF" + b"\x03\0\0\0" + b"\xff" * 16])
def test_a_broken_gguf(repository, tmp_path, content):
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    assert_one_sentence(submodel("build", repository, "--base", path), "broken.gguf")


def test_an_unknown_precision(repository):
    assert_one_sentence(submodel("build", repository, "--quantize", "int3"), "int3", "int8")


def test_an_output_that_is_a_file(repository, tmp_path):
    (tmp_path / "file").write_text("precious")
    assert_one_sentence(submodel("build", repository, "-o", tmp_path / "file"), f"{tmp_path / 'file'} ")
    assert (tmp_path / "file").read_text() == "precious"


def test_completing_where_no_bundle_is(tmp_path):
    (tmp_path / "a.py").write_text(CODE)
    assert_one_sentence(submodel("complete", tmp_path / "a.py", "--line", 0, "--character", 0), "submodel build")


def test_positions_outside_and_invalid_text(tmp_path, tiny_bundle):
    good, bad = tmp_path / "a.py", tmp_path / "b.py"
    good.write_text(CODE)
    bad.write_bytes(b"\xff\xfe\x00")
    bundle = tiny_bundle.folder
    assert_one_sentence(
        submodel("complete", good, "--line", 9, "--character", 0, "--bundle", bundle), "Line 9 is outside"
    )
    assert_one_sentence(
        submodel("complete", good, "--line", 0, "--character", 99, "--bundle", bundle), "Character 99 is outside"
    )
    assert_one_sentence(submodel("complete", bad, "--line", 0, "--character", 0, "--bundle", bundle), "UTF-8")
    assert_one_sentence(
        submodel("complete", tmp_path / "c.py", "--line", 0, "--character", 0, "--bundle", bundle), "c.py"
    )
