"""`submodel-lab bench`: how fast a bundle is, beside llama.cpp in the same run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def bench(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's folder.")],
    repository: Annotated[
        Path,
        typer.Option(
            metavar="REPO",
            help="The repository that the bundle was built of: its held-out lines are typed. Default: this folder.",
        ),
    ] = Path(),
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE.gguf",
            help="A model for llama.cpp; repeat it for several. llama.cpp needs the extra `bench`.",
        ),
    ] = None,
    peer_python: Annotated[
        str | None, typer.Option(help="A Python that has llama-cpp-python. Default: this one.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each engine. Default: as the server chooses.")
    ] = None,
    passages: Annotated[int, typer.Option(min=2, help="Passages to type, of up to three lines each.")] = 20,
    since: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Type what commits after this one added. Default: held-out files."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Prompt and decode speed, keystroke latency, memory and exact match, engine by engine."""
    from laboratory.bench.bench_run import BenchError, BenchSettings, run_bench
    from laboratory.bench.bench_table import print_bench
    from laboratory.bench.workload import WorkloadSettings
    from submodel.console import StageDisplay, print_json

    peers = []
    for text in peer or ():
        name, separator, file = text.partition("=")
        if not separator or not Path(file).is_file():
            raise BenchError(f"--peer {text} names no file; write NAME=FILE.gguf.")
        peers.append((name, Path(file)))
    settings = BenchSettings(
        bundle=bundle,
        repository=repository,
        peers=tuple(peers),
        peer_python=peer_python or sys.executable,
        threads=threads,
        workload=WorkloadSettings(passages=passages, since=since),
    )
    with StageDisplay() as display:
        document = run_bench(settings, display)
    print_bench(document)
    if as_json:
        print_json(document)
