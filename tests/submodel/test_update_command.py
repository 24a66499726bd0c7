"""What `submodel update` prints, with an update in its place that only returns a document."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from msgspec import convert
from onnxruntime.capi import onnxruntime_pybind11_state as runtime
from safetensors import SafetensorError
from typer.testing import CliRunner, Result

from builder.bases.resolve import absolute_spec
from builder.corpus.corpus import read_corpus
from builder.corpus.following import Known
from builder.evaluation.scores import ScoredAnswer, Scores, compare
from contract.console import StageDisplay
from contract.documents import BuildProgress
from contract.errors import BuildError, CorpusError, NotNowError
from contract.files.disk_errors import resource_problem
from fleet.identity import fingerprint_of
from lsp_server.serve_errors import EngineCrash
from submodel import app as submodel_app
from submodel.build import update_run
from submodel.build.build_settings import BuildSettings
from submodel.build.history import FILE, History, write_history
from submodel.build.lock import HeldError
from submodel.build.paths import BuildPaths
from submodel.build.update_run import UpdateSettings
from submodel.build.update_start import history_to_update
from submodel.commands.update import update
from testbed.git import git
from testbed.python_files import write_python

ROW = {"name": "sub-model", "fim_exact_match": 0.5, "positions": 30, "bits_per_byte": 1.25}
NEW: dict[str, Any] = {
    "kept": "new",
    "from_commit": "a" * 40,
    "to_commit": "b" * 40,
    "models": [ROW],
    "held_out_before": ROW | {"fim_exact_match": 0.4},
    "since": ROW,
    "finetuning": {"kept_step": 8},
    "stages": [{"name": "update"}],
    "seconds": 95.2,
}
OLD = {**NEW, "kept": "old", "finetuning": {"kept_step": 0}}
NO_SCORES = {"kept": "old", "models": [{"name": "sub-model"}], "seconds": 1.0}
REFUSED = "The old model is still served, since the new one is not better on the validation files. Update again"


def run(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    document: dict[str, Any],
    *options: str,
    stdin: str = "",
    asked: list[UpdateSettings] | None = None,
) -> Result:
    def played(settings: UpdateSettings, display: StageDisplay) -> dict[str, Any]:
        if asked is not None:
            asked.append(settings)
        with display.stage("read the repository") as advance:
            advance(1, 2)
        return document

    monkeypatch.setattr(update_run, "run_update", played)
    app = typer.Typer()
    app.command()(update)
    result = CliRunner().invoke(app, [str(tmp_path), *options], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_progress_as_json_is_that_of_a_build_and_its_last_message_says_what_is_served(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = run(monkeypatch, tmp_path, NEW, "--progress", "json", "--json")
    lines = [convert(json.loads(line), BuildProgress) for line in result.stderr.splitlines()]
    assert [line.get("state") for line in lines if line["kind"] == "stage"] == ["running", "finished"]
    messages = [line["text"] for line in lines if line["kind"] == "message"]
    assert messages == [
        "Held-out files: 50% of 30 lines exact (before 40%), 1.250 bits per byte (1.250).",
        "Of the lines written since, the old model completed 50% of 30 exactly.",
        "The model was updated from aaaaaaaaaa to bbbbbbbbbb, and the new one is served. This took 95 s.",
    ]
    assert json.loads(result.stdout) == NEW


def test_what_is_asked_for_reaches_the_update(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    asked: list[UpdateSettings] = []
    run(monkeypatch, tmp_path, NEW, asked=asked)
    run(monkeypatch, tmp_path, NEW, "-o", str(elsewhere), "--minutes", "0.5", "--positions", "7", asked=asked)
    assert asked == [
        UpdateSettings(repository=tmp_path, output=tmp_path / ".submodel", minutes=2.0, positions=30),
        UpdateSettings(repository=tmp_path, output=elsewhere, minutes=0.5, positions=7),
    ]


@pytest.mark.parametrize("options", [(), ("--paced",)])
def test_the_pace_is_read_from_stdin_and_kept_if_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """tests/submodel/test_pace.py has what `wait`, `go` and the stream's end do."""
    read: list[str] = []
    rests: list[None] = []

    def follow(stream: io.TextIOWrapper) -> SimpleNamespace:
        read.extend(stream)
        return SimpleNamespace(rest=lambda: rests.append(None))

    monkeypatch.setattr("submodel.pace.Pace", follow)
    monkeypatch.setattr("submodel.pace.take_stdin", lambda: sys.stdin.buffer)  # not the tests' own
    asked: list[UpdateSettings] = []
    run(monkeypatch, tmp_path, NEW, *options, stdin="wait\n", asked=asked)
    assert asked[0].is_paced is bool(options)
    assert (read, bool(rests)) == ((["wait\n"], True) if options else ([], False))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (OLD, f"{REFUSED} after more changes"),
        ({**OLD, "files": {"to_learn": 9, "untried": 6}}, f"{REFUSED} to try the files that it did not reach (6), or"),
        (
            {**OLD, "files": {"to_learn": 9, "to_validate": 0}},
            "The old model is still served, since the new one is not better on the validation files, none of which "
            "has changed. Update again after more changes",
        ),
        ({**OLD, "finetuning": {"kept_step": 8}}, "The old model is still served: the new one's graph failed the par"),
        ({**NO_SCORES, "stages": [{"name": "renew the drafts"}]}, "The old model is still served, with new drafts."),
        ({**NO_SCORES, "stages": []}, "Nothing is new since the last build or update, so the model stays"),
        ({**NO_SCORES, "stages": [], "files": {"to_learn": 3}}, "The old model is still served: an update has tried"),
    ],
)
def test_an_old_model_that_stays_is_explained_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, document: dict[str, Any], reason: str
) -> None:
    result = run(monkeypatch, tmp_path, document, "--progress", "json")
    assert json.loads(result.stderr.splitlines()[-1])["text"].startswith(reason)
    assert reason in run(monkeypatch, tmp_path, document).stderr


