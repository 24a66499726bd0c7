"""The language server: one client's documents, options and bundles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from contract.bundle.manifest import MANIFEST_FILE
from contract.bundle.trusted_builds import UntrustedError
from contract.documents import ServerStatus
from contract.errors import SubmodelError
from contract.files.file_names import is_file
from contract.files.folders import is_being_replaced
from lsp_server.battery import Policy
from lsp_server.bundle_finder import BundleFinder, search_bundle, working_folder
from lsp_server.decoding.providers import Provider
from lsp_server.items import ListClient
from lsp_server.loaded_bundles import MAX_LOADED, BundleState
from lsp_server.notices import Notices
from lsp_server.open_documents import MAX_DOCUMENT_CHARS, Document, Edit, OpenDocuments
from lsp_server.options import ServerOptions, read_options
from lsp_server.positions import Encoding
from lsp_server.request import ClientCursor, Completion, CompletionRequest, line_end_of, path_in
from lsp_server.service import CompletionService
from lsp_server.session import Session
from lsp_server.status import describe_status
from lsp_server.tolerant_protocol import TolerantProtocol, lenient_converter

log = logging.getLogger(__name__)

STATUS = "submodel/status"
_TOO_LONG = f"this document has more than {MAX_DOCUMENT_CHARS:,} characters, too many for suggestions"
_NOT_KEPT = "the server does not have this document's text: a change was too large or unreadable; open it again"
RETRY_S = 0.2  # until a resting cursor is looked at again, if the model was at work or the budget was used up


class CompletionServer(LanguageServer):
    """One client's server: its options, its documents, and the session that completes them."""

    def __init__(self, options: ServerOptions, version: str) -> None:
        super().__init__("submodel", version, protocol_cls=TolerantProtocol, converter_factory=lenient_converter)
        self.defaults = options
        self._started_in = working_folder()
        self.problems: list[str] = []
        self.finder = BundleFinder(options.bundle)
        self.service = CompletionService(on_change=self._on_service_change, is_named=self.finder.is_named)
        self.session = Session(self.service, options)
        self.notices = Notices(self)
        self.is_neovim = False  # the client
        self.has_one_line_end = False  # each file of the client
        self.list_client = ListClient()
        self.is_started = False  # bundles were looked for
        self._changing_bundles = asyncio.Lock()  # else the status between two changes would be of neither
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sent: tuple[object, ...] = ()  # what the status that was sent last said
        self._conditions: object = None  # what changes by itself, as that status said
        self._snooze: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._edited: set[str] = set()  # documents, since the last request
        self._cursor: tuple[str, types.Position] | None = None  # where the cursor rests, until the text there is read

    @property
    def options(self) -> ServerOptions:
        """What the client has set, and the defaults for the rest."""
        return self.session.options

    @property
    def encoding(self) -> Encoding:
        """The unit in which client and server agreed to count characters."""
        return Encoding(self.workspace.position_encoding or Encoding.UTF16)

    @property
    def folders(self) -> list[Path]:
        """The workspace's folders on disk, or else the folder that the server was started in."""
        uris = [folder.uri for folder in self.workspace.folders.values()] or [self.workspace.root_uri]
        paths = [path for uri in uris if uri and (path := to_fs_path(uri))]
        return [Path(path) for path in paths] or [self._started_in]

    def document(self, uri: str) -> Document | None:
        """Return an open document, None if the client has opened none of that name."""
        return self.documents.get(uri)

    @property
    def documents(self) -> OpenDocuments:
        """What the client has opened."""
        return OpenDocuments(self.workspace.text_documents)

    def report_server_error(self, error: Exception, source: object) -> None:
        """Log the error of a message. pygls would show the user a window for each."""
        log.error("A message was passed over: %s", str(error)[:300] or type(error).__name__)

    def set_list_client(self, client: ListClient) -> None:
        """Take what is known of the list that shows the completions. A list of lines gets no blocks by default."""
        self.list_client = client
        self.session.fit = client.fit
        if not client.takes_blocks:
            trigger = replace(self.defaults.trigger, multi_line=False)
            self.defaults = replace(self.defaults, trigger=trigger)

    def set_initial_options(self, document: object) -> None:
        """Take the options of `initialize`; they are the defaults of later changes."""
        self.defaults, problems = read_options(document, self.defaults)
        self.set_options(None)
        self.problems = problems

    def set_options(self, document: object) -> bool:
        """Take the client's options, with defaults for the rest; return whether bundles have to be loaded again."""
        before = self.options
        options, self.problems = read_options(document, self.defaults)
        self.session.set_options(options)
        self.finder.fix(self.options.bundle)
        now = self.options
        self.service.provider = Provider(now.provider)
        return any(getattr(before, name) != getattr(now, name) for name in ("bundle", "threads", "provider", "enabled"))

    def open_document(self, document: Document) -> None:
        """Keep a document, in the place of pygls' own."""
        self.documents.put(document)

    def note_bundle(self, document: Document) -> None:
        """Give the bundle of a document its place in the status; not while those of the workspace are loaded."""
        if self.is_started and self.options.enabled and not self._changing_bundles.locked():
            self._note_bundle_of(document)
            self._tell_refused()

    def _note_bundle_of(self, document: Document) -> None:
        bundle = self.finder.for_file(_file_of(document), self.folders)
        if bundle is not None:
            self.service.note_unloaded(bundle)  # the first request loads it

    def note_edits(self, document: Document, edits: Sequence[Edit]) -> None:
        """Note how the user has changed a document."""
        if self._cursor is not None and self.document(self._cursor[0]) is document:
            self._cursor = None  # a request will follow
        self._edited.add(document.uri)
        self.session.debounce.note_edit(document.uri)
        self.session.tracker.edited(document.uri, document.source, edits)

    def note_cursor(self, uri: str, position: types.Position) -> None:
        """Note that the cursor moved without an edit. Once it has rested for a while, the text there is read ahead."""
        self._loop = asyncio.get_running_loop()
        self._cursor = (uri, position)
        if self.session.may_ask():  # as in `ask`: whoever reads code will write some
            self.service.free_when_idle(self.options.care.idle_unload_minutes)
        if self._rest is not None:
            self._rest.cancel()
        self._rest = self._loop.call_later(self.options.care.read_ahead_delay_ms / 1000, self._read_at_cursor)

    def send_status_in(self, seconds: float) -> None:
        """Send the status after so many seconds, as when a snooze is over."""
        if self._snooze is not None:
            self._snooze.cancel()
        self._snooze = asyncio.get_running_loop().call_later(seconds + 0.1, self.send_status)

    def request(
        self,
        document: Document,
        position: types.Position,
        *,
        info: types.SelectedCompletionInfo | None = None,
        is_invoked: bool = False,
        is_listed: bool = False,
    ) -> CompletionRequest:
        """Return the request of a cursor in a document, as if the selected item of the editor's list were inserted."""
        text = document.source
        offset, within = document.clamp(position)
        if info is not None:
            start = document.offset_at_position(info.range.start)
            end = max(start, document.offset_at_position(info.range.end))
            text, offset, within = text[:start] + info.text + text[end:], start + len(info.text), position
        line_end = line_end_of(text)
        cursor = ClientCursor(
            uri=document.uri,
            line=within.line,
            character=within.character,
            offset=offset,
            line_end=line_end,
            # Neovim splits what it inserts at LF alone, and gives each line the end of its file.
            inserted_line_end="\n" if self.is_neovim else line_end,
        )
        file, folders = _file_of(document), self.folders
        bundle = self.finder.for_file(file, folders)
        root = self.finder.root_of(file, bundle, folders) if file is not None else None
        is_bound = is_listed or info is not None
        return CompletionRequest(
            text=text,
            offset=offset,
            path="" if file is None else path_in(root, file),
            language_id=document.language_id,
            root=root,
            bundle=bundle,
            client=cursor,
            is_invoked=is_invoked,
            may_reindent=not is_bound and _announces(self.client_capabilities, "submodelIndentation"),
            may_place_cursor=not is_bound and _announces(self.client_capabilities, "submodelSnippets"),
            refusal=None if document.is_kept else _TOO_LONG if document.is_too_long else _NOT_KEPT,
        )

    async def ask(self, request: CompletionRequest) -> Completion | None:
        """Return what to show for a request, None if there is nothing."""
        was_edited = request.client.uri in self._edited
        self._edited.clear()
        self._prepare(request)
        is_on = self.session.may_ask(is_invoked=request.is_invoked)
        if is_on:  # else the model would never be freed while somebody types
            self.note_use()
        if self._read_conditions() != self._conditions:  # cheaper than the status, at each key
            self.send_status()
        if is_on and request.bundle:
            self._keep_current(request.bundle)
            if was_edited and self.options.trigger.automatic and self.session.policy()[0] is Policy.FULL:
                self._load_freed(request.bundle)
        return await self.session.suggest(request)

    def _load_freed(self, bundle: Path) -> None:
        """Load a model that was freed, also if nothing is shown at this request: the next one need not wait for it."""
        status = self.service.bundles.get(bundle)
        if status is not None and status.state is BundleState.UNLOADED:
            self.service.load(bundle, self.session.threads())

    def follow_builds(self) -> None:
        """Load the builds that have replaced bundles on disk; those that answer once nobody asks."""
        for bundle, status in list(self.service.bundles.items()):
            if status.state is not BundleState.UNLOADED or status.build is not None:  # else nobody has asked it yet
                self._keep_current(bundle)

    def _keep_current(self, bundle: Path) -> None:
        def free_later() -> None:  # nobody need have asked
            self.service.free_when_idle(self.options.care.idle_unload_minutes)

        self.service.keep_current(bundle, self.session.threads, free_later)

    async def load_bundles(self) -> None:
        """Find the workspace's bundles, load those that are not loaded, with progress."""
        async with self._changing_bundles:
            await self._load_found()

    async def _load_found(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self.options.enabled:
            return
        found = self.finder.served(self.folders)
        gone = set(self.service.bundles) - set(found)
        if gone:  # else no opened file need be looked at
            gone -= {self.finder.for_file(_file_of(one), self.folders) for one in self.documents}
        for bundle in gone:
            self.service.unload(bundle, forget=True)
        self._tell_refused()
        if not found and not self.finder.refused:
            try:
                search_bundle(self.folders[0])
            except SubmodelError as error:
                self.notices.note_once(f"{error} Until then submodel completes nothing.")
        self.is_started = True
        for bundle in found[:MAX_LOADED]:  # more would take the place of these
            status = self.service.bundles.get(bundle)
            if status is None or status.state is BundleState.FAILED:
                await self._load(bundle, self.session.threads())
        for bundle in found[MAX_LOADED:]:
            self.service.note_unloaded(bundle)
        for bundle in found:
            self.notices.warn_of_age(bundle)
        for document in self.documents:
            self._note_bundle_of(document)
        self.note_use()
        self.send_status()

    async def reload(self) -> None:
        """Forget what was found and loaded, and begin anew."""
        self.notices.forget()
        self.finder.forget()
        self.service.supersede()  # a request that waits for its debounce would load a model again
        self.session.answers.clear()
        async with self._changing_bundles:  # requests that come meanwhile are answered
            self.is_started = False  # else the status would say meanwhile that there is no bundle
            await self.service.forget()
            await self._load_found()

    def note_use(self) -> None:
        """Restart the time after which an unused model is freed."""
        self._loop = asyncio.get_running_loop()
        self.service.free_when_idle(self.options.care.idle_unload_minutes)

    def describe(self) -> ServerStatus:
        """Return the status object (docs/protocol.md)."""
        return describe_status(self.session, self.finder, version=self.version, is_started=self.is_started)

    def send_status(self) -> None:
        """Warn the user of bundles that have failed. Notify a client that wants the status if it reads otherwise."""
        for bundle, status in list(self.service.bundles.items()):
            if status.state is BundleState.FAILED and status.error:
                self.notices.warn_of_failure(bundle, status.error)
            elif status.state is BundleState.UNTRUSTED and status.error:
                self.notices.warn_of_untrusted(bundle, status.error, status.build)
        self._conditions = self._read_conditions()  # first: a reading of the battery may end meanwhile
        document = self.describe()
        bundles = [(one["folder"], one["state"], one["build"]) for one in document["bundles"]]
        said = (document["state"], document["power"]["policy"], document["message"], bundles)
        if said == self._sent:
            return
        self._sent = said
        if _announces(self.client_capabilities, "submodelStatus"):
            self.protocol.notify(STATUS, document)

    def close(self) -> None:
        """Stop the timers and the worker."""
        for timer in (self._snooze, self._rest):
            if timer is not None:
                timer.cancel()
        self.service.close()

    def _read_conditions(self) -> tuple[object, ...]:
        """Return what changes by itself. No timer tells when: it stands still while a laptop sleeps."""
        return (*self.session.policy(), self.session.pauses.snooze_end is not None, *self.finder.refused)

    def _prepare(self, request: CompletionRequest) -> None:
        """Warn of bundles that are not served."""
        if request.bundle not in self.service.bundles:  # another is served than before, or none
            self._drop_unserved()
        self._tell_refused()

    def _drop_unserved(self) -> None:
        """Free bundles that are no longer served: they are gone, or not trusted any more."""
        refused = self.finder.refused
        for bundle in list(self.service.bundles):
            if bundle in refused or _is_gone(bundle):
                self.service.unload(bundle, forget=True)

    def _tell_refused(self) -> None:
        """Warn the user of each bundle that was found but is not served."""
        for bundle, why in self.finder.refused.items():
            build = why.build if isinstance(why, UntrustedError) else None
            self.notices.warn_of_untrusted(bundle, str(why), build)

    def _read_at_cursor(self) -> None:
        self._rest = None
        document = self.document(self._cursor[0]) if self._cursor is not None else None
        if self._cursor is None or document is None:
            return
        request = self.request(document, self._cursor[1])
        self._prepare(request)
        wait_s = self.session.read_ahead_budget.wait_s
        if self.session.read_ahead(request):
            self._cursor = None
        elif wait_s > 0 or self.service.is_answering():  # what is asked ahead at another place, say
            self._rest = asyncio.get_running_loop().call_later(wait_s + RETRY_S, self._read_at_cursor)

    def _note_service_change(self) -> None:
        self.send_status()
        if self._rest is None:  # the cursor may have rested before its bundle was loaded
            self._read_at_cursor()

    async def _load(self, bundle: Path, threads: int | None) -> None:
        loading = asyncio.create_task(self._is_loaded(self.service.load(bundle, threads)))
        try:
            await self.notices.show_loading(bundle, loading)
        finally:
            loading.cancel()

    async def _is_loaded(self, loading: Future[None]) -> bool:
        """Wait for a bundle, and return whether it is loaded; if not, the service's `bundles` say why."""
        try:
            await asyncio.wrap_future(loading)
        except SubmodelError:
            return False
        return True

    def _on_service_change(self) -> None:
        """Called from the worker's thread, and from the loop's own."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._note_service_change)


def _file_of(document: Document) -> Path | None:
    path = to_fs_path(document.uri) if document.uri.startswith("file:") else None
    return Path(path) if path else None


def _is_gone(bundle: Path) -> bool:
    """Return whether a bundle was removed; one that a build replaces is missing for a moment only."""
    manifest = bundle / MANIFEST_FILE
    if is_file(manifest) or is_being_replaced(bundle):
        return False
    return not is_file(manifest)  # the new one may have come between the two looks


def _announces(capabilities: types.ClientCapabilities, name: str) -> bool:
    """Return whether a client has one of this server's own capabilities (docs/protocol.md)."""
    experimental = capabilities.experimental
    if isinstance(experimental, dict):
        return bool(experimental.get(name))
    return bool(getattr(experimental, name, False))
