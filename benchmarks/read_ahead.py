"""The first key after a file was opened or the cursor moved, and what reading ahead brings, through the real server.

    python -m benchmarks.read_ahead BUNDLE REPO [--since REVISION] [--moves 30] [--browse-s 120] [--seed 0]

A seeded walk over the repository's files: open one or move by some lines or anywhere in the file, rest 0.5 to 3 s, hit
a key at the end of the line (the first character of a word that stands in the file), wait for the answer. With --since
the walk goes to places where later commits added lines: it opens the file with the earlier lines of such a run alone,
rests at the end of the last one and hits Enter, and the editor indents. It leaves out what was added at the beginning
of a file. The same walk runs three times: without reading ahead, with it, and with the likeliest first key answered as
well. Its first half runs in this order, its second half in the other, since a machine's speed changes. Each half then
goes on without keys, and the processor time of the server is measured. An answer may show nothing: the shares "shown"
count those that show text, and with --since those "right" the ones whose first line is the one that was added. The
server does not say which answers come from the text near the cursor alone.
Writes benchmarks/results/read-ahead.json, with --since read-ahead-edits-NAME.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from benchmarks.builds import run_program, write_result
from builder.corpus.corpus import read_corpus
from builder.evaluation.metrics import is_exact
from laboratory.bench.bench_run import processor_s
from laboratory.replay.passages import passages_later_than
from laboratory.replay.server_session import UNHURRIED, merge_options, server

GOAL_MS = 150
LEAST_LINES = 40  # of a file that is walked through
OPEN_SHARE, NEAR_SHARE = 0.3, 0.4  # of the moves; the others go anywhere in the file
NEAR_LINES = 15
REST_S = (0.5, 3.0)
CLIENT_WAITS_S = 0.1  # before VS Code's extension says where the cursor rests
_WORD = re.compile(r"[A-Za-z_]\w+")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a key was answered with."""

    milliseconds: float  # from the key to the answer
    text: str  # that is shown; "" for nothing
    is_right: bool | None  # None if there is no truth to compare with


@dataclass(frozen=True, kw_only=True)
class Move:
    """To the end of a line of a file, a rest there, and what is typed then: a character, or Enter and indentation."""

    path: str
    text: str  # of the file
    line: int
    character: int
    rest_s: float
    key: str
    kind: str  # open, near, far or added
    truth: str | None = None  # the rest of the line that was added

    @property
    def there(self) -> types.Position:
        """Where the cursor rests."""
        return types.Position(self.line, self.character)

    @property
    def behind(self) -> types.Position:
        """Where the cursor is once the key was hit."""
        start = 0 if "\n" in self.key else self.character
        return types.Position(self.line + self.key.count("\n"), start + len(self.key.removeprefix("\n")))


def plan_edits(root: Path, bundle: Path, since: str, moves: int, seed: int) -> list[Move]:
    """To where commits after `since` added lines, in a random order. Raises SubmodelError if the bundle knows them."""
    rng = random.Random(seed)
    walk = []
    passages = passages_later_than(bundle, root, since, moves, seed)
    for passage in (one for one in passages if one.before):
        before = passage.before.removesuffix("\n")
        last, first = before.rpartition("\n")[2], passage.truth.split("\n", 1)[0]
        walk.append(
            Move(
                path=passage.path,
                text=before + passage.after,
                line=before.count("\n"),
                character=len(last),
                rest_s=rng.uniform(*REST_S),
                key="\n" + first[: len(first) - len(first.lstrip())],
                kind="added",
                truth=first.lstrip(),
            )
        )
    if not walk:
        raise SystemExit(f"No code was added to {root} since {since}; name an earlier revision.")
    return walk


