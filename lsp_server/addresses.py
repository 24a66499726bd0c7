"""Where a server may listen: on this machine alone, unless the user allows more."""

from __future__ import annotations

import ipaddress
import socket

from lsp_server.serve_errors import ServeError


def find_addresses(host: str, port: int, *, is_any_allowed: bool, option: str = "--tcp") -> list[str]:
    """Return the addresses that a host stands for; `option` names it on the command line.

    Raises ServeError if other machines reach one of them and that is not allowed, OSError if there is none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    outside = [address for address in addresses if not ipaddress.ip_address(address).is_loopback]
    if outside and not is_any_allowed:
        raise ServeError(
            f"Other machines may reach {host} ({outside[0]}), and {option} sends the text of files unencrypted; give "
            f"127.0.0.1, or add {option}-any-address."
        )
    return addresses
