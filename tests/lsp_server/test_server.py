from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import AsyncMock

import pytest
from lsprotocol import types

from contract.bundle.manifest import MANIFEST_FILE, build_of
from contract.bundle.trusted_builds import UntrustedError, trust_build
from contract.files import folders
from lsp_server.answer_cache import scope_of
from lsp_server.battery import READ_EVERY_S, Power, PowerMeter
from lsp_server.bundle_finder import RETRY_S
from lsp_server.loaded_bundles import BundleState, BundleStatus
from lsp_server.notices import Notices
from lsp_server.options import CareOptions, ServerOptions
from lsp_server.request import Completion, CompletionRequest
from lsp_server.trace import Trace
from lsp_server.transports import create_server
from testbed.fuzzing.protocol import ProtocolReader
from testbed.fuzzing.readers import READERS
from tests.lsp_server.closed_folders import close
from tests.lsp_server.test_load import Client, edit, talk


def inline_completion(trigger_kind: int) -> dict[str, Any]:
    params = {
        "textDocument": {"uri": "file:///a.py"},
        "position": {"line": 0, "character": 0},
        "context": {"triggerKind": trigger_kind},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": "textDocument/inlineCompletion", "params": params}


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (0, types.InlineCompletionTriggerKind.Invoked),  # vscode-languageclient before version 10
        (1, types.InlineCompletionTriggerKind.Invoked),
        (2, types.InlineCompletionTriggerKind.Automatic),
    ],
)
def test_every_trigger_kind_that_clients_send_is_read(number: int, kind: types.InlineCompletionTriggerKind) -> None:
    message = create_server(ServerOptions(), "1").protocol.structure_message(inline_completion(number))
    assert message.params.context.trigger_kind == kind


def test_client_that_has_sent_0_counts_from_there() -> None:
    protocol = create_server(ServerOptions(), "1").protocol
    kinds = [
        protocol.structure_message(inline_completion(number)).params.context.trigger_kind for number in (1, 0, 1, 2)
    ]
    invoked, automatic = types.InlineCompletionTriggerKind.Invoked, types.InlineCompletionTriggerKind.Automatic
    assert kinds == [invoked, invoked, automatic, automatic]


def follow_status(test: Callable[[Client, Callable[[], list[Any]]], Awaitable[None]]) -> None:
    """Talk to a server with a bundle that seems loaded; the test's second argument returns what was notified."""

    async def run(client: Client) -> None:
        client.server.service.states.set(bundle, BundleStatus(state=BundleState.READY))
        client.open("file:///a.py", "x = 1\n")
        clock = itertools.count(step=READ_EVERY_S).__next__
        client.server.session.meter = PowerMeter(clock, Power, lambda job: job())
        client.server.send_status()
        await test(client, lambda: [one["params"] for one in client.written if one.get("method") == "submodel/status"])

    with TemporaryDirectory() as folder:
        bundle = Path(folder)
        (bundle / "bundle.json").touch()
        talk(run, capabilities={"experimental": {"submodelStatus": True}})


def test_a_client_learns_that_the_battery_holds_suggestions_back() -> None:
    async def test(client: Client, notified: Callable[[], list[Any]]) -> None:
        await client.complete("file:///a.py", 0, 0, 2)
        assert [one["power"]["policy"] for one in notified()] == ["full"]
        client.server.session.meter._read = lambda: Power(on_battery=True, battery_percent=9)
        await client.complete("file:///a.py", 0, 0, 3)
        await client.complete("file:///a.py", 0, 0, 4)
        assert [(one["state"], one["power"]["policy"]) for one in notified()] == [("ready", "full"), ("ready", "off")]
        assert notified()[-1]["message"].startswith("The battery is at 9 %")
        client.server.session.meter._read = Power
        await client.complete("file:///a.py", 0, 0, 5)
        assert [one["power"]["policy"] for one in notified()] == ["full", "off", "full"]

    follow_status(test)