def plan_walk(files: dict[str, str], moves: int, seed: int) -> list[Move]:
    """A walk over files (path → text); the same for the same seed."""
    rng = random.Random(seed)
    paths = sorted(path for path, text in files.items() if text.count("\n") >= LEAST_LINES and _WORD.search(text))
    if not paths:
        raise SystemExit(f"No file has {LEAST_LINES} lines and a word to walk through; take a larger repository.")
    walk: list[Move] = []
    path, line = "", 0
    for _ in range(moves):
        chance = rng.random()
        kind = "open" if not path or chance < OPEN_SHARE else "near" if chance < OPEN_SHARE + NEAR_SHARE else "far"
        if kind == "open":
            path = rng.choice([one for one in paths if one != path] or paths)
        lines = files[path].split("\n")
        step = rng.choice([-1, 1]) * rng.randint(1, NEAR_LINES)
        wanted = line + step if kind == "near" else rng.randrange(len(lines))
        line = min(max(0, wanted), len(lines) - 1)
        key = rng.choice(_WORD.findall(files[path]))[0]
        rest_s = rng.uniform(*REST_S)
        character = len(lines[line])
        text = files[path]
        walk.append(Move(path=path, text=text, line=line, character=character, rest_s=rest_s, key=key, kind=kind))
    return walk


class Walker:
    """An editor's user: moves, and hits keys. Positions are in UTF-32."""

    def __init__(self, client: LanguageClient, root: Path) -> None:
        self._client, self._root = client, root
        self._versions: dict[str, int] = {}
        self._path = self._text = ""

    async def go(self, move: Move) -> None:
        """Open the file unless it is the one that is open, and let the cursor rest."""
        if (move.path, move.text) != (self._path, self._text):
            self._close()
            self._path, self._text = move.path, move.text
            self._versions[move.path] = self._versions.get(move.path, 0) + 1
            item = types.TextDocumentItem(self._uri, "", self._versions[move.path], move.text)
            self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        await asyncio.sleep(CLIENT_WAITS_S)
        position = {"line": move.line, "character": move.character}
        self._client.protocol.notify("submodel/cursor", {"textDocument": {"uri": self._uri}, "position": position})
        await asyncio.sleep(move.rest_s - CLIENT_WAITS_S)

    async def hit(self, move: Move) -> Answer:
        """Hit the key, and take it back once the answer is there."""
        started = time.perf_counter()
        self._change(types.Range(move.there, move.there), move.key)
        kind = types.InlineCompletionTriggerKind.Automatic
        context, document = types.InlineCompletionContext(kind), types.TextDocumentIdentifier(self._uri)
        params = types.InlineCompletionParams(context, document, move.behind)
        result = await self._client.text_document_inline_completion_async(params)
        milliseconds = (time.perf_counter() - started) * 1000
        self._change(types.Range(move.there, move.behind), "")
        items = result.items if isinstance(result, types.InlineCompletionList) else result or ()
        return judge(milliseconds, str(items[0].insert_text) if items else "", move.truth)

    @property
    def _uri(self) -> str:
        return (self._root / self._path).as_uri()

    def _change(self, there: types.Range, text: str) -> None:
        self._versions[self._path] += 1
        document = types.VersionedTextDocumentIdentifier(version=self._versions[self._path], uri=self._uri)
        change = types.TextDocumentContentChangePartial(range=there, text=text)
        self._client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    def _close(self) -> None:
        if self._path:
            params = types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(self._uri))
            self._client.text_document_did_close(params)


def judge(milliseconds: float, text: str, truth: str | None) -> Answer:
    """Return an answer with whether its first line is the truth."""
    is_right = None if truth is None else bool(text) and is_exact(text.split("\n", 1)[0], truth)
    return Answer(milliseconds=milliseconds, text=text, is_right=is_right)


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What one server was measured at: answers by kind of move, and seconds of browsing and of its processor time."""

    answers: dict[str, list[Answer]]
    seconds: float
    core_s: float


async def measure(root: Path, bundle: Path, walk: list[Move], browse_s: float, options: dict[str, Any]) -> Walked:
    """One server: keys along the walk, then `browse_s` seconds of the walk without any."""
    async with server(root, bundle, merge_options(UNHURRIED, options)) as client:
        walker = Walker(client, root)
        answers: dict[str, list[Answer]] = {}
        for move in walk:
            await walker.go(move)
            answers.setdefault(move.kind, []).append(await walker.hit(move))
        pid = client._server.pid  # type: ignore[union-attr]
        before, started = processor_s(pid), time.perf_counter()
        while time.perf_counter() - started < browse_s:
            for move in walk:
                if time.perf_counter() - started < browse_s:
                    await walker.go(move)
        seconds = time.perf_counter() - started
        return Walked(answers=answers, seconds=seconds, core_s=processor_s(pid) - before)


def describe_arm(walked: Sequence[Walked]) -> dict[str, Any]:
    """Return the figures of an arm's halves of the walk together."""
    kinds = sorted({kind for one in walked for kind in one.answers})
    answers = {kind: [answer for one in walked for answer in one.answers.get(kind, ())] for kind in kinds}
    seconds, core_s = (sum(getattr(one, name) for one in walked) for name in ("seconds", "core_s"))
    return {
        "first_key": describe([one for some in answers.values() for one in some]),
        **{f"first_key_{kind}": describe(some) for kind, some in answers.items()},
        "keys": {kind: list(map(_facts, some)) for kind, some in answers.items()},
        "browsing_s": round(seconds, 1),
        "browsing_core_s_a_minute": round(core_s / seconds * 60, 2) if seconds >= 1 else None,
    }


