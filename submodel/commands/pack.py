"""`submodel pack` and `submodel unpack`: a bundle as one file, for another laptop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_TRUSTED = (
    "Servers of this account load it from now on, and a bundle is as good as a program of whoever packed it: keep it "
    "only if you trust them (`submodel trust --forget` takes that back)"
)


def pack(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="BUNDLE", help="A bundle's folder. Default: the nearest one from this folder up."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: REPOSITORY.submodel, here.")
    ] = None,
    drafts: Annotated[
        bool,
        typer.Option(help="Include the drafts: the repository's own code as tokens, which make completions faster."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Pack a bundle into one file with checksums, for another laptop."""
    from contract.bundle.bundle import WORKSPACE_BUNDLE, find_trusted_bundle
    from exporters.packed_bundle import SUFFIX, pack_bundle

    folder = (bundle or find_trusted_bundle(Path())).absolute()
    is_workspace_s = folder.parts[-2:] == WORKSPACE_BUNDLE.parts
    name = folder.parents[1].name if is_workspace_s else folder.name
    packed = pack_bundle(folder, output or Path(f"{name or 'bundle'}{SUFFIX}"), drafts=drafts)
    _tell(packed, f"Packed {packed.bundle_bytes:,} bytes into {packed.path} ({packed.archive_bytes:,})", as_json)


def unpack(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `submodel pack` wrote.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Default: .submodel/bundle, where `serve` looks for it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Unpack a file of `submodel pack`, checking every byte; what was there stays until the new bundle is whole.

    It is trusted from then on, as if this account had built it: a bundle is as good as a program of whoever packed it.
    """
    from contract.bundle.bundle import WORKSPACE_BUNDLE
    from exporters.packed_bundle import unpack_bundle
    from submodel.build.lock import bundle_lock

    target = output or WORKSPACE_BUNDLE
    with bundle_lock(target):
        unpacked = unpack_bundle(file, target)
    sentence = f"Unpacked {unpacked.bundle_bytes:,} bytes to {unpacked.path}, all checked"
    _tell(unpacked, f"{sentence}. {_TRUSTED}", as_json)


def _tell(packed: Any, sentence: str, as_json: bool) -> None:
    from contract.plain_text import plain
    from submodel.console import print_json

    typer.echo(plain(f"{sentence}."), err=True)
    if packed.has_drafts:
        typer.echo(
            "The repository's own code is inside, as tokens (`submodel pack --no-drafts` leaves it out). Keep the file "
            "out of git.",
            err=True,
        )
    if as_json:
        from dataclasses import asdict

        print_json({**asdict(packed), "path": str(packed.path)})