def test_an_update_of_changes_that_are_not_committed_names_no_commits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = run(monkeypatch, tmp_path, {**NEW, "to_commit": NEW["from_commit"]}).stderr
    assert "The model was updated, and the new one is served." in said


def scores(answer: str) -> Scores:
    """Of thirty lines in ten files, which are all answered alike."""
    lines = [ScoredAnswer(answer=answer, truth="x", language="Python", file=f"{n % 10}.py") for n in range(30)]
    return Scores(name="sub-model", lines=tuple(lines))


@pytest.mark.parametrize(("now", "before", "is_worse"), [("y", "x", True), ("x", "y", False), ("x", "x", False)])
def test_of_a_new_model_that_completes_fewer_lines_it_says_how_to_go_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, now: str, before: str, is_worse: bool
) -> None:
    """Its validation loss was lower, so that it is served."""
    said = run(monkeypatch, tmp_path, {**NEW, "against_before": compare(scores(now), scores(before))}).stderr
    assert "Beside the model before: exact match " in said
    assert ("significantly worse. docs/faq.md says how to go back to the model before." in said) is is_worse


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["update"],
            "stopped; run it again with the same options to resume. If a file has changed by then, "
            "it starts from the beginning.",
        ),
        (
            ["build", "--size", "0.5", "--force"],
            "stopped; to resume, run it again with the same options, but without --force (with it if nothing was "
            "pruned yet). If a file has changed by then, it starts from the beginning.",
        ),
        (["pull"], "stopped; files that were fetched whole are kept."),
        (["eval"], "stopped."),
    ],
)
def test_who_stops_a_command_reads_what_is_kept(monkeypatch, capsys, words, sentence):
    assert errors_of(monkeypatch, capsys, words, KeyboardInterrupt()) == f"submodel: {sentence}"


def windows_error(number: int) -> OSError:
    """As Python on Windows raises it."""
    error = OSError(errno.EINVAL, "The paging file is too small")
    error.winerror = number  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),  # of a process that can't be forked
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] data. DefaultCPUAllocator: not enough memory"),
        runtime.RuntimeException("[ONNXRuntimeError] : 6 : Exception during initialization: bad allocation"),
        runtime.Fail("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer of size 9"),
        EngineCrash("Failed to allocate memory for requested buffer of size 9"),
        SafetensorError("The paging file is too small for this operation to complete. (os error 1455)"),
        windows_error(1455),
    ],
)
def test_memory_that_is_used_up_is_a_sentence(monkeypatch, capsys, error):
    said = errors_of(monkeypatch, capsys, ["build"], error)
    assert "there is not enough memory (a smaller base needs less); close other programs; run it again" in said


@pytest.mark.parametrize("name", ["ESTALE", "ETIMEDOUT", "ENODEV", "EFBIG"])
def test_a_disk_that_is_gone_or_takes_no_large_file_is_a_sentence(monkeypatch, capsys, name):
    number = getattr(errno, name)
    said = errors_of(monkeypatch, capsys, ["build"], OSError(number, os.strerror(number), "/mnt/x"))
    assert f"{os.strerror(number)} (/mnt/x); free space, or choose a folder that can be written" in said


@pytest.mark.parametrize(
    ("system", "number", "is_full"),
    [("win32", 112, True), ("win32", 39, True), ("win32", 1120, False), ("linux", 28, True), ("linux", 112, False)],
)
def test_a_full_disk_that_rust_reports(monkeypatch, system, number, is_full):
    """On Linux 112 is another error, and 39, too."""
    monkeypatch.setattr(sys, "platform", system)
    error = SafetensorError(f"Error while serializing: I/O error: Some words. (os error {number})")
    assert (resource_problem(error) == "the disk is full; free space") is is_full


