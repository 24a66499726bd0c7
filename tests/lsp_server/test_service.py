from __future__ import annotations

import asyncio
import os
import shutil
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from contract.bundle.bundle import Bundle
from contract.bundle.drafts import FOLDER, build_index, write_index
from contract.bundle.manifest import read_manifest, write_manifest, write_manifest_of
from contract.errors import BundleError, SubmodelError
from lsp_server import completion
from lsp_server.loaded_bundles import LOOK_S, MAX_LOADED, RETRY_S, BundleState
from lsp_server.options import UNHURRIED
from lsp_server.request import Completion, CompletionRequest
from lsp_server.serve_errors import ServeError
from lsp_server.service import CompletionService, Reading
from tests.lsp_server.played_models import BUNDLE, SlowCompleter, use

TEXT = "def f(self):\n    return "


async def ask(service: CompletionService, text: str, bundle: Path = BUNDLE) -> str:
    try:
        request = CompletionRequest(text=text, offset=len(text), bundle=bundle, options=UNHURRIED)
        answer = await service.complete(request)
    except SubmodelError:
        return ""
    return answer.text if answer else ""


def run(test: Callable[[CompletionService, SlowCompleter], Any]) -> None:
    service, completer = CompletionService(), SlowCompleter()
    use(service, completer)
    try:
        asyncio.run(asyncio.wait_for(test(service, completer), timeout=60))
    finally:
        service.close()


async def start(service: CompletionService, completer: SlowCompleter, text: str) -> asyncio.Task[str]:
    """A request that the worker is busy with."""
    completer.is_started.clear()
    task = asyncio.create_task(ask(service, text))
    while not completer.is_started.is_set():
        await asyncio.sleep(0.001)
    return task


def test_newest_request_stops_the_running_one_and_skips_those_between() -> None:
    async def test(service: CompletionService, completer: SlowCompleter) -> None:
        oldest = await start(service, completer, "oldest")
        between = asyncio.create_task(ask(service, "between"))
        newest = asyncio.create_task(ask(service, "newest"))
        assert await oldest == ""
        completer.release.set()
        assert [await between, await newest] == ["", "answer to newest"]
        assert completer.stopped == ["oldest"]
        assert "between" not in completer.started

    run(test)


def test_which_request_is_the_newest_is_known_after_its_answer_too() -> None:
    async def test(service: CompletionService, completer: SlowCompleter) -> None:
        completer.release.set()
        unwanted = service.supersede()
        await service.complete(CompletionRequest(text=TEXT, offset=len(TEXT), bundle=BUNDLE), unwanted)
        assert service.is_newest(unwanted)
        service.supersede()
        assert not service.is_newest(unwanted)

    run(test)


def test_request_that_was_not_begun_is_answered_at_once_by_a_newer_one() -> None:
    class StubbornCompleter(SlowCompleter):
        """Reads a long chunk of a prompt, and asks nobody meanwhile."""

        def complete(self, request: CompletionRequest, stop: Callable[[], bool]) -> Completion:
            self.is_started.set()
            self.release.wait()
            return Completion(text=f"answer to {request.text}")

    async def test(service: CompletionService, _: SlowCompleter) -> None:
        completer = StubbornCompleter()
        use(service, completer)
        oldest = await start(service, completer, "oldest")
        between = asyncio.create_task(ask(service, "between"))
        await asyncio.sleep(0)
        newest = asyncio.create_task(ask(service, "newest"))
        assert await between == ""
        assert not oldest.done()
        completer.release.set()
        assert await newest == "answer to newest"

    run(test)


def test_cancelled_request_stops_and_the_next_is_answered() -> None:
    async def test(service: CompletionService, completer: SlowCompleter) -> None:
        task = await start(service, completer, "cancelled")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not completer.stopped:  # no further request is needed for that
            await asyncio.sleep(0.001)
        following = await start(service, completer, "following")
        assert completer.stopped == ["cancelled"]
        completer.release.set()
        assert await following == "answer to following"

    run(test)