def test_a_client_learns_of_each_bundle_that_is_not_served_while_another_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: Client, notified: Callable[[], list[Any]]) -> None:
        (tmp_path / "bundle.json").touch()
        client.server.service.states.set(tmp_path, BundleStatus(state=BundleState.READY))
        client.server.send_status()
        client.server.service.states.set(tmp_path, BundleStatus(state=BundleState.FAILED, error="It is broken."))
        client.server.send_status()
        client.server.send_status()
        refused = {Path("/c"): UntrustedError("It is not this account's.", "c" * 64)}
        monkeypatch.setattr(type(client.server.finder), "refused", refused)  # a file of it was opened
        await client.complete("file:///a.py", 0, 0, 2)
        await client.complete("file:///a.py", 0, 0, 3)
        assert [one["state"] for one in notified()] == ["ready"] * 4
        states = [{one["folder"]: one["state"] for one in status["bundles"]} for status in notified()]
        assert [one.get(str(tmp_path)) for one in states] == [None, "ready", "failed", "failed"]
        assert [one.get("/c") for one in states] == [None, None, None, "untrusted"]

    follow_status(test)


@pytest.mark.parametrize(
    ("settings", "warnings"),
    [
        ({"pylsp": {"plugins": {}}, "gopls": {}}, 0),
        ({}, 0),
        ({"pylsp": {}, "submodel": {"eagerness": "quiet"}}, 0),
        ({"eagerness": "quiet"}, 0),
        ({"eagerness": "quiet", "eagernes": "quiet"}, 1),
        ({"submodel": {"pylsp": {}}}, 1),
        ({"submodel": []}, 0),
        ([], 0),
        ("quiet", 1),
    ],
)
def test_the_settings_of_other_servers_are_none_of_ours(settings: object, warnings: int) -> None:
    async def test(client: Client) -> None:
        client.send("workspace/didChangeConfiguration", {"settings": settings})
        await rest()
        shown = [one["params"]["message"] for one in client.written if one.get("method") == "window/showMessage"]
        assert len(shown) == warnings, shown
        wants_quiet = isinstance(settings, dict) and "eagerness" in str(settings)
        assert client.server.options.eagerness == ("quiet" if wants_quiet else "normal")
        client.send("workspace/didChangeConfiguration", {"settings": settings})
        await rest()
        shown = [one for one in client.written if one.get("method") == "window/showMessage"]
        assert len(shown) == warnings, "it is known"

    talk(test)


def test_a_bundle_is_kept_while_a_build_replaces_it_and_freed_once_it_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Windows and NFS can't let two folders change names in one step."""
    bundle, now = tmp_path / ".submodel" / "bundle", 0.0
    place = types.Position(0, 0)
    served: list[Path | None] = []

    def write(folder: Path) -> None:
        (folder / "bundle.json").write_text('{"schema": 2, "files": {}}')

    async def test(client: Client) -> None:
        server, freed, replace = client.server, [], Path.replace

        def look() -> None:
            nonlocal now
            now += RETRY_S
            document = server.document(file.as_uri())
            assert document is not None
            request = server.request(document, place)
            served.append(request.bundle)
            server._prepare(request)

        def rename_and_look(source: Path, target: Path) -> Path:
            look()
            return replace(source, target)

        monkeypatch.setattr(server.finder, "_now", lambda: now)
        monkeypatch.setattr(server.service, "unload", lambda bundle, *, forget: freed.append(bundle))
        server.service.states.set(bundle, BundleStatus(state=BundleState.READY))
        client.open(file.as_uri(), "x = 1\n")
        look()
        with folders.replace_folder(bundle, marker="bundle.json") as fresh:
            write(fresh)
            monkeypatch.setattr(Path, "replace", rename_and_look)
        look()
        assert served[:3] == [bundle, bundle, None], "there is neither the old one nor the new one"
        assert (served[-1], freed) == (bundle, [])
        shutil.rmtree(bundle)
        look()
        assert freed == [bundle]

    file = tmp_path / "a.py"
    bundle.mkdir(parents=True)
    write(bundle)
    trust_build(build_of(bundle))
    talk(test)


