"""Rebuilds beside a running server: 200 of them while somebody types 20 keys a second.

    python -m benchmarks.robustness.rebuilds [BUNDLE OTHER] [--rebuilds 200] [--rate 20] [--every 1.0]

Two builds take each other's place in a workspace, and the server is asked to reload. They
default to models of two random layers, whose answers differ at nearly every place. Each key is asked and each answer
compared with what its build says at that place alone: a mixed bundle would say something else. Whatever the model says
is shown, since random models are sure of nothing. A request is lost if it has no answer after 30 s. The keys before the
first rebuild give the time without rebuilds. Writes benchmarks/results/rebuilds.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcRequestCancelled
from pygls.lsp.client import LanguageClient

from benchmarks.builds import write_result
from benchmarks.robustness.storm import LOST_S, percentiles
from contract.bundle.bundle import WORKSPACE_BUNDLE, read_bundle, replace_bundle
from laboratory.replay.server_session import SERVE, until_ready

FILE = "src/area.py"
WHOLE_MS = 10_000  # so that no answer depends on a time: the whole window is read, and nothing is cut off
LINES = "".join(
    f"def area_{number}(self, width, height):\n    return width * height + {number}\n" for number in range(60)
)


@dataclass
class EditorSession:
    """What was typed and answered."""

    client: LanguageClient
    uri: str
    sent: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    latencies_ms: dict[str, list[float]] = field(default_factory=lambda: {"without": [], "with": []})
    decisions: dict[int, Any] = field(default_factory=dict)

    async def ask(self, offset: int, phase: str) -> None:
        """Ask at a place of LINES, with all that stands before it typed, and note how long that took."""
        line_start = LINES.rfind("\n", 0, offset) + 1
        position = types.Position(LINES.count("\n", 0, offset), offset - line_start)
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
            types.TextDocumentIdentifier(self.uri),
            position,
        )
        began = time.perf_counter()
        self.sent += 1
        try:
            result = await asyncio.wait_for(self.client.text_document_inline_completion_async(params), LOST_S)
        except TimeoutError:
            return  # lost
        except JsonRpcException as error:
            self.answered["cancelled" if isinstance(error, JsonRpcRequestCancelled) else f"error: {error}"] += 1
            return
        self.answered["items" if getattr(result, "items", None) else "nothing"] += 1
        self.latencies_ms[phase].append((time.perf_counter() - began) * 1000)

    async def note_decisions(self) -> None:
        """Keep the newest decisions; the server holds fifty."""
        answer = await self.client.protocol.send_request_async("submodel/explain", {"count": 50})
        self.decisions |= {one.id: one for one in answer.decisions}


async def run(builds: tuple[Path, Path], rebuilds: int, rate: float, every_s: float) -> dict[str, Any]:
    """Type without rebuilds for a quarter of the time, then beside them; compare all answers."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / ".git").mkdir()
        target = root / WORKSPACE_BUNDLE
        _put(builds[0], target)
        client = LanguageClient("rebuilds", "1")
        await client.start_io(*SERVE, cwd=root)
        inline = types.TextDocumentClientCapabilities(inline_completion=types.InlineCompletionClientCapabilities())
        await client.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(text_document=inline),
                workspace_folders=[types.WorkspaceFolder(uri=root.as_uri(), name="rebuilds")],
                # Without the wait for a pause in typing, which would leave nearly all keys without an answer; without
                # the first answer from a small window, which depends on the time that reading is expected to take.
                initialization_options={
                    "care": {"onBattery": "full"},
                    "experimental": {
                        "care": {"prefetch": False},
                        "threshold": {"confidence": 0},
                        "trigger": {"debounceMinMs": 0, "debounceMaxMs": 0, "coldMs": WHOLE_MS, "budgetMs": WHOLE_MS},
                    },
                },
            )
        )
        client.initialized(types.InitializedParams())
        await until_ready(client)
        session = EditorSession(client, (root / FILE).as_uri())
        keys = int(rebuilds * every_s * rate)
        await _type(session, keys // 4, rate, "without")
        typing = asyncio.create_task(_type(session, keys, rate, "with"))
        done, began = 0, time.perf_counter()
        while done < rebuilds:
            await asyncio.to_thread(_put, builds[(done + 1) % 2], target)
            await client.workspace_execute_command_async(types.ExecuteCommandParams(command="submodel.reload"))
            done += 1
            await asyncio.sleep(max(0.0, began + done * every_s - time.perf_counter()))
        await typing
        await session.note_decisions()
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]
    compared, wrong, cached = _compare(session, builds)
    without, beside = (percentiles(session.latencies_ms[phase], 50, 95, 99) for phase in ("without", "with"))
    return {
        "rebuilds": done,
        "every_s": every_s,
        "rate": rate,
        "requests": session.sent,
        "answers": dict(session.answered),
        "lost": session.sent - session.answered.total(),
        "compared": compared,
        "from_cache": cached,
        "wrong": wrong,
        "outcomes": dict(Counter(one.outcome for one in session.decisions.values())),
        "latency_ms": {"without": without, "with": beside},
        "p95_ratio": round(beside["p95"] / without["p95"], 2),
    }