def test_error_of_the_engine_is_logged_and_answered_with_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class FailingCompleter:
        def complete(self, *_: object, **__: object) -> Completion:
            raise ServeError("The model failed.")

    async def test(service: CompletionService, _: SlowCompleter) -> None:
        use(service, FailingCompleter())
        assert await ask(service, "x") == ""
        completer = SlowCompleter()
        use(service, completer)
        completer.release.set()
        assert await ask(service, "x") == "answer to x"

    run(test)
    assert "The model failed." in caplog.text


def test_requests_wait_for_the_model(tiny_bundle: Bundle) -> None:
    async def test(service: CompletionService, _: SlowCompleter) -> None:
        loading = service.load(tiny_bundle.folder, None)
        assert service.bundles[tiny_bundle.folder].state is BundleState.LOADING
        assert await ask(service, TEXT, tiny_bundle.folder) != ""
        assert loading.done()
        assert service.bundles[tiny_bundle.folder].state is BundleState.READY

    run(test)


def test_a_build_that_fails_is_not_loaded_at_each_look(tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    (folder / "onnx" / "model.onnx").write_bytes(b"broken")
    now = 0.0

    async def test() -> None:
        nonlocal now
        service = CompletionService(is_named=lambda bundle: True, now=lambda: now)
        loads = [service.load(folder, 1)]
        for _ in range(5):
            with suppress(SubmodelError):
                await asyncio.wrap_future(loads[-1])
            now += 60.0
            loads += [again] if (again := service.follow_build(folder, 1)) else []
        service.close()
        assert len(loads) == 2

    asyncio.run(test())


def test_a_bundle_that_is_copied_file_by_file_is_loaded_once_it_is_whole(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """With `cp -r` bundle.json comes first. The model in memory answers meanwhile."""
    folder, now = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")), 0.0
    write_index(build_index([list(range(100))]), folder / FOLDER)
    kept = {name: value for name, value in read_manifest(folder).items() if name not in ("schema", "files")}
    write_manifest_of(folder, kept)
    whole = {path: path.read_bytes() for path in (folder / "onnx" / "model.onnx", *(folder / FOLDER).iterdir())}

    def write(share: float) -> None:
        for path, content in whole.items():
            path.write_bytes(content[: int(share * len(content))])

    async def follow(service: CompletionService) -> bool:
        nonlocal now
        now += LOOK_S
        if (loading := service.follow_build(folder, 1)) is None:
            return False
        with suppress(BundleError):
            await asyncio.wrap_future(loading)
        return True

    async def test() -> None:
        nonlocal now
        service = CompletionService(is_named=lambda bundle: True, now=lambda: now)
        await asyncio.wrap_future(service.load(folder, 1))
        before, old = service.bundles[folder], service._loaded.completers.get(folder)
        write_manifest(folder, {**read_manifest(folder), "learned_sha256": ["0" * 64]})
        for share in (0.0, 0.5):
            write(share)
            now += RETRY_S
            assert await follow(service)
            assert not await follow(service), "it was tried just now"
            assert service.bundles[folder] == before
            assert service._loaded.completers[folder] is old
            assert await ask(service, TEXT, folder) != ""
        write(1.0)
        now += RETRY_S
        assert await follow(service)
        assert service.bundles[folder].state is BundleState.READY
        assert service.build_of(folder) != before.build
        assert service._loaded.completers[folder] is not old
        service.close()

    asyncio.run(test())


def test_bundle_that_fails_is_remembered(tmp_path: Path) -> None:
    async def test(service: CompletionService, _: SlowCompleter) -> None:
        loading = service.load(tmp_path, 1)
        assert await ask(service, "x", tmp_path) == ""
        with pytest.raises(BundleError):
            loading.result()
        assert service.bundles[tmp_path].state is BundleState.FAILED
        with pytest.raises(ServeError) as again:
            await service.complete(CompletionRequest(text="x", offset=1, bundle=tmp_path))
        assert str(again.value) == service.bundles[tmp_path].error

    run(test)


@pytest.mark.slow
def test_freed_memory_is_taken_again_at_the_next_request(tiny_bundle: Bundle) -> None:
    async def test(service: CompletionService, _: SlowCompleter) -> None:
        first = await ask(service, TEXT, tiny_bundle.folder)
        await asyncio.wrap_future(service.unload())
        assert service.bundles[tiny_bundle.folder].state is BundleState.UNLOADED
        assert not service._loaded.completers
        assert await ask(service, TEXT, tiny_bundle.folder) == first
        assert service.bundles[tiny_bundle.folder].state is BundleState.READY
        await asyncio.wrap_future(service.unload(forget=True))
        assert service.bundles == {}

    run(test)


def test_for_another_number_of_threads_it_is_loaded_once_no_request_comes(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lsp_server.service.QUIET_S", 3600.0)
    folder = tiny_bundle.folder

    async def test(service: CompletionService, _: SlowCompleter) -> None:
        loaded = []
        wanted: list[int | None] = []
        for threads in (None, None, 1):
            wanted.append(threads)
            service.keep_current(folder, lambda: wanted[-1])
            await service.complete(CompletionRequest(text=TEXT, offset=len(TEXT), bundle=folder, threads=threads))
            loaded.append(service._loaded.completers[folder])
        assert loaded[0] is loaded[1] is loaded[2], "a request does not wait for that"
        monkeypatch.setattr("lsp_server.service.QUIET_S", 0.0)
        service.keep_current(folder, lambda: wanted[-1])
        while service.bundles[folder].threads != 1:
            await asyncio.sleep(0.001)
        assert service._loaded.completers[folder] is not loaded[0]

    run(test)


def test_what_is_asked_after_the_end_is_dropped(tiny_bundle: Bundle) -> None:
    """As a suggestion's continuation, which is asked for once the suggestion is there: nobody waits for its error."""
    service = CompletionService()
    service.close()
    assert asyncio.run(service.complete(CompletionRequest(bundle=tiny_bundle.folder, text="x = ", offset=4))) is None
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(service.recall(CompletionRequest(bundle=tiny_bundle.folder, text="x = ", offset=4)))


def test_nothing_of_a_bundle_that_is_not_trusted_is_read(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    write_manifest(folder, {**read_manifest(folder), "learned_sha256": ["1" * 64]})
    monkeypatch.setattr("lsp_server.service.verify_bundle", lambda _: pytest.fail("its files are read"))
    service = CompletionService()
    with pytest.raises(BundleError, match="trust"):
        service.load(folder, 1).result(60)
    service.close()


def test_a_model_is_gone_before_it_is_loaded_again(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[weakref.ref[completion.Completer]] = []
    alive: list[int] = []

    def open_completer(folder: Path, **options: Any) -> completion.Completer:
        alive.append(sum(one() is not None for one in opened))
        completer = original(folder, **options)
        opened.append(weakref.ref(completer))
        return completer

    async def test(service: CompletionService, _: SlowCompleter) -> None:
        for threads in (None, 1):
            await asyncio.wrap_future(service.load(tiny_bundle.folder, threads))

    original = completion.open_completer
    monkeypatch.setattr(completion, "open_completer", open_completer)
    run(test)
    assert alive == [0, 0]


def test_a_load_that_fails_frees_no_other_bundle() -> None:
    async def test(service: CompletionService, _: SlowCompleter) -> None:
        folders = [Path(f"/{index}") for index in range(MAX_LOADED)]
        for folder in folders:
            service._loaded.completers[folder] = object()  # type: ignore[assignment]
        with pytest.raises(BundleError):
            await asyncio.wrap_future(service.load(Path("/none"), None))
        assert list(service._loaded.completers) == [BUNDLE, *folders], "what fails frees nothing"

    run(test)


@pytest.mark.slow
def test_the_least_recently_used_bundle_goes(tiny_bundle: Bundle) -> None:
    async def test(service: CompletionService, _: SlowCompleter) -> None:
        other = Path("/other")
        service._loaded.completers[other] = object()  # type: ignore[assignment]
        await ask(service, TEXT, tiny_bundle.folder)
        assert list(service._loaded.completers) == [other, tiny_bundle.folder]
        assert service.bundles[BUNDLE].state is BundleState.UNLOADED

    run(test)


def question(text: str, **fields: Any) -> CompletionRequest:
    return CompletionRequest(text=text, offset=len(text), bundle=BUNDLE, **fields)


async def read(service: CompletionService, completer: SlowCompleter, text: str) -> asyncio.Task[Reading]:
    """A reading that the worker is busy with."""
    completer.is_started.clear()
    task = asyncio.create_task(service.read_ahead(question(text), 1000))
    while not completer.is_started.is_set():
        await asyncio.sleep(0.001)
    return task


@pytest.mark.parametrize("how", ["supersede", "complete", "read"])
def test_reading_ahead_ends_for_any_request_and_for_the_next_reading(how: str) -> None:
    async def test(service: CompletionService, completer: SlowCompleter) -> None:
        unwanted = service.supersede()
        reading = await read(service, completer, "ahead")
        if how == "supersede":
            service.supersede()
        elif how == "complete":
            completer.release.set()
            assert await service.complete(question("x"), unwanted) is not None
        else:
            newer = await read(service, completer, "newer")
            service.supersede()
            assert (await newer).tokens == 1
        ended = await reading
        assert (ended.tokens, ended.was_ended) == (1, True)
        assert completer.stopped[0] == "ahead"

    run(test)


def test_an_answer_at_the_first_key_comes_while_the_reading_goes_on() -> None:
    async def test(service: CompletionService, completer: SlowCompleter) -> None:
        answers: list[Completion] = []
        reading = asyncio.create_task(service.read_ahead(question("rest"), 1000, question("key"), answers.append))
        while not answers:
            await asyncio.sleep(0.001)
        assert not reading.done()
        service.supersede()
        await reading
        assert [answer.text for answer in answers] == ["answer to key"]

    run(test)


def test_reading_ahead_takes_no_more_of_the_cores_than_it_may() -> None:
    async def test(service: CompletionService, completer: SlowCompleter) -> None:
        assert await service.read_ahead(question("x"), 0) == Reading()
        reading = await service.read_ahead(question("x"), 0.01, is_short_enough=True)
        assert reading.core_s >= 0.01
        assert not reading.was_ended, "its time was used up"
        assert completer.started == ["x, the short prompt"]
        assert completer.stopped == ["x"]

    run(test)


def test_reading_ahead_loads_nothing(tiny_bundle: Bundle) -> None:
    async def test(service: CompletionService, _: SlowCompleter) -> None:
        there = CompletionRequest(text=TEXT, offset=len(TEXT), bundle=tiny_bundle.folder)
        assert await service.read_ahead(there, 1000) == Reading()
        assert tiny_bundle.folder not in service._loaded.completers
        await asyncio.wrap_future(service.load(tiny_bundle.folder, None))
        assert (await service.read_ahead(there, 1000)).tokens > 0
        assert (await service.read_ahead(there, 1000)).tokens == 0
        answer = await service.complete(there)
        assert answer is not None
        assert answer.computed_tokens == 0

    run(test)


def test_an_answer_that_nobody_asked_for_loads_nothing(tiny_bundle: Bundle) -> None:
    async def test() -> None:
        service = CompletionService()
        request = CompletionRequest(text=TEXT, offset=len(TEXT), bundle=tiny_bundle.folder)
        assert await service.complete(request, may_load=False) is None
        assert service.bundles == {}
        service.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("is_loading", "is_stuck", "status"), [(True, True, 0), (False, True, 1), (False, False, None)]
)
def test_a_server_ends_while_it_loads_and_reports_a_model_that_does_not_come_back(
    is_loading: bool,
    is_stuck: bool,
    status: int | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[int] = []

    def end(code: int) -> NoReturn:
        ended.append(code)
        raise SystemExit

    service, release, begun = CompletionService(), threading.Event(), threading.Event()

    def wait(*_: object, **__: object) -> NoReturn:
        begun.set()
        if is_stuck:
            release.wait(60)
        raise BundleError("It is none.")

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr("logging.shutdown", lambda: None)
    monkeypatch.setattr(completion, "open_completer", wait)
    done = service.load(BUNDLE, None) if is_loading else service._worker.submit(wait)
    begun.wait(60)
    if not is_stuck:
        done.exception()
    service.close()
    try:
        with suppress(SystemExit):
            service.end_process_if_busy(0.01)
    finally:
        release.set()
    assert ended == ([] if status is None else [status])
    assert ("does not come back" in caplog.text) is (status == 1)
