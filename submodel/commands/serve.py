"""`submodel serve`: the language server, or the same completions over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsp_server.decoding.providers import Provider
from lsp_server.serve_errors import ServeError

ProviderOption = Annotated[
    Provider,
    typer.Option(
        help="Where the model runs. auto: an NVIDIA GPU if ONNX Runtime offers it and the bundle has fp16, "
        "otherwise the processor."
    ),
]


def serve(
    stdio: Annotated[bool, typer.Option("--stdio", help="Talk over stdin and stdout. This is the default.")] = False,
    http: Annotated[
        str | None,
        typer.Option(
            "--http",
            metavar="HOST:PORT",
            help="Answer llama.cpp's /infill and OpenAI's /v1/completions at this address instead. Clients must send "
            "a token; the server prints which file holds it.",
        ),
    ] = None,
    http_any_address: Annotated[
        bool,
        typer.Option("--http-any-address", help="Let --http wait where other machines reach it. Nothing is encrypted."),
    ] = False,
    http_no_token: Annotated[
        bool, typer.Option("--http-no-token", help="Let every program of this machine ask over --http.")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The bundle to serve. Default: that of the client's workspace folder."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            help="Cores to use. Default: the fast physical ones, at most 8.",
        ),
    ] = None,
    provider: ProviderOption = Provider.AUTO,
) -> None:
    """Serve completions to an editor."""
    if stdio and http is not None:
        raise ServeError("--stdio and --http exclude each other; give one.")
    if (http_any_address or http_no_token) and http is None:
        raise ServeError("--http-any-address and --http-no-token belong to --http; give --http HOST:PORT too.")

    from lsp_server.options import ServerOptions

    options = ServerOptions(bundle=bundle, threads=threads, provider=str(provider))
    if http is not None:
        from lsp_server.http.http_transport import serve_http  # without pygls, which takes longer to load

        serve_http(*parse_address(http), options, is_any_allowed=http_any_address, is_open=http_no_token)
        return
    from lsp_server.transports import serve_stdio
    from submodel import __version__

    serve_stdio(options, __version__)


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT, where an IPv6 host may stand in brackets; raises ServeError for anything else."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ServeError(f"{address!r} is no HOST:PORT; give one such as 127.0.0.1:8012.")
    return host, int(port)
