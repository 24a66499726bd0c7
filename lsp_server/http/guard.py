"""Decides which requests are answered: those with the token, to a name of this machine, that no web page has sent.

A port of this machine is open to all of its users, and to each page that a browser shows. A page sends an `Origin`. A
page whose own name was made to point to this machine (DNS rebinding) sends that name as `Host`.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.files.seals import private_key
from contract.files.state_folder import state_folder
from lsp_server.http.messages import Refusal

TOKEN_FILE: Final = "http-token"
HEALTH: Final = "/health"  # needs no token: it shows that a server is there, and no more; so no body is read for it
_TOKEN_BYTES: Final = 24  # 32 characters


def read_token() -> tuple[str, Path]:
    """Return this user's token, 32 characters, and the file that holds it, of mode 0600. The first call makes it."""
    token = private_key(TOKEN_FILE, lambda: secrets.token_urlsafe(_TOKEN_BYTES).encode())
    return token.decode("ascii", "replace"), Path(os.path.realpath(state_folder() / TOKEN_FILE))


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What a request must have. `token` None: none is asked for. `host`, `port`: what the command line names."""

    token: str | None
    host: str
    port: int
    is_any_address: bool = False  # other machines may reach the server, by whatever address it has

    def check(self, path: str, headers: Mapping[str, str]) -> None:
        """Raise Refusal unless the request may be answered; `headers` by their names in lower case."""
        if not self._is_own_name(headers.get("host", "")):
            raise Refusal(403, f"The server does not go by the name in the Host header; {self._known_names()}.")
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            raise Refusal(
                403,
                "Web pages are not answered; ask from a program that sends no Origin and no Sec-Fetch-Site header.",
            )
        if self.token is not None and path != HEALTH and not self._has_token(headers.get("authorization", "")):
            fault = "The token is not this server's" if "authorization" in headers else "A token is missing"
            raise Refusal(
                401,
                f"{fault}; send `Authorization: Bearer TOKEN` with the text of the file {TOKEN_FILE}, whose path the "
                "server prints when it starts.",
            )
        if path == HEALTH and ("transfer-encoding" in headers or headers.get("content-length", "0") != "0"):
            raise Refusal(413, f"A request for {HEALTH} has no body; send none.")

    def _known_names(self) -> str:
        """What to ask instead of a name that is not known."""
        if self.is_any_address:
            return f"ask it by an IP address of its machine, or start it with `--http NAME:{self.port}`"
        return f"ask http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def _is_own_name(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or not port.isdigit() or name.endswith(":"):  # no port: a name, or a bare IPv6 address
            name = host
        name = name.removeprefix("[").removesuffix("]").lower()
        if name in ("localhost", self.host.lower()):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.is_any_address or address.is_loopback

    def _has_token(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        assert self.token is not None
        return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode())
