"""The server as an editor meets it: start to first answer, memory, idleness, and whether it says what the CLI says.

    python -m benchmarks.serving .submodel/report.json REPO

The CLI is `submodel complete`, the client pygls' own. Positions are held-out ones of the build, with the rest of their
line hidden. The disk is warm: the bundle was just built. No workspace is open, so the server reads no repository.
Writes benchmarks/results/serving.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from benchmarks.builds import write_result
from builder.corpus.corpus import read_corpus
from contract.children import python_module
from contract.documents import SUB_MODEL
from laboratory.bench.bench_run import processor_s

POSITIONS = 10
IDLE_AFTER_S, IDLE_S = 2.0, 20.0


async def ask_server(files: list[tuple[Path, types.Position]], bundle: str) -> dict[str, Any]:
    """Start a server, ask it for each position, and look at its process."""
    client = LanguageClient("benchmark", "1")
    started = time.perf_counter()
    await client.start_io(*python_module("submodel"), "serve", "--stdio", "--bundle", bundle)
    await client.initialize_async(types.InitializeParams(capabilities=types.ClientCapabilities()))
    initialized_s = time.perf_counter() - started
    client.initialized(types.InitializedParams())
    texts, first_s = [], 0.0
    for file, position in files:
        item = types.TextDocumentItem(uri=file.as_uri(), language_id="", version=1, text=file.read_text("utf-8"))
        client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        answer = await client.text_document_inline_completion_async(
            types.InlineCompletionParams(
                text_document=types.TextDocumentIdentifier(item.uri),
                position=position,
                context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
            )
        )
        first_s = first_s or time.perf_counter() - started
        items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
        texts.append(str(items[0].insert_text) if items else "")
    assert client._server is not None
    process = Path(f"/proc/{client._server.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    maps = (process / "maps").read_text()
    await asyncio.sleep(IDLE_AFTER_S)
    before = processor_s(client._server.pid)
    await asyncio.sleep(IDLE_S)
    idle_share = (processor_s(client._server.pid) - before) / IDLE_S
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()  # type: ignore[no-untyped-call]
    return {
        "texts": texts,
        "initialize_s": round(initialized_s, 2),
        "first_answer_s": round(first_s, 2),
        "rss_bytes": int(status["VmRSS"].split()[0]) * 1024,
        "peak_rss_bytes": int(status["VmHWM"].split()[0]) * 1024,
        "has_torch": "libtorch" in maps,
        f"share_of_a_core_from_{IDLE_AFTER_S:g}_s_after_a_request": round(idle_share, 5),
    }


def ask_command_line(file: Path, position: types.Position, bundle: str) -> dict[str, Any]:
    """`submodel complete` in a process of its own."""
    place = ["--line", str(position.line), "--character", str(position.character)]
    command = [*python_module("submodel"), "complete", str(file), *place, "--bundle", bundle, "--json"]
    return dict(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("repository", type=Path)
    arguments = parser.parse_args()
    report = json.loads(arguments.report.read_text("utf-8"))
    bundle = report["paths"]["bundle"]
    texts = {file.path: file.text for file in read_corpus(arguments.repository).files}
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, answer in enumerate(report["answers"][:POSITIONS]):
            text, offset = texts[answer["path"]], answer["offset"]
            file = Path(folder) / f"{number}-{Path(answer['path']).name}"
            file.write_text(text[:offset] + text[offset + len(answer["truth"]) :], "utf-8")
            line_start = text.rfind("\n", 0, offset) + 1
            character = len(text[line_start:offset].encode("utf-16-le")) // 2
            files.append((file, types.Position(line=text.count("\n", 0, offset), character=character)))
        server = asyncio.run(ask_server(files, bundle))
        answers = [ask_command_line(file, position, bundle) for file, position in files]
    same = sum(one["text"] == other for one, other in zip(answers, server.pop("texts"), strict=True))
    document = {
        "command": f"python -m benchmarks.serving {arguments.report.name} {arguments.repository.name}",
        "base": report["base"]["name"],
        "bundle_bytes": next(row["bytes"] for row in report["models"] if row["name"] == SUB_MODEL),
        "positions": len(answers),
        "same_text_in_command_line_and_server": same,
        "command_line_milliseconds": [round(answer["milliseconds"], 1) for answer in answers],
        "server": server,
    }
    write_result("serving", document)
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
