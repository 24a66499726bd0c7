"""The file of a fleet: what it says, and one sentence for what it must not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.fleet_file import FleetFileError, is_name, read_fleet_file


def write(folder: Path, text: str) -> Path:
    path = folder / "fleet.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_repository_is_a_folder_or_an_address_and_has_settings_of_its_own(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        repositories = [
          "services/billing",
          "https://git.example.com/team/pay-ments.git",
          "git@git.example.com:team/search.git",
          {source = "../my code", ref = "HEAD", build = {minutes = 10, base = "./base"}, task = {cores = 8, gpus = 1}},
          {source = "ssh://git@git.example.com/old.git", name = "older", ref = "v1.2"},
        ]
        [build]
        base = "smollm2-135m"
        minutes = 2
        [task]
        memory_gb = 6
        """,
    )
    billing, payments, search, own, older = read_fleet_file(path)
    assert [one.name for one in (billing, payments, search, own, older)] == [
        "billing",
        "pay-ments",
        "search",
        "my-code",
        "older",
    ]
    assert (billing.source, billing.is_remote) == (str(tmp_path / "services" / "billing"), False)
    assert payments.is_remote and search.is_remote and older.ref == "v1.2"
    assert (billing.build.base, billing.build.minutes) == ("smollm2-135m", 2)
    assert (own.build.base, own.build.minutes) == (str(tmp_path / "base"), 10)
    assert (own.task.cores, own.task.gpus, own.task.memory_gb) == (8, 1, 6)
    settings = billing.build.settings(Path("a"), Path("b"))
    assert settings.size == 0.6
    assert own.build.settings(Path("a"), Path("b")).minutes == 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("repositories = [\n  = 3]", "at line 2, column 3"),
        ("", "repositories"),
        ("repositories = []", "length >= 1 - at `repositories`"),
        ('repositories = ["a"]\n[build]\nminuets = 3', r"\[build\]: Object contains unknown field `minuets`"),
        ('repositories = ["a"]\n[build]\nminutes = "3"', r"\[build\]: Expected `float`, got `str` - at `minutes`"),
        (f'repositories = ["a"]\n[build]\nseed = {2**63}', r"\[build\]: .*`seed`"),
        ('repositories = ["a"]\n[task]\ncores = 0', r"\[task\]: Expected `int` >= 1 - at `cores`"),
        ('repositories = ["a"]\n[task]\ngpus = 1.5', r"\[task\]: gpus is 1.5, but must be a whole number"),
        ('repositories = ["a"]\n[task]\ngpus = 0.00001', r"\[task\]: gpus is 1e-05, but must be"),
        ('repositories = ["a", {source = "b", task = {gpus = inf}}]', r"repositories\[1\].task: gpus is inf"),
        ('repositories = ["a"]\n[tasks]\n', "unknown field `tasks`"),
        ('repositories = ["a", {source = "b", nmae = "c"}]', r"unknown field `nmae` - at `repositories\[1\]"),
        ('repositories = ["a", {source = "b", build = {size = 7}}]', r"repositories\[1\]: .*size"),
        ('repositories = ["a", {source = "b", build = {quantize = "int3"}}]', r"repositories\[1\]: .*int3"),
        ('repositories = ["x/a", "y/A"]', "are both called a; give one of them a name"),
        ('repositories = [{source = "a", name = "../up"}]', "can't be a folder's name"),
        ('repositories = [{source = "a", ref = "main"}]', "a folder is built as it lies there"),
        ('repositories = ["file:///etc"]', "only https, http, ssh are"),
        ('repositories = ["https://user:s3cret@host/a.git"]', "https://host/a.git holds a user or a password"),
        ('repositories = [{source = "https://host/a.git", ref = "--upload-pack=x"}]', "is no branch, tag or commit"),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_the_place(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(FleetFileError, match=words) as raised:
        read_fleet_file(path)
    assert str(raised.value).startswith(str(path))
    assert str(raised.value).count("\n") == 0
    assert "s3cret" not in str(raised.value)


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FleetFileError, match=r"can't be read as TOML: .*No such file"):
        read_fleet_file(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".work", "a/b", "a\\b", "con", "NUL.txt", "a.", "fleet.json", "lock", "Lock.json", "é", "-x"],
)
def test_names_that_are_not_one_folder_on_every_system(name: str) -> None:
    assert not is_name(name)