def test_a_bundle_that_appears_is_loaded_and_that_of_an_opened_file_is_in_the_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded: list[Path] = []

    async def load(bundle: Path, threads: int | None) -> None:
        loaded.append(bundle)

    async def test(client: Client) -> None:
        server = client.server
        monkeypatch.setattr("lsp_server.bundle_finder._refusal", lambda bundle: None)
        monkeypatch.setattr(type(server), "folders", [tmp_path])
        monkeypatch.setattr(server, "_load", load)
        await server.load_bundles()
        status = server.describe()
        assert (status["state"], status["bundles"], loaded) == ("failed", [], []), "so there is none"
        for repository in (tmp_path, tmp_path / "package"):
            (repository / ".submodel" / "bundle").mkdir(parents=True)
        changes = [{"uri": (tmp_path / ".submodel" / "bundle").as_uri(), "type": 1}]
        client.send("workspace/didChangeWatchedFiles", {"changes": changes})
        while not loaded:
            await asyncio.sleep(0.001)
        client.open((tmp_path / "package" / "a.py").as_uri(), "x = 1\n")
        below = tmp_path / "package" / ".submodel" / "bundle"
        while below not in server.service.bundles:
            await asyncio.sleep(0.001)
        assert server.service.bundles[below].state is BundleState.UNLOADED
        assert loaded == [tmp_path / ".submodel" / "bundle"]

    talk(test)


def test_suggestions_that_are_off_keep_no_model_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(client: Client) -> None:
        used: list[object] = []
        monkeypatch.setattr(client.server, "note_use", lambda: used.append(None))
        client.open("file:///a.py", "x = 1\n")
        client.server.session.snooze(5)
        await client.complete("file:///a.py", 0, 5, 2)
        assert len(used) == 1, "it was asked for"
        used.clear()
        client.server.session.pauses.is_paused = True
        await client.complete("file:///a.py", 0, 5, 3)
        assert used == []
        monkeypatch.setattr(client.server.service, "free_when_idle", used.append)
        client.send("submodel/cursor", cursor(0))
        assert used == [], "whoever only reads would keep it for ever"
        client.server.session.pauses.resume()
        client.send("submodel/cursor", cursor(0))
        assert used == [client.server.options.care.idle_unload_minutes]
        client.server.session.meter = PowerMeter(lambda: 0.0, lambda: Power(on_battery=True, battery_percent=5))
        client.send("submodel/cursor", cursor(0))
        assert len(used) == 1

    talk(test)


def test_a_server_whose_folder_is_removed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "worktree"
    folder.mkdir()
    monkeypatch.chdir(folder)

    async def test(client: Client) -> None:
        client.open("file:///a.py", "x = 1\n")
        folder.rmdir()
        assert (await client.complete("file:///a.py", 0, 5, 2))["result"]["items"] == []

    talk(test)


@pytest.mark.parametrize(("days", "reported"), [(30.5, []), (31.5, [31])])
def test_an_old_bundle_is_reported_once_in_a_line(
    days: float, reported: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / MANIFEST_FILE).touch()
    built_s = time.time() - days * 86_400
    os.utime(tmp_path / MANIFEST_FILE, (built_s, built_s))
    notices, said = Notices(create_server(ServerOptions(), "1")), []
    monkeypatch.setattr(notices, "warn", said.append)
    for bundle in (tmp_path, tmp_path, tmp_path / "gone"):
        notices.warn_of_age(bundle)
    assert said == [f"This sub-model is {old} days old. Run `submodel build` again." for old in reported]


def test_each_build_that_is_not_trusted_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = create_server(ServerOptions(), "1")
    reported: list[Any] = []
    monkeypatch.setattr(server.notices, "warn", reported.append)
    for build in ("a", "a", "b"):
        monkeypatch.setattr(
            type(server.finder), "refused", {Path("/bundle"): UntrustedError("It is not this account's.", build)}
        )
        server._tell_refused()
    server.close()
    assert len(reported) == 2, "another account has replaced the first"