def test_another_error_of_the_disk_that_rust_reports(monkeypatch):
    """As with `ulimit -f`, and on a disk that became read-only."""
    for number in (errno.EFBIG, errno.EROFS, errno.EIO):
        error = SafetensorError(f"Error while serializing: I/O error: Some words (os error {number})")
        assert resource_problem(error) == f"{os.strerror(number)}; free space, or choose a folder that can be written"
    assert resource_problem(SafetensorError(f"Some words (os error {errno.ENOENT})")) is None
    assert resource_problem(RuntimeError(f"Data processing error (os error {errno.ETIMEDOUT})")) is None
    monkeypatch.setattr(sys, "platform", "win32")
    assert resource_problem(SafetensorError("Some words (os error 5)")) is None, "which is another error there"


def test_what_a_limited_machine_lacks_is_named(monkeypatch):
    full = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    assert str(resource_problem(full)).startswith("too many files are open; ")
    assert resource_problem(RuntimeError("can't start new thread")) == (
        "the system starts no more threads for this account; close other programs"
    )
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/no-such-folder"])
    with pytest.raises(FileNotFoundError) as refused:
        tempfile.gettempdir()
    assert resource_problem(refused.value) == "no temporary folder can be written; name one with TMPDIR"


def test_a_network_that_does_not_answer_is_no_disk():
    for number in (errno.ETIMEDOUT, errno.ENOTCONN):
        assert resource_problem(OSError(number, os.strerror(number))) is None
        assert resource_problem(OSError(number, os.strerror(number), "a/file")) is not None, "a network drive"
    assert resource_problem(OSError(errno.ESTALE, os.strerror(errno.ESTALE))) is not None


@pytest.mark.parametrize(
    ("error", "code"),
    [(NotNowError("Too little memory is free."), 75), (HeldError("It is held."), 75), (BuildError("It is broken."), 1)],
)
def test_the_exit_code_says_whether_the_command_may_work_later(monkeypatch, capsys, error, code):
    assert errors_of(monkeypatch, capsys, ["update"], error, code) == f"submodel: {error}"


def test_another_error_is_a_defect_and_keeps_its_trace(monkeypatch, capsys):
    with pytest.raises(RuntimeError, match="shapes"):
        errors_of(monkeypatch, capsys, ["build"], RuntimeError("shapes differ"))


def errors_of(monkeypatch, capsys, words: list[str], error: BaseException, code: int | None = None) -> str:
    """The last line on stderr of a command that ends with an error. code: the exit code, if it is to be checked."""
    played = typer.Typer()

    @played.command()
    def end():
        raise error

    monkeypatch.setattr(submodel_app, "app", lambda: played([]))
    monkeypatch.setattr(sys, "argv", ["submodel", *words])
    with pytest.raises(SystemExit) as ended:
        submodel_app.main()
    assert code in (None, ended.value.code)
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("is_paced", [False, True])
def test_an_update_that_an_editor_began_leaves_alone_what_nobody_works_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_paced: bool
) -> None:
    """The user takes it up while the update reads."""
    (tmp_path / ".submodel" / "stages").mkdir(parents=True)
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "first")

    class Planned(Exception):
        pass

    def read(*_: object) -> object:
        git(tmp_path, "checkout", "--detach")
        return SimpleNamespace(listed_by="git", git_problem="")

    def plan(*_: object) -> None:
        raise Planned

    history = SimpleNamespace(quantize="int8", seed=0, updates=0)
    monkeypatch.setattr(update_run, "finish_swap", lambda *_: False)
    monkeypatch.setattr(update_run, "history_to_update", lambda *_: history)
    bundle = SimpleNamespace(manifest={"quantization": "int8"})
    monkeypatch.setattr(update_run, "read_bundle", lambda *_, verify: bundle)
    monkeypatch.setattr(update_run, "read_artifact", lambda *_: SimpleNamespace(manifest={}))
    monkeypatch.setattr(update_run, "read_checkout", read)
    monkeypatch.setattr(update_run, "plan_update", plan)
    settings = UpdateSettings(repository=tmp_path, output=tmp_path / ".submodel", is_paced=is_paced)
    with StageDisplay() as display, pytest.raises(NotNowError if is_paced else Planned):
        update_run.run_update(settings, display)


