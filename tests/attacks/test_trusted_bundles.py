"""Bundles that somebody else built, and what a bundle makes the server read.

On 104ea66 a real server loads the stranger's bundle, the changed one and the older one, and its reading has no bound.
On 63ec2ff it loads the one that a client's options name, as a clone's editor settings do.
On 63ec2ff `export --add` puts a stranger's bundle on the list, with files that it does not list and what links lead to.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from builder.corpus.corpus import CorpusSettings
from contract.bundle.bundle import Bundle, find_trusted_bundle, read_bundle, replace_bundle
from contract.bundle.manifest import build_of, read_manifest, write_manifest
from contract.bundle.trusted_builds import UntrustedError, check_trusted
from contract.errors import BundleError, CorpusError
from contract.files.home import holds_home
from contract.repository.texts import read_repository
from exporters.bundle_export import add_precision, export_bundle
from exporters.packed_bundle import pack_bundle, unpack_bundle
from exporters.parity import ExportSettings, ParitySettings
from exporters.precision import Precision
from laboratory.replay.replay_run import ReplaySettings, run_replay
from lsp_server.bundle_finder import RETRY_S, BundleFinder, older_bundles
from lsp_server.completion import open_completer
from submodel.commands.complete import complete
from submodel.commands.pack import pack
from submodel.evaluation.predictors import find_candidates
from testbed.models import save_base, write_parity_prompts
from tests.e2e.editor import Editor, editing, run

SUBMODEL = (sys.executable, "-m", "submodel")
# Of random weights the next token is nearly a tie.
LOOSE = ParitySettings(prompts=2, max_prompt_tokens=32, continuation_tokens=2, min_agreement=0.0, max_loss_increase=1.0)
FP16 = ExportSettings(precision=Precision.FP16, parity=LOOSE)


def change(bundle: Path, mark: object = None) -> None:
    """Make of a bundle a whole one of somebody else's, with checksums that fit."""
    write_manifest(bundle, {**read_manifest(bundle), "mark": mark or str(bundle)})


