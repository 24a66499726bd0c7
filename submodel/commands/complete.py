"""`submodel complete`: one completion, through the same engine as the server's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lsp_server.decoding.providers import Provider
from lsp_server.serve_errors import ServeError
from submodel.commands.serve import ProviderOption


def complete(
    file: Annotated[Path, typer.Argument(help="The file to complete in.")],
    line: Annotated[int, typer.Option(help="0-based line of the cursor.")],
    character: Annotated[int, typer.Option(help="0-based character of the cursor, in UTF-16 units as editors count.")],
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The bundle to ask. Default: the nearest one above the file."),
    ] = None,
    provider: ProviderOption = Provider.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print one completion at a place in a file: the rest of the line, or the lines of a block that begins there.

    The confidence threshold hides nothing here, as when you ask for a suggestion in an editor. The model always reads
    the whole window. The server does so only if there is time.
    """
    from lsp_server.bundle_finder import workspace_of
    from lsp_server.completion import open_completer
    from lsp_server.options import UNHURRIED
    from lsp_server.positions import offset_at
    from lsp_server.request import CompletionRequest, path_in
    from lsp_server.suggestion.withheld import without_refused
    from submodel.console import print_json

    text = read_text(file)
    offset = offset_at(text, line, character)
    found = bundle or _find_served(file)
    completer = open_completer(found, provider=provider, is_named=bundle is not None)
    path = path_in(workspace_of(found.absolute()), file.absolute())
    request = CompletionRequest(text=text, offset=offset, path=path, options=UNHURRIED)
    completion = completer.complete(request)
    if not as_json:
        typer.echo(completion.text)
        return
    document = asdict(without_refused(completion, request))
    del document["queue_ms"], document["trace_id"]  # only a server has them
    print_json(document)


def _find_served(file: Path) -> Path:
    """The bundle that an editor whose workspace is the current folder is served for a file. Raises BundleError."""
    from contract.bundle.bundle import find_trusted_bundle
    from contract.bundle.trusted_builds import UntrustedError
    from contract.errors import BundleError
    from contract.files.file_names import path_below

    try:
        return find_trusted_bundle(file)
    except UntrustedError:
        raise
    except BundleError:
        if path_below(file.absolute(), Path.cwd()) is not None:
            with suppress(BundleError):
                return find_trusted_bundle(Path.cwd())
        raise


def read_text(file: Path) -> str:
    """A file's text as editors show it, without a byte order mark; raises ServeError where it has none."""
    try:
        # Not Path.read_text: that would turn line ends into \n, and positions are counted before.
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ServeError(f"{file} is not valid UTF-8 (byte {error.start}); convert it to UTF-8.") from error
    except OSError as error:
        raise ServeError(f"{file} can't be read ({error.strerror}); give a file that can.") from error
