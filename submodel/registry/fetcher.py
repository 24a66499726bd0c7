"""What a registry's address means, and its files by that address: over HTTPS or HTTP, or from a folder.

Proxies are those of the environment or the system, and certificates those that Python trusts. A redirect may lead to
another host, never to another scheme. Nothing that is fetched is believed here: `index.py` and `store.py` check it.

What it does not cover: registries that ask for a password.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    url2pathname,
)

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface

from builder.bases.network import ASKS_FOR_PASSWORD, network_problem
from contract.errors import RegistryError, first_line
from contract.files.home import expand_home
from contract.files.untrusted_json import NotRegularError, open_regular
from submodel import __version__

TIMEOUT_S: Final = 30.0  # of silence
PATIENCE_S: Final = 60.0  # with a slow server
LEAST_BYTES_PER_S: Final = 1_000
CHUNK_BYTES: Final = 1 << 20
NOT_FOUND: Final = 404
_FORMS: Final = "give an https:// or file:// address, or a folder"


def base_address(text: str) -> str:
    """Return a registry's address as a URL that ends in a slash: https, http or file, of a folder too.

    Raises RegistryError for other addresses, for one with a password, and for a folder that does not exist.
    """
    if "://" not in text:
        folder = Path(os.path.normpath(expand_home(Path(text)).absolute()))  # without `..`
        if not folder.is_dir():
            raise RegistryError(f"There is no folder {folder}; {_FORMS}.")
        return f"{folder.as_uri()}/"
    try:
        parts = urlsplit(text)
        is_plain = parts.username is None and not parts.query and not parts.fragment
        if parts.port == 0:
            raise ValueError("no server has port 0")
    except ValueError as error:
        raise RegistryError(f"The address {text!r} can't be read ({error}); {_FORMS}.") from error
    if not is_plain:
        raise RegistryError("The registry's address holds a user name, a query or a fragment; give it without them.")
    if parts.scheme == "file":
        return base_address(_file_path(text))
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise RegistryError(f"The address {text!r} is of a kind that can't be fetched; {_FORMS}.")
    return f"{text.rstrip('/')}/"


class RegistryFetcher(FetcherInterface):
    """Fetches files of a registry for python-tuf and for the store; raises its DownloadError, in our sentences."""

    def __init__(self) -> None:
        self.fetched_bytes = 0

    def _fetch(self, url: str) -> Iterator[bytes]:
        for chunk in _read_file(url) if urlsplit(url).scheme == "file" else self._read_http(url):
            self.fetched_bytes += len(chunk)
            yield chunk

    def _read_http(self, url: str) -> Iterator[bytes]:
        request = Request(url, headers={"User-Agent": f"submodel/{__version__}"})
        patience = _Patience()
        try:
            with patience, patience.opener().open(request, timeout=TIMEOUT_S) as response:
                started_s, size = time.monotonic(), 0
                while chunk := patience.read(response):
                    size += len(chunk)
                    yield chunk
                    seconds = time.monotonic() - started_s
                    if seconds > PATIENCE_S and size < LEAST_BYTES_PER_S * seconds:
                        raise DownloadError(f"{url} can't be fetched (the server sends less than a kilobyte a second)")
        except HTTPError as error:
            refuses = error.code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
            why = ASKS_FOR_PASSWORD if refuses else f"the server answers {error.code}"
            raise DownloadHTTPError(f"{url} can't be fetched ({why})", error.code) from error
        except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError; ValueError: an odd redirect
            why = "the server sends nothing of the file" if patience.is_over else _why(error)
            raise DownloadError(f"{url} can't be fetched ({why})") from error


def _why(error: Exception) -> str:
    """What a failed fetch says; of a proxy that refuses or a certificate that is not trusted, what to do."""
    words = network_problem(str(error), "its", "SSL_CERT_FILE")
    if words is None:
        reason = getattr(error, "reason", None)  # what URLError wraps
        return first_line(reason if isinstance(reason, Exception) else error, 200)
    return words


class _Patience:
    """Ends one fetch's connections if for PATIENCE_S nothing of the file comes.

    `100 Continue`, headers and trailers without end are no silence: a socket's own timeout never runs out.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._waits_since_s = math.inf
        self._has_ended = threading.Event()
        self.is_over = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._has_ended.set()

    def opener(self) -> OpenerDirector:
        """Return what opens addresses by connections that are watched."""
        opener = OpenerDirector()
        for handler in (
            ProxyHandler(),
            _Watched(self),
            HTTPDefaultErrorHandler(),
            HTTPErrorProcessor(),
            _SameScheme(),
        ):
            opener.add_handler(handler)
        return opener

    def connect(self, *arguments: Any) -> socket.socket:
        """As `socket.create_connection`."""
        connection = socket.create_connection(*arguments)
        self._sockets.append(connection.dup())  # TLS takes the other one away
        self._waits_since_s = time.monotonic()
        return connection

    def read(self, response: HTTPResponse) -> bytes:
        """Return the next part of a body, b"" at its end; the time until the next call does not count."""
        self._waits_since_s = time.monotonic()
        chunk = response.read1(CHUNK_BYTES)
        self._waits_since_s = math.inf
        return chunk

    def _watch(self) -> None:
        while not self._has_ended.wait(min(1.0, PATIENCE_S)):
            if time.monotonic() - self._waits_since_s > PATIENCE_S:
                self.is_over = True
                for one in self._sockets:
                    with suppress(OSError):  # it has ended
                        one.shutdown(socket.SHUT_RDWR)
        for one in self._sockets:
            one.close()


class _Watched(HTTPHandler, HTTPSHandler):
    def __init__(self, patience: _Patience) -> None:
        super().__init__()
        self._patience = patience

    def do_open(self, http_class: Any, req: Request, **options: Any) -> HTTPResponse:
        def connect(host: str, **named: Any) -> Any:
            connection = http_class(host, **named)
            connection._create_connection = self._patience.connect
            return connection

        return super().do_open(connect, req, **options)


class _SameScheme(HTTPRedirectHandler):
    """Follows redirects, of the first request's scheme alone: https stays https, and no file is ever opened."""

    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage) -> object:
        target = urlsplit(urljoin(req.full_url, headers.get("location", headers.get("uri", ""))))
        if target.scheme != req.type:
            raise DownloadError(f"{req.full_url} redirects to another scheme ({target.scheme}), which is not followed")
        fp.close()  # or all that comes with the redirect would be read into memory
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _file_path(address: str) -> str:
    """Return the path that a file:// address names; on Windows that of a share, too, as `Path.as_uri` writes it.

    Raises RegistryError if it is another machine's file.
    """
    parts = urlsplit(address)
    if parts.hostname in (None, "localhost"):
        return url2pathname(parts.path)
    if sys.platform == "win32":
        return url2pathname(f"//{parts.netloc}{parts.path}")
    raise RegistryError(f"The address {address!r} names another machine's file; {_FORMS}.")


def _read_file(url: str) -> Iterator[bytes]:
    path = _file_path(url)
    try:
        with open_regular(Path(path)) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DownloadHTTPError(f"{path} is missing", NOT_FOUND) from error
    except NotRegularError as error:
        raise DownloadError(f"{path} is not a regular file") from error
    except OSError as error:
        raise DownloadError(f"{path} can't be read ({error.strerror or error})") from error