async def _type(session: EditorSession, keys: int, rate: float, phase: str) -> None:
    """Type LINES key by key, again and again, each asked."""
    asked: set[asyncio.Task[None]] = set()
    began, version, offset = time.perf_counter(), 1, 0
    for key in range(keys):
        if offset == 0:
            if session.sent:
                session.client.text_document_did_close(
                    types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(session.uri))
                )
            item = types.TextDocumentItem(session.uri, "python", version, "")
            session.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        line_start = LINES.rfind("\n", 0, offset) + 1
        there = types.Position(LINES.count("\n", 0, offset), offset - line_start)
        version += 1
        session.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(version, session.uri),
                [types.TextDocumentContentChangePartial(range=types.Range(there, there), text=LINES[offset])],
            )
        )
        offset += 1
        task = asyncio.create_task(session.ask(offset, phase))
        asked.add(task)
        task.add_done_callback(asked.discard)
        offset %= len(LINES)
        if key % 20 == 19:
            await session.note_decisions()
        await asyncio.sleep(max(0.0, began + (key + 1) / rate - time.perf_counter()))
    while asked:
        await asyncio.wait(asked)
    session.client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(session.uri)))


def _compare(session: EditorSession, builds: tuple[Path, Path]) -> tuple[int, list[dict[str, Any]], int]:
    """How many answers were compared with their build's own, those that differ, and how many came from the cache."""
    from lsp_server.completion import open_completer
    from lsp_server.options import ServerOptions, ThresholdOptions, TriggerOptions
    from lsp_server.request import CompletionRequest

    wrong, compared, cached = [], 0, 0
    trigger = TriggerOptions(cold_ms=WHOLE_MS, budget_ms=WHOLE_MS)
    options = ServerOptions(trigger=trigger, threshold=ThresholdOptions(confidence=0))
    lines = LINES.split("\n")
    for folder in builds:
        completer = open_completer(folder)
        build = read_bundle(folder, verify=False).build
        for one in session.decisions.values():
            if one.build != build or one.outcome != "shown":
                continue
            if one.cache != "miss":  # made by a decision that is compared itself, or the rest of it
                cached += 1
                continue
            offset = sum(len(line) + 1 for line in lines[: one.line]) + one.character
            request = CompletionRequest(
                text=LINES[:offset], offset=offset, path=FILE, language_id="python", options=options
            )
            alone = completer.complete(request)
            compared += 1
            if one.text != alone.text:
                wrong.append({"id": one.id, "text": one.text, "alone": alone.text})
    known = {read_bundle(folder, verify=False).build for folder in builds}
    wrong += [
        {"id": one.id, "build": one.build}
        for one in session.decisions.values()
        if one.outcome == "shown" and one.build not in known
    ]
    return compared, wrong, cached


def _put(build: Path, target: Path) -> None:
    with replace_bundle(target) as fresh:
        shutil.copytree(build, fresh, dirs_exist_ok=True)


def _tiny(folder: Path) -> tuple[Path, Path]:
    from testbed.bundles import make_tiny_bundle

    for seed in (0, 1):
        bundle = folder / str(seed)
        make_tiny_bundle(bundle, folder / f"checkpoint-{seed}", seed=seed)
    return folder / "0", folder / "1"


def is_as_expected(figures: Mapping[str, Any]) -> bool:
    """Return whether answers were compared, none was wrong, lost or an error, and each request left its decision."""
    is_answered = not figures["lost"] and not any(name.startswith("error") for name in figures["answers"])
    is_whole = sum(figures["outcomes"].values()) == figures["requests"]
    return is_answered and is_whole and bool(figures["compared"]) and not figures["wrong"]


def main() -> None:
    """Run it and keep the figures; exits with 1 if they are not as they should be (`is_as_expected`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="*", metavar="BUNDLE OTHER")
    parser.add_argument("--rebuilds", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--every", type=float, default=1.0, help="seconds from one rebuild to the next")
    arguments = parser.parse_args()
    if len(arguments.bundles) not in (0, 2):
        parser.error("name two bundles, or none")
    with tempfile.TemporaryDirectory() as folder:
        builds = tuple(arguments.bundles) or _tiny(Path(folder))
        figures = asyncio.run(run((builds[0], builds[1]), arguments.rebuilds, arguments.rate, arguments.every))
    command = f"python -m benchmarks.robustness.rebuilds {' '.join(sys.argv[1:])}".strip()
    write_result("rebuilds", {"command": command, **figures})
    print(json.dumps(figures, indent=2))
    sys.exit(not is_as_expected(figures))


if __name__ == "__main__":
    main()
