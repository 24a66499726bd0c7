"""llama.cpp's own server, asked as llama.vscode asks it: 256 lines before the cursor's and 64 behind it.

llama.vscode keeps a ring of 16 snippets: a piece around the cursor whenever a file is saved, opened or left. Here a
user saves each run of lines that a commit changed, commit after commit. The ring of a held-out line is that of the
revision that was built. The ring of a line that was added later ends with what its own commit changed in other files.
A held-out line's own file gives no snippet, since the line stands in it. The server reads the ring before the time is
taken, as the plug-in lets it while nobody types. The plug-in's two pieces of the same file come after an answer at the
place, so they are left out.

The requests and the ring are those of ggml-org/llama.vscode at 3938fb3: `completion.ts`, `extra-context.ts`,
`llama-server.ts`, with the settings of its package.json. The server's options are of its README, "CPU-only configs".
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from builder.evaluation.infill import PREFIX_LINES, SUFFIX_LINES
from builder.evaluation.scoring import without_indentation
from contract.repository.git import run_git
from laboratory.bench.bench_run import own_environment
from laboratory.bench.workload import Keystroke
from laboratory.replay.passages import changed_files

RING_CHUNKS, CHUNK_LINES, MIN_LINES = 16, 64, 3
ALIKE = 0.9  # of Jaccard: a snippet that is more like a new one leaves the ring
OPTIONS = ("-ub", "1024", "-b", "1024", "--ctx-size", "0", "--cache-reuse", "256")
SAMPLED = {"top_k": 40, "top_p": 0.99, "samplers": ["top_k", "top_p", "infill"], "t_max_predict_ms": 500, "seed": 1}
GREEDY = {
    "top_k": 1,
    "temperature": 0,
    "samplers": ["top_k"],
    "t_max_predict_ms": 1,
}  # counted from the first line's end
MAX_COMMITS = 300  # that a ring goes back


@dataclass(frozen=True)
class Snippet:
    """A piece of a file."""

    path: str
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, str]:
        """Return it as the plug-in sends it; it names the whole path."""
        return {"filename": f"/home/user/{self.path}", "text": "\n".join(self.lines) + "\n"}


@dataclass(kw_only=True)
class LlamaServer:
    """A llama-server that runs while it is entered. `clone` gives the snippets; None: without them."""

    program: Path
    gguf: Path
    sha256: str
    clone: Path | None = None
    since: str = ""
    is_greedy: bool = False
    _ring: list[dict[str, str]] = field(default_factory=list, init=False)

    def __enter__(self) -> LlamaServer:
        """Start the server and wait until it has loaded the model."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        command = [str(self.program), "-m", str(self.gguf), "--host", "127.0.0.1", "--port", str(self._port), *OPTIONS]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own_environment(os.environ)
        )
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5):
                    return self
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        self.__exit__()
        raise SystemExit(f"{self.program} did not start; run it by hand.")

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def prepare(self, stroke: Keystroke) -> None:
        """Let the server read the snippets, if there are any."""
        if self.clone is not None:
            self._ring = [snippet.to_json() for snippet in ring_of(stroke, self.clone, self.since)]
            self._infill(input_prefix="", input_suffix="", prompt="", n_predict=0, samplers=[])

    def complete(self, stroke: Keystroke) -> str:
        """Return the first line of the answer, from the cursor on."""
        answer = self._infill(**request_of(stroke), n_predict=128, **(GREEDY if self.is_greedy else SAMPLED))
        return without_indentation(answer["content"].split("\n")[0], stroke.before)

    def _infill(self, **request: Any) -> dict[str, Any]:
        extra = {"input_extra": self._ring} if self._ring else {}
        body = json.dumps({"id_slot": 0, "cache_prompt": True, **request, **extra}).encode()
        url, headers = f"http://127.0.0.1:{self._port}/infill", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=600) as answer:
            return dict(json.loads(answer.read()))


def request_of(stroke: Keystroke) -> dict[str, Any]:
    """Return what the plug-in sends of a file; not the indentation of a line that is blank so far."""
    above, _, line = stroke.before.rpartition("\n")
    prefix = above.split("\n")[-PREFIX_LINES:] if "\n" in stroke.before else []
    rest, *below = stroke.behind.split("\n")
    indentation = line[: len(line) - len(line.lstrip())]
    return {
        "input_prefix": "\n".join(prefix) + "\n",
        "input_suffix": "\n".join([rest, *below[:SUFFIX_LINES]]) + "\n" if below else f"{rest}\n\n",
        "prompt": line if line.strip(" \t") else "",
        **({"n_indent": len(indentation)} if indentation else {}),
    }


def ring_of(stroke: Keystroke, repository: Path, since: str) -> list[Snippet]:
    """Return the snippets that a user who wrote the commits would have sent with a line, the latest last."""
    ring: list[Snippet] = []
    for commit in _commits(repository, stroke.commit or since):
        for snippet in reversed(snippets_of(repository, commit)):
            is_own = snippet.path == stroke.path and stroke.commit in ("", commit)
            if not is_own and all(alike(snippet, other) <= ALIKE for other in ring):
                ring.insert(0, snippet)
            if len(ring) == RING_CHUNKS:
                return ring
    return ring


@cache
def snippets_of(repository: Path, commit: str) -> tuple[Snippet, ...]:
    """Return a snippet around the end of each run of lines that a commit changed, in their order."""
    found: list[Snippet] = []
    for file in changed_files(repository, commit):
        lines = file.text.split("\n")
        for first, length in file.hunks:
            cursor = max(0, first + max(length, 1) - 1)
            around = lines[max(0, cursor - CHUNK_LINES // 2) : cursor + CHUNK_LINES // 2 + 1]
            if len(around) + 1 >= CHUNK_LINES:
                rng = random.Random(f"{commit} {file.path} {first}")
                start = rng.randrange(len(around) - CHUNK_LINES // 2 + 1)
                around = around[start : start + CHUNK_LINES // 2]
            if len(around) >= MIN_LINES:
                found.append(Snippet(file.path, tuple(around)))
    return tuple(found)


def alike(one: Snippet, other: Snippet) -> float:
    """Return the Jaccard similarity of the lines of two snippets."""
    lines, others = set(one.lines), set(other.lines)
    return len(lines & others) / len(lines | others)


@cache
def _commits(repository: Path, revision: str, since: str = "") -> tuple[str, ...]:
    """Return the commits up to a revision, and after another if one is named, the latest first."""
    count = () if since else (f"--max-count={MAX_COMMITS}",)
    listed = run_git(repository, "rev-list", "--no-merges", *count, revision, *([f"^{since}"] if since else []))
    return tuple(listed.decode("ascii").split())