def _facts(answer: Answer) -> dict[str, Any]:
    """Return what is kept of a key; the texts are the repository's."""
    return {
        "milliseconds": round(answer.milliseconds, 1),
        "shown": bool(answer.text),
        **({} if answer.is_right is None else {"exact": answer.is_right}),
    }


def describe(answers: Sequence[Answer]) -> dict[str, float]:
    """Median, 95th percentile, and the shares of all keys within the goal: answered, shown, and right where known."""
    times_ms = [one.milliseconds for one in answers]
    in_time = [one for one in answers if one.milliseconds <= GOAL_MS]
    counts = {"share_within": len(in_time), "share_shown_within": sum(bool(one.text) for one in in_time)}
    if all(one.is_right is not None for one in answers):
        counts["share_right_within"] = sum(bool(one.is_right) for one in in_time)
    return {
        "count": len(answers),
        "p50_ms": round(float(np.median(times_ms)), 1),
        "p95_ms": round(float(np.percentile(times_ms, 95)), 1),
        "share_shown": round(sum(bool(one.text) for one in answers) / len(answers), 3),
        **{f"{name}_{GOAL_MS}_ms": round(count / len(answers), 3) for name, count in counts.items()},
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--moves", type=int, default=30)
    parser.add_argument("--browse-s", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cold-ms", type=int, default=400, help="the switch trigger.coldMs")
    parser.add_argument("--name", help="of the repository in the result's; default: its folder's")
    parser.add_argument("--since", help="walk to lines that commits after this revision added")
    arguments = parser.parse_args()
    root = arguments.repository.resolve()
    if arguments.since:
        walk = plan_edits(root, arguments.bundle, arguments.since, arguments.moves, arguments.seed)
    else:
        files = {file.path: file.text for file in read_corpus(root).files}
        walk = plan_walk(files, arguments.moves, arguments.seed)
    arms = {
        "without": {"readAhead": False},
        "text": {"readAhead": True, "prefetch": False},
        "text and first key": {"readAhead": True},
    }
    walked: dict[str, list[Walked]] = {name: [] for name in arms}
    middle = len(walk) // 2
    for half, names in ((walk[:middle], list(arms)), (walk[middle:], list(reversed(arms)))):
        for name in names if half else ():
            switches = {"care": arms[name], "trigger": {"coldMs": arguments.cold_ms}}
            options = {"care": {"onBattery": "full"}, "experimental": switches}
            measured = measure(root, arguments.bundle.resolve(), half, arguments.browse_s / 2, options)
            walked[name].append(asyncio.run(measured))
    runs = {name: describe_arm(some) for name, some in walked.items()}
    print(json.dumps(runs, indent=2), flush=True)
    asked = f"--name {arguments.name} " if arguments.name else ""
    asked += f"--since {arguments.since} " if arguments.since else ""
    asked += f"--moves {arguments.moves} --browse-s {arguments.browse_s:g} --seed {arguments.seed}"
    document = {
        "command": f"python -m benchmarks.read_ahead BUNDLE {root.name} {asked} --cold-ms {arguments.cold_ms}",
        "runs": runs,
    }
    write_result(f"read-ahead-edits-{arguments.name or root.name}" if arguments.since else "read-ahead", document)


if __name__ == "__main__":
    run_program(main)
