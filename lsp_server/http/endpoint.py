"""Answers requests over HTTP, with the engine, filters and confidence threshold of the language server."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.bundle.manifest import MANIFEST_FILE
from contract.errors import SubmodelError
from contract.files.file_names import is_file
from contract.prompt import ContextSnippet
from lsp_server.battery import Policy, PowerMeter, choose_policy, choose_threads, options_on
from lsp_server.bundle_finder import BundleFinder, search_bundle, workspace_of
from lsp_server.decoding.providers import Provider
from lsp_server.http import messages
from lsp_server.http.messages import Found, Refusal, Reply, Request, Wanted
from lsp_server.loaded_bundles import BundleState
from lsp_server.looking_ahead import BURST_S
from lsp_server.options import ServerOptions
from lsp_server.request import Completion, CompletionRequest, line_end_of, path_in
from lsp_server.service import CompletionService
from lsp_server.suggestion.brackets import insertable

log = logging.getLogger(__name__)

MODEL = "submodel"
MAX_CONTEXT_CHARACTERS = 2000  # of the snippets that a client sends; about 600 tokens
ENOUGH_CHARACTERS = 5120  # before the cursor: the 1,024 tokens of a window have four characters each, or fewer
START_CHARACTERS = 200  # by which a line is found again
MAX_STARTS = 16


class Endpoint:
    """What is asked over HTTP, for one folder. All methods are called from the event loop's thread."""

    def __init__(self, options: ServerOptions, folder: Path, now: Callable[[], float] = time.monotonic) -> None:
        self.options = options
        self._finder = BundleFinder(options.bundle, now)
        self.service = CompletionService(is_named=self._finder.is_named, now=now)
        self.service.provider = Provider(options.provider)
        self._folder = folder
        self._meter = PowerMeter(now)
        self._newest: dict[str, asyncio.Future[None]] = {}  # of each client that waits; done: a newer one came
        self._reading: asyncio.Task[Any] | None = None
        self._starts: deque[str] = deque(maxlen=MAX_STARTS)  # what stands where windows are cut from, newest first
        self._is_held_back = False  # by the machine's policy, as the log says
        self._routes = {
            ("GET", "/health"): self._health,
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/completions"): self._completions,
            ("POST", "/infill"): self._infill,
        }

    def start(self) -> str | None:
        """Begin to load the folder's bundle, so that the first request need not wait; return what is wrong, if any."""
        try:
            bundle = self._bundle()
        except Refusal as refusal:
            return str(refusal)
        self.service.load(bundle, self._threads())
        self._note_use()
        # It was named, and a build may put it there. If it can't be looked at, the log says so once it is loaded.
        if not is_file(bundle / MANIFEST_FILE):
            return f"{bundle} holds no bundle yet; name another folder with --bundle, or run `submodel build`."
        return None

    def close(self) -> None:
        """Stop what runs."""
        self.service.close()

    async def answer(self, request: Request) -> Reply:
        """Return the answer to a request. Raises Refusal."""
        route = self._routes.get((request.method, request.path))
        if route is not None:
            return await route(request)
        methods = [method for method, path in self._routes if path == request.path]
        if methods:
            return messages.refusal_reply(405, f"Use {methods[0]} for {request.path}.", (("Allow", methods[0]),))
        known = ", ".join(path for _, path in self._routes)
        raise Refusal(404, f"There is no such path; known are {known}.")

    async def _health(self, request: Request) -> Reply:
        """Answer 503 until the model can answer, as llama.cpp does. No token is needed, so the answer names nothing."""
        try:
            bundle = self._bundle()
        except Refusal as refusal:
            raise Refusal(503, "There is no bundle to serve; the server's log says what to do.") from refusal
        status = self.service.bundles.get(bundle)
        if status is None:
            self.service.load(bundle, self._threads())
            self._note_use()  # nobody need ask after that
        if status is None or status.state is BundleState.LOADING:
            raise Refusal(503, "The model is being loaded; ask again.")
        if status.state in (BundleState.FAILED, BundleState.UNTRUSTED):
            if self.service.follow_build(bundle, self._threads()) is not None:  # another build is there since
                self._note_use()
            raise Refusal(503, "The model can't be loaded; the server's log says why.")
        return messages.json_reply({"status": "ok"})

    async def _models(self, request: Request) -> Reply:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "submodel"}
        return messages.json_reply({"object": "list", "data": [model]})

    async def _infill(self, request: Request) -> Reply:
        wanted = messages.read_infill(request.body)
        return messages.write_infill(wanted, await self._find(wanted, request))

    async def _completions(self, request: Request) -> Reply:
        wanted = messages.read_completion(request.body)
        return messages.write_completion(wanted, await self._find(wanted, request))

    async def _find(self, wanted: Wanted, request: Request) -> Found:
        policy, reason = choose_policy(self._meter.power, self.options.care)
        self._note_policy(policy, reason)
        if policy is Policy.OFF or not wanted.text.strip():
            return Found(text="", model=MODEL, is_withheld=policy is Policy.OFF)
        asked = self._completion_request(wanted, policy)
        self._note_use()
        if wanted.max_tokens == 0:
            if policy is not Policy.FULL:
                return Found(text="", model=MODEL)
            reading = await self.service.read_ahead(asked, BURST_S)
            return Found(text="", model=MODEL, computed_tokens=reading.tokens)
        completion = await self._ask(asked, f"{request.headers.get('user-agent', '')}\0{wanted.user}")
        if completion is None:
            # An error would be shown to people by some clients, asked again by others, and JupyterLab's asks no more.
            return Found(text="", model=MODEL, finish="length", is_withheld=True)
        if completion.is_from_short_prompt and not self._newest and policy is Policy.FULL:
            self._reading = asyncio.ensure_future(self.service.read_ahead(asked, BURST_S))
        is_cut = not completion.is_line_whole and any(
            step.name in ("budget", "threshold") and step.action == "cut" for step in completion.steps
        )
        return Found(
            text=_for_client(wanted, completion.text, completion.replaces),
            model=MODEL,
            finish="length" if is_cut else "stop",
            prompt_tokens=completion.prompt_tokens,
            computed_tokens=completion.computed_tokens,
            tokens=completion.tokens,
        )

    async def _ask(self, request: CompletionRequest, client: str) -> Completion | None:
        """Return the service's answer; None if a newer request of the client comes. Raises Refusal if it has none."""
        older = self._newest.get(client)
        if older is not None and not older.done():
            older.set_result(None)
        newer = self._newest[client] = asyncio.get_running_loop().create_future()
        # Not the event of the service's `supersede`, which would end the requests of other clients too.
        unwanted = threading.Event()
        asking = asyncio.ensure_future(self.service.complete(request, unwanted))
        try:
            await asyncio.wait((asking, newer), return_when=asyncio.FIRST_COMPLETED)
            completion = asking.result() if asking.done() else None
            return None if completion is None or completion.rule == "cancelled" else completion
        except SubmodelError as error:  # of the model
            raise Refusal(503, str(error)) from error
        finally:  # a client that hangs up comes here as well
            unwanted.set()
            asking.cancel()
            if self._newest.get(client) is newer:
                del self._newest[client]

    def _completion_request(self, wanted: Wanted, policy: Policy) -> CompletionRequest:
        bundle, file = self._bundle(), Path(wanted.path)
        root = workspace_of(bundle)
        self.service.keep_current(bundle, self._threads)
        request = CompletionRequest(
            text=wanted.text,
            offset=wanted.offset,
            bundle=bundle,
            path=path_in(root, file) if file.is_absolute() else file.as_posix() if wanted.path else "",
            language_id=wanted.language,
            threads=self._threads(),
            context=_newest_snippets(wanted.context),
            max_tokens=wanted.max_tokens,
            root=root,
            options=options_on(policy, self.options),
        )
        return replace(request, window_from=self._window_from(request))

    def _window_from(self, request: CompletionRequest) -> int:
        """Return the offset that a prompt's window is counted from: the same line of a file for as long as it is sent.

        Plug-ins send so many lines around the cursor, and with each Enter their text begins one line further down. A
        window that is counted from there would do so too, and the whole prompt would be read again.
        """
        text, most = request.text, request.offset - ENOUGH_CHARACTERS
        if most <= 0:
            return 0
        for start in self._starts:
            found = text.find(start, 0, most + len(start))
            if found == 0 or (found > 0 and text[found - 1] == "\n"):
                self._starts.remove(start)
                break
        else:  # half way, so that the client's text may go on in both directions
            found = text.rfind("\n", 0, most // 2) + 1
            start = text[found : found + START_CHARACTERS]
        self._starts.appendleft(start)
        return found

    def _bundle(self) -> Path:
        """Return the folder's bundle. Raises Refusal, which says what to do, if there is none or it is not trusted."""
        bundle = self._finder.for_file(None, [self._folder])
        if bundle is not None:
            return bundle
        for why in self._finder.refused.values():
            raise Refusal(503, str(why))
        try:
            return search_bundle(self._folder)
        except SubmodelError as error:
            raise Refusal(503, str(error)) from error

    def _threads(self) -> int | None:
        return choose_threads(self._meter.power, self.options)

    def _note_policy(self, policy: Policy, reason: str) -> None:
        """Log once why answers are empty from now on; clients just show nothing."""
        if policy is Policy.OFF and not self._is_held_back:
            log.warning("%s Until that changes, answers are empty (option care.onBattery).", reason)
        self._is_held_back = policy is Policy.OFF

    def _note_use(self) -> None:
        """Restart the time after which an unused model is freed."""
        self.service.free_when_idle(self.options.care.idle_unload_minutes)


def _for_client(wanted: Wanted, text: str, replaces: int) -> str:
    """Return a suggestion for a client that only inserts text, with the client's line ends."""
    before, after = wanted.text[: wanted.offset], wanted.text[wanted.offset :]
    text = insertable(text, after[:replaces], before[before.rfind("\n") + 1 :])
    text = messages.until_stop(text, wanted.stop)
    return text.replace("\n", line_end_of(wanted.text))


def _newest_snippets(snippets: tuple[ContextSnippet, ...]) -> tuple[ContextSnippet, ...]:
    """Return as many of the last snippets as fit; if the last one alone is too long, its first lines."""
    kept: list[ContextSnippet] = []
    room = MAX_CONTEXT_CHARACTERS
    for snippet in reversed(snippets):
        if len(snippet.text) > room:
            text = snippet.text[: snippet.text.rfind("\n", 0, room) + 1] if not kept else ""
            return (replace(snippet, text=text),) if text else tuple(reversed(kept))
        kept.append(snippet)
        room -= len(snippet.text)
    return tuple(reversed(kept))