def test_a_project_without_a_bundle_gets_no_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Editors start the server in each project."""
    monkeypatch.chdir(tmp_path)
    server = create_server(ServerOptions(), "1")
    logged: list[Any] = []
    monkeypatch.setattr(server.notices, "warn", lambda message: pytest.fail(message))
    monkeypatch.setattr(server, "window_log_message", lambda params: logged.append(params.message))
    monkeypatch.setattr(server, "send_status", lambda: None)
    monkeypatch.setattr(type(server), "folders", [tmp_path])
    monkeypatch.setattr(type(server), "documents", [])
    for _ in range(2):
        asyncio.run(server.load_bundles())
    server.close()
    (message,) = logged
    assert message.endswith(
        "run `submodel build` in the repository, or name the folder of one. Until then submodel completes nothing."
    )


def test_a_bundle_that_can_t_be_looked_at_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of another account, with mode 0700."""
    (bundle := tmp_path / ".submodel" / "bundle").mkdir(parents=True)
    close(bundle, monkeypatch)
    server = create_server(ServerOptions(), "1")
    noted: list[str] = []
    monkeypatch.setattr(server.notices, "note_once", noted.append)
    monkeypatch.setattr(server, "send_status", lambda: None)
    monkeypatch.setattr(type(server), "folders", [tmp_path])
    monkeypatch.setattr(type(server), "documents", [])
    asyncio.run(server.load_bundles())
    server.close()
    assert [sentence.partition(" (")[0] for sentence in noted] == [f"No bundle can be looked for in {bundle}"]
    assert server.is_started, "so the status is no longer `starting`"


def test_switched_off_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    server = create_server(ServerOptions(enabled=False), "1")
    monkeypatch.setattr(server.finder, "for_file", lambda *_: pytest.fail("it looks for bundles"))
    asyncio.run(server.load_bundles())
    server.close()


def test_nothing_of_a_message_stays_once_it_is_answered(tmp_path: Path) -> None:
    """A day of typing is a hundred thousand notifications."""
    with READERS["protocol"](tmp_path) as reader:
        assert isinstance(reader, ProtocolReader)
        for seed in reader.seeds:
            reader.read(seed)
        assert reader.server.protocol._request_futures == {}


def test_the_fuzzers_requests_reach_an_open_document(tmp_path: Path) -> None:
    with READERS["protocol"](tmp_path) as reader:
        assert isinstance(reader, ProtocolReader)
        shown = []
        for seed in reader.seeds:
            reader.read(seed)
            if json.loads(seed).get("method") == "textDocument/inlineCompletion":
                shown.append([item["insertText"] for item in reader.written[-1]["result"]["items"]])
    assert shown == [["foo(bar)", "bar"], ["valuefoo(bar)"]]


def test_shutdown_cancels_what_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request's own callback takes it out of what pygls iterates over."""
    answers: dict[object, Any] = {}

    async def shut_down() -> bool:
        protocol = create_server(ServerOptions(), "1").protocol
        monkeypatch.setattr(
            protocol, "_send_response", lambda number, result=None, error=None: answers.update({number: error})
        )

        def waits() -> Generator[Any, Any, None]:
            yield asyncio.Event().wait, (), {}

        for number in range(3):
            callback = partial(protocol._send_handler_result, msg_id=number)
            protocol._execute_handler(number, waits, callback)  # type: ignore[arg-type]
        for _ in protocol.lsp_shutdown(None):
            pass
        return protocol._shutdown

    assert asyncio.run(shut_down())
    assert [error.message for error in answers.values()] == [f'Request with id "{n}" is canceled' for n in range(3)]


def answering(
    monkeypatch: pytest.MonkeyPatch, client: Client, completion: Completion | None, recalled: Completion | None = None
) -> None:
    """Let the server answer each request with `completion`; the text at hand has `recalled`."""

    session = client.server.session

    async def suggest(request: CompletionRequest, trace: Trace) -> Completion | None:
        return None if completion is None else session._shown(request, trace, completion, "")

    async def recall(request: CompletionRequest) -> Completion | None:
        return recalled

    monkeypatch.setattr(session, "_suggest", suggest)
    monkeypatch.setattr(client.server.service, "recall", recall)


