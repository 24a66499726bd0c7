r"""Single positions of a repository, asked of llama.cpp's own server as llama.vscode asks it, with its snippets.

    python -m benchmarks.llama_vscode BUNDLE REPOSITORY --since REVISION --built CHECKOUT --name httpx \
        --server llama-server --gguf FILE --count 20

BUNDLE, REPOSITORY, --since and --built are those of `benchmarks.single_positions`, whose results/positions-NAME.json
has the answers of the other engines. The first --count positions of each kind are asked: they were drawn in a random
order. Writes benchmarks/results/llama-vscode-NAME.json. A later run with a higher --count asks the others alone.
"llama.vscode" has the plug-in's snippets and its samplers. "llama.vscode, greedy" has its snippets, and takes the
likeliest token. Of both answers the first line counts.

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
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.builds import RESULTS, run_program, write_result
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.single_positions import draw_again, positions_parser, sources_of
from builder.evaluation.infill import PREFIX_LINES, SUFFIX_LINES
from builder.evaluation.metrics import is_exact
from builder.evaluation.scoring import without_indentation
from contract.repository.git import run_git
from laboratory.bench.bench_run import describe_peers, own_environment
from laboratory.bench.workload import Keystroke
from laboratory.replay.passages import changed_files

SAMPLED, GREEDY = "llama.vscode", "llama.vscode, greedy"
MEASURED = ("ring_ms", "ring_tokens", "line_ms", "answer_ms")
RING_CHUNKS, CHUNK_LINES, MIN_LINES = 16, 64, 3
ALIKE = 0.9  # of Jaccard: a snippet that is more like a new one leaves the ring
PORT = 18012
OPTIONS = ("-ub", "1024", "-b", "1024", "--ctx-size", "0", "--cache-reuse", "256")
MAX_COMMITS = 300  # that a ring goes back


@dataclass(frozen=True)
class Snippet:
    """A piece of a file."""

    path: str
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, str]:
        """Return it as the plug-in sends it; it names the whole path."""
        return {"filename": f"/home/user/{self.path}", "text": "\n".join(self.lines) + "\n"}


def main() -> None:
    """Ask both kinds, and keep the answers beside those of earlier runs."""
    parser = positions_parser(__doc__)
    parser.add_argument("--server", type=Path, required=True, help="llama-server")
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20, help="of each kind")
    arguments = parser.parse_args()
    name = f"llama-vscode-{arguments.name}"
    path = RESULTS / f"positions-{arguments.name}.json"
    drawn = json.loads(path.read_text("utf-8"))["kinds"]
    kept = json.loads((RESULTS / f"{name}.json").read_text("utf-8")) if (RESULTS / f"{name}.json").is_file() else {}
    peer = describe_peers([(SAMPLED, arguments.gguf)])[SAMPLED]
    if kept and kept["peer"] != peer:
        raise SystemExit(f"{name}.json has the answers of another model; move it away first.")
    kinds = kept.get("kinds", {})
    with served(arguments.server, arguments.gguf) as server:
        for kind, repository, since in sources_of(arguments):
            strokes = draw_again([arguments.bundle], repository, since, kind, drawn[kind], path)
            known = kinds.setdefault(kind, {"lines_sha256": drawn[kind]["lines_sha256"], "answers": []})["answers"]
            known += ask_all(server, strokes[len(known) : arguments.count], arguments.repository, arguments.since)
            right = {engine: sum(answer[engine] for answer in known) for engine in (SAMPLED, GREEDY)}
            print(kind, len(known), right, {key: round(median(one[key] for one in known)) for key in MEASURED})
            write_result(
                name,
                {
                    "command": "python -m benchmarks.llama_vscode BUNDLE REPOSITORY --built CHECKOUT --since "
                    f"{arguments.since} --name {arguments.name} --server llama-server --gguf FILE "
                    f"--count {arguments.count}",
                    "peer": peer,
                    "resident_bytes": psutil.Process(server.pid).memory_info().rss,
                    "kinds": kinds,
                    "machine": describe_machine(),
                    "versions": describe_versions() | {"llama-server": version_of(arguments.server)},
                },
            )


@dataclass(frozen=True)
class Server:
    """A llama-server that answers."""

    pid: int

    def infill(self, **request: Any) -> dict[str, Any]:
        """Send a request; return the answer."""
        body = json.dumps({"id_slot": 0, "cache_prompt": True, **request}).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"http://127.0.0.1:{PORT}/infill", body, headers)
        with urllib.request.urlopen(asked, timeout=600) as answer:
            return dict(json.loads(answer.read()))


@contextmanager
def served(program: Path, gguf: Path) -> Iterator[Server]:
    """Start llama-server and wait until it has loaded the model; end it afterwards."""
    command = [str(program), "-m", str(gguf), "--host", "127.0.0.1", "--port", str(PORT), *OPTIONS]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own_environment(os.environ)
    )
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5):
                    break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"{program} ended with {process.returncode}; run it by hand.") from None
                time.sleep(0.1)
        yield Server(process.pid)
    finally:
        process.terminate()
        process.wait()


def version_of(program: Path) -> str:
    """Return what llama-server says of itself, in one line."""
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
    return " ".join((done.stdout + done.stderr).split())


def ask_all(server: Server, strokes: Sequence[Keystroke], repository: Path, since: str) -> list[dict[str, float]]:
    """Return what `ask` does for each position. They are asked in the order of their commits, as the ring moves on."""
    order = {commit: number for number, commit in enumerate(_commits(repository, "HEAD", since))}
    turns = sorted(range(len(strokes)), key=lambda index: -order.get(strokes[index].commit, 0))  # oldest first
    found = {index: ask(server, strokes[index], ring_of(strokes[index], repository, since)) for index in turns}
    return [found[index] for index in range(len(strokes))]


def ask(server: Server, stroke: Keystroke, ring: Sequence[Snippet]) -> dict[str, float]:
    """Ask for one line, sampled as the plug-in does and greedily; return whether each answer is right, and MEASURED.

    "ring_ms": to read the snippets, and "ring_tokens" how many they are. "line_ms": then until the line is there.
    "answer_ms": until the plug-in has its answer, which may be longer.
    """
    extra = [snippet.to_json() for snippet in ring]
    started = time.perf_counter()
    read = server.infill(input_prefix="", input_suffix="", prompt="", input_extra=extra, n_predict=0, samplers=[])
    ring_ms = 1000 * (time.perf_counter() - started)
    request = request_of(stroke) | {"input_extra": extra, "n_predict": 128}
    started = time.perf_counter()
    sampled = server.infill(
        **request, top_k=40, top_p=0.99, samplers=["top_k", "top_p", "infill"], t_max_predict_ms=500, seed=1
    )
    answer_ms = 1000 * (time.perf_counter() - started)
    # t_max_predict_ms counts from the first line's end.
    greedy = server.infill(**request, samplers=["top_k"], top_k=1, temperature=0, t_max_predict_ms=1)
    line_ms = sampled["timings"]["prompt_ms"] + greedy["timings"]["predicted_ms"]
    lines = {name: one["content"].split("\n")[0] for name, one in ((SAMPLED, sampled), (GREEDY, greedy))}
    right = {name: is_exact(without_indentation(line, stroke.before), stroke.truth) for name, line in lines.items()}
    measured = (ring_ms, read["tokens_evaluated"], line_ms, answer_ms)
    return right | dict(zip(MEASURED, map(round, measured), strict=True))


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


if __name__ == "__main__":
    run_program(main)
