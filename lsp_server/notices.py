"""What the user is shown, and what the client's log says: of each thing once."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import UTC, datetime
from pathlib import Path

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from contract.bundle.manifest import build_of
from contract.bundle.previous import built_at
from contract.errors import BundleError
from contract.plain_text import plain
from lsp_server.pulled_builds import pulled_from

log = logging.getLogger(__name__)

PROGRESS_TIMEOUT_S = 5.0  # for a client to agree to a progress bar
OLD_DAYS = 30
_RELOAD = "Then run the command submodel.reload, or restart the language server."


class Notices:
    """Messages to one client. Names in them may be a stranger's, so they are sent as plain text."""

    def __init__(self, client: LanguageServer) -> None:
        self._client = client
        self._said: set[str] = set()  # what each message was about

    def warn(self, message: str) -> None:
        """Show a warning to the user, and log it."""
        log.warning(message)
        notice = types.ShowMessageParams(type=types.MessageType.Warning, message=f"submodel: {plain(message)}")
        self._client.window_show_message(notice)

    def warn_once(self, message: str, about: str | None = None) -> None:
        """Show a warning, unless one with the same `about`, by default the message, was shown before."""
        if self._is_first(about or message):
            self.warn(message)

    def note_once(self, message: str) -> None:
        """Write to the client's log, once: editors start the server in each project, also where none was built."""
        if self._is_first(message):
            log.info(message)
            self._client.window_log_message(types.LogMessageParams(type=types.MessageType.Info, message=plain(message)))

    def warn_of_failure(self, bundle: Path, why: str) -> None:
        """Warn of a bundle that can't be loaded."""
        self.warn_once(f"{why} {_RELOAD}" if str(bundle) in why else f"{bundle}: {why}")

    def warn_of_untrusted(self, bundle: Path, why: str, build: str | None) -> None:
        """Warn once of each build: the next one in the same place is another's, or another change."""
        self.warn_once(why, about=f"the trust in {bundle}, {build or why}")

    def warn_of_age(self, bundle: Path) -> None:
        """Warn once of a bundle that is older than OLD_DAYS. A message of over 80 columns stops people in Neovim."""
        try:
            days = (datetime.now(UTC) - built_at(bundle)).days
            if days <= OLD_DAYS:
                return
            again = "build" if pulled_from(build_of(bundle)) is None else "pull"
        except (OSError, BundleError):  # it is being replaced
            return
        message = f"This sub-model is {days} days old. Run `submodel {again}` again."
        self.warn_once(message, about=f"the age of {bundle}")

    def forget(self) -> None:
        """Say everything again."""
        self._said.clear()

    async def show_loading(self, bundle: Path, loading: asyncio.Task[bool]) -> None:
        """Wait until a bundle is loaded or has failed, with a progress bar where the client has one."""
        token = await self._begin_progress(f"loading {bundle}")
        message = "failed"
        try:
            message = "ready" if await loading else message
        finally:
            if token is not None:
                self._client.work_done_progress.end(token, types.WorkDoneProgressEnd(message=message))

    async def _begin_progress(self, message: str) -> str | None:
        """Show a progress bar and return its token; None if the client does not want one."""
        window = self._client.client_capabilities.window
        if window is None or not window.work_done_progress:
            return None
        token = str(uuid.uuid4())
        try:
            await asyncio.wait_for(self._client.work_done_progress.create_async(token), PROGRESS_TIMEOUT_S)
        except (TimeoutError, JsonRpcException):  # the client does not want it after all
            return None
        begin = types.WorkDoneProgressBegin(title="submodel", message=message, cancellable=False)
        self._client.work_done_progress.begin(token, begin)
        return token

    def _is_first(self, about: str) -> bool:
        """Whether nothing was said of it before; from now on it was."""
        is_first = about not in self._said
        self._said.add(about)
        return is_first