@pytest.fixture
def clone(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A repository that brings a whole bundle along."""
    root = tmp_path / "clone"
    (root / ".git").mkdir(parents=True)
    bundle = Path(shutil.copytree(tiny_bundle.folder, root / ".submodel" / "bundle"))
    change(bundle)
    return root


def serve(root: Path, test: Callable[[Editor], Any], options: object = None, *arguments: str) -> list[str]:
    """What a real server told the editor meanwhile; `arguments` are of its command line."""
    reported: list[str] = []

    async def talk() -> None:
        async with editing(root, *arguments) as editor:
            await editor.begin(options=options)
            await test(editor)
            reported.extend(editor.messages)

    run(talk)
    return reported


def trust(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SUBMODEL, "trust", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)


async def answers(editor: Editor) -> None:
    assert await editor.complete(1, 24) != []


async def answers_nothing(editor: Editor) -> None:
    assert await editor.complete(1, 24) == []
    assert await editor.complete(1, 23) == []
    status = await editor.request("submodel/status")
    [bundle] = status["bundles"]
    assert (status["state"], bundle["state"]) == ("failed", "untrusted")
    assert "submodel trust" in status["message"] == bundle["error"]
    assert bundle["base"] is None, "nothing is told of what a stranger's manifest says"


@pytest.mark.slow
def test_a_stranger_s_bundle_is_not_loaded_and_the_editor_is_reported_what_to_do(clone: Path) -> None:
    [sentence] = serve(clone, answers_nothing)
    bundle = clone / ".submodel" / "bundle"
    assert f"run `submodel trust {bundle}` to use it" in sentence
    assert serve(clone, answers, None, "--bundle", str(bundle)) == [], "it was named"


@pytest.mark.slow
def test_a_stranger_s_bundle_that_the_client_s_options_name_is_not_loaded(clone: Path) -> None:
    """Clients relay what a clone's own settings say: .vscode/settings.json, .zed/settings.json, coc-settings.json."""
    named = {"bundle": str(clone / ".submodel" / "bundle"), "experimental": {"trigger": {"budgetMs": 60_000}}}

    async def changed(editor: Editor) -> None:
        for settings in (named, {"submodel": named}):
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
            await answers_nothing(editor)

    for test, options in ((answers_nothing, named), (changed, None)):
        [sentence] = {*serve(clone, test, options)}
        assert "run `submodel trust " in sentence


@pytest.mark.slow
def test_what_a_client_s_options_name_is_loaded_once_it_is_trusted(clone: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "unpacked"
    shutil.move(clone / ".submodel" / "bundle", elsewhere)

    async def test(editor: Editor) -> None:
        assert await editor.complete(1, 24) == []
        done = await asyncio.to_thread(trust, str(elsewhere))
        assert done.returncode == 0, done.stderr
        while await editor.complete(1, 24) == []:
            await asyncio.sleep(RETRY_S / 10)

    options = {"bundle": str(elsewhere), "experimental": {"trigger": {"budgetMs": 60_000}}}
    assert len(serve(clone, test, options)) == 1
    assert serve(clone, answers, options) == []


def test_a_stranger_s_bundle_below_the_own_one_is_passed_over(clone: Path, tiny_bundle: Bundle) -> None:
    inner = clone / "vendored"
    inner.mkdir()
    shutil.move(clone / ".submodel", inner)
    shutil.copytree(tiny_bundle.folder, clone / ".submodel" / "bundle")
    finder = BundleFinder()
    assert finder.for_file(inner / "a.py", [clone]) == clone / ".submodel" / "bundle"
    assert list(finder.refused) == [inner / ".submodel" / "bundle"]


@pytest.mark.slow
def test_it_is_loaded_once_it_is_trusted_by_a_server_that_runs(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(editor: Editor) -> None:
        assert await editor.complete(1, 24) == []
        done = await asyncio.to_thread(trust, cwd=clone)
        assert done.returncode == 0, done.stderr
        while await editor.complete(1, 24) == []:
            await asyncio.sleep(RETRY_S / 10)
        assert (await editor.request("submodel/status"))["state"] == "ready"

    assert len(serve(clone, test)) == 1


@pytest.mark.slow
def test_what_is_no_whole_bundle_is_not_trusted(clone: Path, tmp_path: Path) -> None:
    model = clone / ".submodel" / "bundle" / "onnx" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    for folder in (clone, tmp_path / "elsewhere"):
        done = trust(str(folder))
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
    with pytest.raises(UntrustedError):
        find_trusted_bundle(clone)


def test_nothing_above_a_folder_that_was_named_is_trusted(clone: Path) -> None:
    (clone / "src").mkdir()
    for folder in (clone / "src", clone / "typo"):
        done = trust(str(folder))
        assert done.returncode == 1
        assert f"{folder} is no bundle" in done.stderr
    with pytest.raises(UntrustedError):
        find_trusted_bundle(clone)
    assert trust(cwd=clone / "src").returncode == 0
    assert find_trusted_bundle(clone) == clone / ".submodel" / "bundle"


@pytest.mark.slow
def test_what_took_the_place_of_the_build_that_was_shown_is_not_trusted(clone: Path) -> None:
    """Succeeds on 63ec2ff: a click trusts whatever lies there by then."""
    bundle = clone / ".submodel" / "bundle"
    shown: list[str] = []

    async def test(editor: Editor) -> None:
        assert await editor.complete(1, 24) == []
        [status] = (await editor.request("submodel/status"))["bundles"]
        shown.append(status["build"])

    serve(clone, test)
    assert shown == [build_of(bundle)]
    change(bundle, f"in the place of {clone}'s")
    for more in ((), ("--forget",)):
        done = trust(str(clone), "--build", *shown, *more)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "not the one that you named" in done.stderr
    with pytest.raises(UntrustedError):
        find_trusted_bundle(clone)
    assert trust(str(clone), "--build", build_of(bundle).upper()).returncode == 0
    assert find_trusted_bundle(clone) == bundle


@pytest.mark.slow
def test_trust_is_taken_back(clone: Path) -> None:
    bundle = clone / ".submodel" / "bundle"
    assert "was not on the list" in trust("--forget", str(clone)).stderr
    assert trust(str(clone)).returncode == 0
    (bundle / "tokenizer.json").unlink()  # also of one that is no whole bundle any more
    done = trust("--forget", str(bundle))
    assert done.returncode == 0
    assert "off the list" in done.stderr
    with pytest.raises(UntrustedError):
        find_trusted_bundle(clone)


@pytest.mark.slow
def test_a_bundle_that_was_changed_since_it_was_trusted_is_refused(clone: Path) -> None:
    assert trust(str(clone)).returncode == 0
    assert find_trusted_bundle(clone) == clone / ".submodel" / "bundle"
    change(clone / ".submodel" / "bundle", f"another of {clone}")
    [sentence] = serve(clone, answers_nothing)
    assert "has changed since" in sentence


@pytest.mark.slow
def test_a_bundle_that_was_changed_since_it_was_found_is_not_loaded(clone: Path) -> None:
    bundle = clone / ".submodel" / "bundle"
    assert trust(str(clone)).returncode == 0

    async def test(editor: Editor) -> None:
        assert await editor.complete(1, 24) != []
        while (await editor.request("submodel/status"))["state"] != "unloaded":
            await asyncio.sleep(0.05)
        change(bundle, f"another of {clone}")
        editor.change(" ", 0, 0)
        assert await editor.complete(1, 24) == []
        with pytest.raises(UntrustedError):
            open_completer(bundle, is_named=False)
        assert trust(str(clone)).returncode == 0
        async with asyncio.timeout(40 * RETRY_S):  # no reload is needed
            while await editor.complete(1, 24) == []:
                await asyncio.sleep(0.5)

    [sentence] = serve(clone, test, {"care": {"idleUnloadMinutes": 0.005}})
    assert "submodel trust" in sentence


@pytest.mark.slow
def test_a_bundle_that_is_served_and_loses_its_trust_is_served_no_more(clone: Path) -> None:
    assert trust(str(clone)).returncode == 0

    async def test(editor: Editor) -> None:
        assert await editor.complete(1, 24) != []
        assert trust(str(clone), "--forget").returncode == 0
        async with asyncio.timeout(40 * RETRY_S):
            while await editor.complete(1, 24) != []:
                await asyncio.sleep(0.5)
        status = await editor.request("submodel/status")
        while status["state"] == "ready":  # until its memory is free
            await asyncio.sleep(0.05)
            status = await editor.request("submodel/status")
        [bundle] = status["bundles"]
        assert (status["state"], bundle["state"]) == ("failed", "untrusted")

    [sentence] = serve(clone, test)
    assert "submodel trust" in sentence


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx/model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("is_named", [False, True])
def test_no_file_is_parsed_before_all_are_hashed(
    clone: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_named: bool
) -> None:
    """Succeeds on 63ec2ff: hashes are compared beside loading, and native code has the stranger's graph by then."""
    bundle = clone / ".submodel" / "bundle"
    assert trust(str(clone)).returncode == 0
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the same size
    opened: list[Bundle] = []
    monkeypatch.setattr("lsp_server.completion.Engine", lambda bundle, **_: opened.append(bundle))
    with pytest.raises(BundleError, match=f"{name} has changed"):
        open_completer(bundle, is_named=is_named)
    assert opened == []


@pytest.mark.slow
def test_what_this_account_builds_or_unpacks_is_loaded_at_once(clone: Path, tmp_path: Path) -> None:
    source = clone / ".submodel" / "bundle"
    built = tmp_path / "built" / ".submodel" / "bundle"
    with replace_bundle(built) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True)
        change(fresh, "built")
        with pytest.raises(UntrustedError):  # a copy alone is not on the list
            check_trusted(built, build_of(fresh))
    assert serve(tmp_path / "built", answers) == []
    archive = tmp_path / "given.submodel"
    change(source, "packed")
    pack_bundle(source, archive)
    unpack_bundle(archive, tmp_path / "unpacked" / ".submodel" / "bundle")
    assert serve(tmp_path / "unpacked", answers) == []


def test_no_stranger_s_bundle_is_listed_as_an_older_one(clone: Path, tiny_bundle: Bundle) -> None:
    previous = clone / ".submodel" / "previous" / "2020-01-01T00-00-00-000Z"
    shutil.move(clone / ".submodel" / "bundle", previous)
    own = Path(shutil.copytree(tiny_bundle.folder, clone / ".submodel" / "bundle"))
    assert older_bundles(own) == []
    assert trust(str(previous)).returncode == 0
    assert older_bundles(own) == [previous]


def test_commands_that_look_for_a_bundle_take_no_stranger_s(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = clone / "a.txt"
    file.write_text("x = \n")
    monkeypatch.chdir(clone)
    replay = ReplaySettings(repository=clone)
    commands: list[Callable[[], object]] = [
        lambda: complete(file, 0, 4),
        lambda: run_replay(replay, None),  # type: ignore[arg-type]
        lambda: pack(),
        lambda: find_candidates([], clone / ".submodel"),
        lambda: find_candidates(["sub-model"], clone / ".submodel"),
    ]
    for command in commands:
        with pytest.raises(UntrustedError, match="run `submodel trust "):
            command()
    complete(file, 0, 4, bundle=clone / ".submodel" / "bundle")
    assert find_candidates([str(clone / ".submodel" / "bundle")], clone / ".submodel")


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, Path]:
    """A model, and a bundle that this account made of it."""
    model = Path(save_base(tmp_path / "model"))
    write_parity_prompts(model)
    export_bundle(model, tmp_path / "exported", ExportSettings(precision=Precision.FP32, parity=LOOSE))
    return model, tmp_path / "exported"


def test_a_precision_is_not_added_to_a_stranger_s_bundle(exported: tuple[Path, Path]) -> None:
    model, bundle = exported
    change(bundle)
    with pytest.raises(UntrustedError, match="run `submodel trust "):
        add_precision(model, bundle, FP16)
    with pytest.raises(UntrustedError):
        check_trusted(bundle, build_of(bundle))


def test_a_precision_is_added_to_the_listed_files_only(exported: tuple[Path, Path], tmp_path: Path) -> None:
    model, bundle = exported
    listed = set(read_manifest(bundle)["files"])
    (tmp_path / "id_rsa").write_text("the key")
    (bundle / "drafts").mkdir()
    (bundle / "drafts" / "tokens.npy").write_text("the stranger's")
    (bundle / "notes.txt").symlink_to(tmp_path / "id_rsa")
    add_precision(model, bundle, FP16)
    assert set(read_manifest(bundle)["files"]) == listed | {"onnx/model_fp16.onnx"}
    assert {path.name for path in bundle.iterdir() if path.name != "bundle.json"} == {
        name.partition("/")[0] for name in listed
    }


@pytest.mark.parametrize("how", ["changed", "link"])
def test_a_file_that_is_changed_meanwhile_is_not_listed_anew(
    exported: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    model, bundle = exported
    graph = bundle / "onnx" / "model.onnx"

    def read(folder: Path) -> Bundle:
        """The bundle, found whole; the stranger is at work while the precision is made, which takes minutes."""
        found = read_bundle(folder)
        graph.rename(tmp_path / "model.onnx")
        if how == "link":
            graph.symlink_to(tmp_path / "model.onnx")
        else:
            graph.write_bytes((tmp_path / "model.onnx").read_bytes()[:-1] + b"!")
        return found

    monkeypatch.setattr("exporters.bundle_export.read_bundle", read)
    with pytest.raises(BundleError, match=r"has changed since|A link leads to"):
        add_precision(model, bundle, FP16)


def test_a_name_that_a_shell_would_run_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "x; touch ran" / ".submodel" / "bundle"
    with pytest.raises(UntrustedError, match=re.escape(f"submodel trust '{folder}'")):
        check_trusted(folder, "0" * 64)


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_the_home_folder_and_what_holds_it_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "homes" / "me"
    (home / "work").mkdir(parents=True)
    (tmp_path / "link").symlink_to(home, target_is_directory=True)
    (home / "notes.py").write_text("password = 1\n")
    for chosen in (home, tmp_path / "link"):
        monkeypatch.setenv("HOME", str(chosen))
        monkeypatch.setenv("USERPROFILE", str(chosen))
        for folder in (home, tmp_path / "link", home.parent, tmp_path, Path("/"), home / "work" / ".."):
            assert holds_home(folder), folder
        assert not holds_home(home / "work")
        assert not holds_home(tmp_path / "elsewhere")


def test_reading_ends_at_a_bound(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}" / "deep").mkdir(parents=True)
    (tmp_path / "a.py").write_text("x = 1\n" * 20)
    with pytest.raises(CorpusError, match="more than 50 files and folders"):
        read_repository(tmp_path, CorpusSettings(max_entries=50))
    with pytest.raises(CorpusError, match="takes too long"):
        read_repository(tmp_path, CorpusSettings(max_seconds=-1.0))
    assert list(read_repository(tmp_path, CorpusSettings(max_entries=61)).texts) == ["a.py"]


def test_two_builds_that_end_together_are_both_on_the_list(clone: Path, tmp_path: Path) -> None:
    code = (
        "import shutil, sys; from pathlib import Path\n"
        "from contract.bundle.bundle import replace_bundle\n"
        "from contract.bundle.manifest import read_manifest, write_manifest\n"
        "with replace_bundle(Path(sys.argv[2])) as fresh:\n"
        "    shutil.copytree(sys.argv[1], fresh, dirs_exist_ok=True)\n"
        "    write_manifest(fresh, {**read_manifest(fresh), 'mark': sys.argv[2]})\n"
    )
    places = [tmp_path / str(number) / ".submodel" / "bundle" for number in range(4)]
    source = str(clone / ".submodel" / "bundle")
    processes = [subprocess.Popen([sys.executable, "-c", code, source, str(place)], env=os.environ) for place in places]
    assert [process.wait(300) for process in processes] == [0] * len(places)
    for place in places:
        assert find_trusted_bundle(place.parents[1]) == place