def test_files_that_git_does_not_list_have_no_commit_of_the_repository_around_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That commit says nothing of them. They lie in a folder that git ignores."""
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "around them")
    (tmp_path / ".gitignore").write_text("/ignored/\n")
    commits: list[str | None] = []

    class Update:
        def __init__(self, *_: object) -> None:
            pass

        def update(self, commit: str | None, started: float, *, has_swapped: bool) -> dict[str, Any]:
            commits.append(commit)
            return {}

    history = SimpleNamespace(quantize="int8", seed=0, updates=0)
    bundle = SimpleNamespace(manifest={"quantization": "int8"})
    monkeypatch.setattr(update_run, "finish_swap", lambda *_: False)
    monkeypatch.setattr(update_run, "history_to_update", lambda *_: history)
    monkeypatch.setattr(update_run, "read_bundle", lambda *_, verify: bundle)
    monkeypatch.setattr(update_run, "read_artifact", lambda *_: SimpleNamespace(manifest={}))
    monkeypatch.setattr(update_run, "plan_update", lambda *_: None)
    monkeypatch.setattr(update_run, "_Update", Update)
    for folder in (tmp_path / "listed", tmp_path / "ignored"):
        (folder / ".submodel" / "stages").mkdir(parents=True)
        write_python(folder, range(24))
        settings = UpdateSettings(repository=folder, output=folder / ".submodel")
        with StageDisplay() as display:
            update_run.run_update(settings, display)
    assert commits == [git(tmp_path, "rev-parse", "HEAD").strip(), None]


def test_in_a_subfolder_it_names_the_build_of_the_folder_above(tmp_path: Path) -> None:
    """A build there would serve its files in the repository's place from then on."""
    for name in ("bundle", "stages"):
        (tmp_path / ".submodel" / name).mkdir(parents=True)
    (tmp_path / "src" / ".submodel").mkdir(parents=True)  # of a build that was refused
    settings = UpdateSettings(repository=tmp_path / "src", output=tmp_path / "src" / ".submodel")
    with StageDisplay() as display, pytest.raises(BuildError, match=f"run `submodel update {tmp_path}`"):
        update_run.run_update(settings, display)


def test_a_bundle_that_was_pulled_has_no_build_to_go_on_from(tmp_path: Path) -> None:
    (tmp_path / ".submodel" / "bundle").mkdir(parents=True)
    settings = UpdateSettings(repository=tmp_path, output=tmp_path / ".submodel")
    with StageDisplay() as display, pytest.raises(BuildError, match="no build to go on from; run `submodel build`"):
        update_run.run_update(settings, display)


def test_the_home_folder_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    result = CliRunner().invoke(submodel_app.app, ["build", str(tmp_path)])
    assert "is the home folder or holds it" in str(result.exception)
    for read in (read_corpus, fingerprint_of):  # by `eval`, `prune` and a fleet
        with pytest.raises(CorpusError, match="is the home folder or holds it"):
            read(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--minutes", "20", "--size", "1", "--seed", "7", "--quantize", "fp32", "--positions", "0"],
        ["--size", "0.7", "--base", "my base", "-o", "its own"],
    ],
)
def test_a_build_keeps_the_command_that_asks_for_it_once_more(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[BuildSettings] = []
    commands: list[str] = []

    def run(settings: BuildSettings, _: StageDisplay) -> None:
        asked.append(settings)
        commands.append(settings.command)
        raise BuildError("Enough.")

    monkeypatch.setattr("submodel.build.pipeline.run_build", run)
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    folder = tmp_path / "my code"
    (folder / "my base").mkdir(parents=True)
    monkeypatch.chdir(folder)
    CliRunner().invoke(submodel_app.app, ["build", *options])
    monkeypatch.chdir(tmp_path)  # it is pasted elsewhere
    CliRunner().invoke(submodel_app.app, shlex.split(commands[0])[1:])
    first, again = asked
    assert again.repository.samefile(folder)
    assert (folder / first.output).absolute() == again.output
    assert absolute_spec(again.base) == again.base
    same: dict[str, Any] = {"repository": folder, "output": again.output, "base": again.base}
    assert replace(again, **same) == replace(first, **same)


def test_a_model_of_another_version_is_built_by_the_command_that_built_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    paths = BuildPaths(root=tmp_path)
    for folder in (paths.bundle, paths.stages):
        folder.mkdir()
    known = History(
        program="1.1",
        model_hash="",
        commit=None,
        known=Known(paths={}, texts={}),
        command="submodel build /work --minutes 20",
        versions=(),
    )
    write_history(paths.stages, known)
    with pytest.raises(BuildError, match="run `submodel build /work --minutes 20`, which makes a new model"):
        history_to_update(paths)


def test_a_record_of_another_account_is_not_called_missing(tmp_path: Path) -> None:
    """As after a dev container was made anew, and its state folder with it."""
    paths = BuildPaths(root=tmp_path)
    paths.bundle.mkdir()
    with pytest.raises(BuildError, match="has no record"):
        history_to_update(paths)
    paths.stages.mkdir()
    (paths.stages / FILE).write_text("{}")
    words = (
        r"was not made by this account or by this version, or its state folder was lost \(SUBMODEL_STATE_DIR.*"
        "run `submodel build`"
    )
    with pytest.raises(BuildError, match=words):
        history_to_update(paths)
