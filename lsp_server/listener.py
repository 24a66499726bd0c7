"""Listening sockets that are opened again if they are lost.

On Windows asyncio closes a listening socket if a client is gone before it is accepted (python/cpython#93821).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NoReturn

log = logging.getLogger(__name__)

WATCH_S: Final = 5.0  # between two looks at the sockets


class Listener:
    """A server of asyncio, and another one in its place if one of its sockets is closed under it."""

    def __init__(self, listen: Callable[[], Awaitable[asyncio.Server]]) -> None:
        self._listen = listen
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; raises OSError if the address can't be listened on."""
        self._server = await self._listen()
        log.info("Serving on %s", _names(self._server))

    async def watch(self) -> NoReturn:
        """Look at the sockets until this is cancelled, and listen again if one is lost."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self._server is None or _is_lost(self._server):
                self.close()
                with suppress(OSError):  # the port may be free later
                    self._server = await self._listen()
                    log.warning("A socket was closed; serving again on %s", _names(self._server))

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            with suppress(ValueError):  # of a socket that is closed already
                self._server.close()
        self._server = None


def _is_lost(server: asyncio.Server) -> bool:
    return not server.sockets or any(one.fileno() == -1 for one in server.sockets)


def _names(server: asyncio.Server) -> list[object]:
    return [one.getsockname() for one in server.sockets]
