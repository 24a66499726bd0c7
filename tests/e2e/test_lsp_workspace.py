"""The server's bundles, options, state and commands, as an editor meets them."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from lsprotocol import types
from msgspec import convert

from contract.bundle.bundle import Bundle
from contract.bundle.manifest import build_of, read_manifest, write_manifest
from contract.bundle.trusted_builds import trust_build
from contract.documents import ServerStatus
from contract.files.folders import replace_folder
from tests.e2e.editor import TEXT, editing, expected, run


def test_missing_bundle_is_logged_once_and_the_server_lives(tmp_path: Path) -> None:
    async def test() -> None:
        async with editing(tmp_path) as editor:
            await editor.begin()
            assert await editor.complete(1, 24) == []
            assert await editor.complete(1, 23) == []
        assert editor.messages == []
        (logged,) = editor.logged
        assert "submodel build" in logged
        assert str(tmp_path) in logged

    run(test)


def test_damaged_bundle_is_named(workspace: Path) -> None:
    model = workspace / ".submodel" / "bundle" / "onnx" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1000])

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            assert await editor.complete(1, 24) == []
        assert len(editor.messages) == 1
        assert str(model) in editor.messages[0]

    run(test)


def test_bad_option_is_named_and_the_rest_holds(tiny_bundle: Bundle, tmp_path: Path) -> None:
    async def test() -> None:
        async with editing(tmp_path) as editor:
            options = {"threads": -1, "bundle": str(tiny_bundle.folder), "experimental": {"maxNewTokens": 12}}
            await editor.begin(options=options)
            short = await editor.complete(1, 24)
        full = expected(tiny_bundle, TEXT, 1, 24)[0]
        assert 0 < len(short[0]) < len(full)
        assert full.startswith(short[0])
        assert len(editor.messages) == 1
        assert "'threads'" in editor.messages[0]

    run(test)


def test_switched_off_it_answers_nothing(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin(options={"enabled": False})
            assert await editor.complete(1, 24) == []
        assert editor.messages == []

    run(test)


def test_two_folders_have_a_bundle_each(workspace: Path, tiny_bundle: Bundle, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(tiny_bundle.folder, other / ".submodel" / "bundle")

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            added = types.WorkspaceFolder(uri=other.as_uri(), name="other")
            event = types.WorkspaceFoldersChangeEvent([added], [])
            editor.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
            served = []
            for folder in (workspace, other):
                editor.uri = (folder / "one.txt").as_uri()
                item = types.TextDocumentItem(editor.uri, "plaintext", 1, TEXT)
                editor.text_document_did_open(types.DidOpenTextDocumentParams(item))
                assert await editor.complete(1, 24) == expected(tiny_bundle, TEXT, 1, 24)
                [decision] = (await editor.request("submodel/explain"))["decisions"]
                served.append(decision["bundle"])
            assert served == [str(folder / ".submodel" / "bundle") for folder in (workspace, other)]
            status = await editor.request("submodel/status")
            bundles = convert(status, ServerStatus)["bundles"]
            assert [(one["workspaceFolder"], one["state"]) for one in bundles] == [
                (str(workspace), "ready"),
                (str(other), "ready"),
            ]
            identifier = types.TextDocumentIdentifier(editor.uri)  # the bundle of an opened file would stay
            editor.text_document_did_close(types.DidCloseTextDocumentParams(identifier))
            event = types.WorkspaceFoldersChangeEvent([], [added])
            editor.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
            while len(bundles) > 1:
                bundles = (await editor.request("submodel/status"))["bundles"]
            assert bundles[0]["workspaceFolder"] == str(workspace)

    run(test)


def test_options_can_be_changed(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            full = await editor.complete(1, 24)
            own = {"experimental": {"maxNewTokens": 12}, "trigger": {"comments": "yes"}}
            settings = {"pylsp": {"plugins": {}}, "submodel": own}  # eglot sends those of all servers
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
            short = await editor.complete(1, 24)
            assert 0 < len(short[0]) < len(full[0])
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({"enabled": False}))
            assert await editor.complete(1, 24) == []
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({}))
            assert await editor.complete(1, 24) == full
        assert len(editor.messages) == 1
        assert "'trigger.comments'" in editor.messages[0]

    run(test)


def test_what_a_change_leaves_out_stays_as_it_came_with_initialize(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin(options={"experimental": {"maxNewTokens": 12}})
            short = await editor.complete(1, 24)
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({}))  # as eglot does
            assert await editor.complete(1, 24) == short

    run(test)


def test_settings_that_are_to_be_asked_for(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:

            @editor.feature(types.WORKSPACE_CONFIGURATION)
            def configuration(params: types.ConfigurationParams) -> list[object]:
                assert params.items[0].section == "submodel"
                return [{"enabled": False}]

            capabilities = types.WorkspaceClientCapabilities(configuration=True)
            await editor.begin(workspace=capabilities)
            assert await editor.complete(1, 24) != []
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
            while (await editor.request("submodel/status"))["state"] != "disabled":
                await asyncio.sleep(0.01)
            assert await editor.complete(1, 24) == []

    run(test)


def test_idle_model_leaves_memory_and_comes_back(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin(options={"care": {"idleUnloadMinutes": 0.005}})
            before = await editor.complete(1, 24)
            while (await editor.request("submodel/status"))["state"] != "unloaded":
                await asyncio.sleep(0.05)
            editor.change(" ", 0, 0)  # so that it is not in the cache
            assert await editor.complete(1, 24) != []
            assert before != []

    run(test)


def test_progress_and_state_while_loading(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            window = types.WindowClientCapabilities(work_done_progress=True)
            await editor.begin(window=window, experimental={"submodelStatus": True})
            await editor.complete(1, 24)
            while len(editor.progress_values) < 2:
                await asyncio.sleep(0.05)
        kinds = [value["kind"] if isinstance(value, dict) else value.kind for value in editor.progress_values]
        assert kinds == ["begin", "end"]
        assert editor.statuses == ["loading", "ready"]

    run(test)


def test_commands_and_why(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            assert await editor.complete(1, 24) != []
            assert (await editor.execute("submodel.pause"))["state"] == "paused"
            assert await editor.complete(1, 23) == []
            explained = await editor.request("submodel/explain", {"count": 9, "textDocument": {"uri": editor.uri}})
            newer, older = explained["decisions"]
            assert (newer["rule"], older["outcome"]) == ("paused", "shown")
            assert (await editor.execute("submodel.resume"))["state"] == "ready"
            snoozed = await editor.execute("submodel.snooze", 7)
            assert snoozed["state"] == "snoozed"
            assert snoozed["snoozedUntil"]
            await editor.execute("submodel.resume")
            status = await editor.execute("submodel.reload")
            assert status["state"] == "ready"
            assert status["memoryBytes"] > 0
            assert await editor.complete(1, 24) == [older["text"]]

    run(test)


def test_older_bundle_can_be_served_again(workspace: Path) -> None:
    shutil.copytree(workspace / ".submodel" / "bundle", workspace / ".submodel" / "previous" / "old")

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            before = await editor.complete(1, 24)
            [older] = (await editor.request("submodel/status"))["bundles"][0]["previous"]
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({"bundle": older}))
            assert await editor.complete(1, 24) == before
            [decision] = (await editor.request("submodel/explain"))["decisions"]
            assert decision["bundle"] == older == str(workspace / ".submodel" / "previous" / "old")

    run(test)


def test_a_bundle_that_is_built_anew_is_taken_without_a_reload(workspace: Path) -> None:
    bundle = workspace / ".submodel" / "bundle"
    first = build_of(bundle)

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            answer = await editor.complete(1, 24)
            with replace_folder(bundle, marker="bundle.json") as fresh:  # as a build does it
                shutil.copytree(bundle, fresh, dirs_exist_ok=True)
                write_manifest(fresh, {**read_manifest(fresh), "learned_sha256": ["0" * 64]})
                trust_build(build_of(fresh))
            await editor.complete(1, 23)
            served = first
            while served in (first, None):  # no request comes meanwhile; none is served while the new one is loaded
                await asyncio.sleep(0.2)
                served = (await editor.request("submodel/status"))["bundles"][0]["build"]
            assert served == build_of(bundle)
            assert await editor.complete(1, 24) == answer
        assert editor.messages == []

    run(test)