def test_a_block_has_the_line_ends_of_its_document(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(client: Client) -> None:
        answering(monkeypatch, client, Completion(text="a\n    b"))
        client.open("file:///a.py", "def f():\r\n    \r\n")
        [item] = (await client.complete("file:///a.py", 1, 4, 2))["result"]["items"]
        assert item["insertText"] == "a\r\n    b"
        listed = await client.ask("textDocument/completion", cursor(1, 4), 3)
        assert listed["result"]["items"][0]["textEdit"]["newText"] == "a\r\n    b"

    talk(test)


@pytest.mark.parametrize(
    ("text", "line", "character", "edited"),
    [
        ("def f():\r\n    \r\n", 1, 4, "def f():\r\n    x\r\n"),  # fileformat=dos
        ("def f():\r    \r", 1, 4, "def f():\r    x\r"),  # fileformat=mac
        ("a = '\r'\ndef f():\n    \n", 2, 4, "a = '\r'\ndef f():\n    x\n"),  # unix, with a CR within a line
        ("a = 1\ndef f():\r\n", 1, 9, "a = 1\ndef f():\rx\n"),  # unix, behind a CR that ends a line elsewhere
    ],
)
def test_neovim_counts_its_own_lines_and_inserts_line_feeds(
    text: str, line: int, character: int, edited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: Client) -> None:
        answering(monkeypatch, client, Completion(text="a\n    b"))
        client.open("file:///a.py", text)
        [item] = (await client.complete("file:///a.py", line, character, 2))["result"]["items"]
        assert item["insertText"] == "a\n    b"
        assert item["range"]["start"] == {"line": line, "character": character}
        client.change("file:///a.py", edit(line, character, "x"))
        document = client.server.document("file:///a.py")
        assert document is not None
        assert document.source == edited

    talk(test, name="Neovim", capabilities={"textDocument": {"inlineCompletion": {}}})


@pytest.mark.parametrize("name", ["Eglot", "helix"])
def test_a_client_whose_lines_end_at_line_feeds_alone_edits_the_right_line(name: str) -> None:
    async def test(client: Client) -> None:
        client.open("file:///a.py", "a = '\r'\ndef f():\n    \n")
        client.change("file:///a.py", edit(2, 4, "x"))
        document = client.server.document("file:///a.py")
        assert document is not None
        assert document.source == "a = '\r'\ndef f():\n    x\n"

    talk(test, name=name)


@pytest.mark.parametrize("typed", ["", "el"])
def test_a_line_that_leaves_its_block_takes_the_place_of_its_white_space(
    typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: Client) -> None:
        answering(monkeypatch, client, Completion(text="else:"[len(typed) :], indent="    "))
        client.open("file:///a.py", f"if x:\n        {typed}\n")
        [item] = (await client.complete("file:///a.py", 1, 8 + len(typed), 2))["result"]["items"]
        assert item["insertText"] == "    else:"
        assert item["range"] == {
            "start": {"line": 1, "character": 0},
            "end": {"line": 1, "character": 8 + len(typed)},
        }
        place = types.Position(1, 8)
        info = types.SelectedCompletionInfo(text="els", range=types.Range(place, types.Position(1, 8 + len(typed))))
        document = client.server.document("file:///a.py")
        assert document is not None
        asked = [client.server.request(document, types.Position(1, 8 + len(typed)), info=one) for one in (None, info)]
        assert len({scope_of(request, None) for request in asked}) == 2, "the list's item gets no such answer"

    talk(test, capabilities={"experimental": {"submodelIndentation": True}})


@pytest.mark.parametrize(
    ("text", "added", "inserted"),
    [
        ("(c) => {}", 1, {"kind": "snippet", "value": "(c) => {$0\\}"}),
        ("`${x}`, [{}]", 2, {"kind": "snippet", "value": "`\\${x\\}`, [{$0\\}]"}),
        ("}", 1, "}"),  # what opens it is typed
        ("f(x)", 0, "f(x)"),
    ],
)
def test_the_cursor_stays_before_the_closers_that_an_answer_adds(
    text: str, added: int, inserted: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: Client) -> None:
        answering(monkeypatch, client, Completion(text=text, added=added))
        client.open("file:///a.ts", "get()\n")
        [item] = (await client.complete("file:///a.ts", 0, 4, 2))["result"]["items"]
        assert item["insertText"] == inserted

    talk(test, capabilities={"experimental": {"submodelSnippets": True}})


@pytest.mark.parametrize("announced", [False, True])
def test_white_space_and_the_cursor_s_place_are_changed_for_clients_that_say_so(
    announced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: Client) -> None:
        client.open("file:///a.py", "x = 1\n")
        document = client.server.document("file:///a.py")
        assert document is not None
        place = types.Position(0, 0)
        item = types.SelectedCompletionInfo(text="x", range=types.Range(place, place))
        requests = [client.server.request(document, place), client.server.request(document, place, info=item)]
        asked = AsyncMock(return_value=None)
        monkeypatch.setattr(client.server, "ask", asked)
        await client.ask("textDocument/completion", cursor(0, 0), 2)
        requests.append(asked.call_args.args[0])
        assert [request.may_reindent for request in requests] == [announced, False, False]
        assert [request.may_place_cursor for request in requests] == [announced, False, False]

    names = ("submodelIndentation", "submodelSnippets")
    talk(test, capabilities={"experimental": dict.fromkeys(names, announced)})


@pytest.mark.parametrize(("is_paused", "texts"), [(False, ["area"]), (True, [])])
def test_by_hand_the_text_at_hand_answers_if_the_model_does_not(
    is_paused: bool, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: Client) -> None:
        answering(monkeypatch, client, None, Completion(text="area"))
        client.open("file:///a.py", "x = \n")
        if is_paused:
            client.server.session.pause()
        items = (await client.complete("file:///a.py", 0, 4, 2))["result"]["items"]
        assert [item["insertText"] for item in items] == texts
        assert not any("command" in item for item in items)

    talk(test)


class Reader:
    """A session's `read_ahead`, and whether it can read."""

    def __init__(self) -> None:
        self.requests: list[CompletionRequest] = []
        self.is_ready = True

    def __call__(self, request: CompletionRequest) -> bool:
        self.requests.append(request)
        return self.is_ready


async def rest() -> None:
    for _ in range(5):
        await asyncio.sleep(0.002)


def with_reader(monkeypatch: pytest.MonkeyPatch, test: Callable[[Client, Reader], Awaitable[None]]) -> None:
    reader = Reader()

    async def run(client: Client) -> None:
        monkeypatch.setattr(client.server.session, "read_ahead", reader)
        client.open("file:///a.py", "x = 1\ny = 2\n")
        await test(client, reader)

    talk(run, ServerOptions(care=CareOptions(read_ahead_delay_ms=1)))


def cursor(line: object, character: object = 0, uri: object = "file:///a.py") -> dict[str, object]:
    return {"textDocument": {"uri": uri, "version": 1}, "position": {"line": line, "character": character}}


def test_what_is_around_a_cursor_that_rests_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(client: Client, reader: Reader) -> None:
        await rest()
        assert reader.requests == [], "where the cursor is, the client has not said"
        client.send("submodel/cursor", cursor(0))
        client.send("submodel/cursor", cursor(1, 3))
        await rest()
        assert [(one.client.line, one.offset) for one in reader.requests] == [(1, 9)], "where it has come to rest"
        client.server._note_service_change()
        assert len(reader.requests) == 1, "once"

    with_reader(monkeypatch, test)


def test_a_cursor_that_rests_before_its_bundle_is_loaded_is_read_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(client: Client, reader: Reader) -> None:
        reader.is_ready = False
        client.send("submodel/cursor", cursor(1))
        await rest()
        reader.is_ready = True
        client.server._note_service_change()
        assert len(reader.requests) == 2
        reader.is_ready = False
        client.send("submodel/cursor", cursor(1))
        await rest()
        client.change("file:///a.py", edit(0, 0, "z"))
        client.server._note_service_change()
        assert len(reader.requests) == 3, "after an edit a request comes"

    with_reader(monkeypatch, test)


@pytest.mark.parametrize(
    "params", [None, [], {}, cursor(-1), cursor(0, "3"), cursor(True), cursor(0, uri=7), cursor(2**40)]
)
def test_a_cursor_that_is_none_is_passed_over(monkeypatch: pytest.MonkeyPatch, params: object) -> None:
    async def test(client: Client, reader: Reader) -> None:
        client.send("submodel/cursor", params)
        client.send("submodel/cursor", cursor(0, uri="file:///unknown.py"))
        await rest()
        assert reader.requests == []

    with_reader(monkeypatch, test)
