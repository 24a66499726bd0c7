"""What a registry's address means, and its files by that address: over HTTPS or HTTP, or from a folder.

Proxies are those of the environment or the system, and certificates those that Python trusts. A redirect may lead to
another host, never to another scheme. Nothing that is fetched is believed here: `index.py` and `store.py` check it.

What it does not cover: registries that ask for a password, and servers that send headers without end.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Final
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
PATIENCE_S: Final = 60.0  # with a server that sends less than LEAST_BYTES_PER_S
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
        try:
            with _opener().open(request, timeout=TIMEOUT_S) as response:
                started_s, size = time.monotonic(), 0
                while chunk := response.read1(CHUNK_BYTES):
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
            raise DownloadError(f"{url} can't be fetched ({_why(error)})") from error


def _why(error: Exception) -> str:
    """What a failed fetch says; of a proxy that refuses or a certificate that is not trusted, what to do."""
    words = network_problem(str(error), "its", "SSL_CERT_FILE")
    if words is None:
        reason = getattr(error, "reason", None)  # what URLError wraps
        return first_line(reason if isinstance(reason, Exception) else error, 200)
    return words


def _opener() -> OpenerDirector:
    """What opens addresses of https and http alone, through the proxy if there is one."""
    opener = OpenerDirector()
    handlers = (ProxyHandler(), HTTPHandler(), HTTPSHandler(), HTTPDefaultErrorHandler(), HTTPErrorProcessor())
    for handler in (*handlers, _SameScheme()):
        opener.add_handler(handler)
    return opener


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
