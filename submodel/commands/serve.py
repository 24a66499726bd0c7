"""`submodel serve`: the language server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsp_server.decoding.providers import Provider
from lsp_server.serve_errors import ServeError


def serve(
    stdio: Annotated[bool, typer.Option("--stdio", help="Talk over stdin and stdout. This is the default.")] = False,
    tcp: Annotated[
        str | None,
        typer.Option(
            "--tcp",
            metavar="HOST:PORT",
            help="Wait for one client at this address of this machine instead. It must send the token "
            "that SUBMODEL_TCP_TOKEN holds, else one that is printed.",
        ),
    ] = None,
    tcp_any_address: Annotated[
        bool,
        typer.Option("--tcp-any-address", help="Let --tcp wait where other machines reach it. Nothing is encrypted."),
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The bundle to serve. Default: that of the client's workspace folder."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Cores to use. Default: the physical ones, at most 8.")
    ] = None,
    provider: Annotated[Provider, typer.Option(help="Where the model runs. Default: the best that is there.")] = (
        Provider.AUTO
    ),
) -> None:
    """Serve completions to an editor."""
    if stdio and tcp is not None:
        raise ServeError("--stdio and --tcp exclude each other; give one.")
    if tcp_any_address and tcp is None:
        raise ServeError("--tcp-any-address says where --tcp may wait; give --tcp HOST:PORT too.")
    address = None if tcp is None else parse_address(tcp)

    from lsp_server.options import ServerOptions
    from lsp_server.serve import serve_stdio, serve_tcp
    from submodel import __version__

    options = ServerOptions(bundle=bundle, threads=threads, provider=str(provider))
    if address is None:
        serve_stdio(options, __version__)
    else:
        serve_tcp(*address, options, __version__, is_any_allowed=tcp_any_address)


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT, where an IPv6 host may stand in brackets; raises ServeError for anything else."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ServeError(f"{address!r} is no HOST:PORT; give one such as 127.0.0.1:2087.")
    return host, int(port)
