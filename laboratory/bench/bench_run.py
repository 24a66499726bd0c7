"""`submodel-lab bench`: engines side by side in one run, each in its own process, asked in turns.

A turn is one passage, because a machine's speed changes from minute to minute: whatever slows one engine slows the
others as much. Each turn asks the engines in another order. Before each the machine comes to rest, since threads of
some engines wait actively for a second after an answer.
"""

from __future__ import annotations

import json
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from builder.evaluation.metrics import is_exact
from builder.versions import installed_versions
from contract.bundle.bundle import read_bundle
from contract.children import child_environment, find_program, python_module
from contract.errors import SubmodelError
from contract.files.file_hash import hash_file
from contract.processor import default_threads
from laboratory.bench.workload import Workload, WorkloadSettings, make_workload
from laboratory.replay.figures import estimate
from laboratory.replay.passages import check_later
from submodel.console import StageDisplay

PEER_WORKER = Path(__file__).with_name("llama_cpp_worker.py")
OWN_NAMES = ("submodel", "submodel, no drafts")
CHARACTERS_A_TOKEN = 16  # more than any code has on average
VERSIONED = ("submodel", "onnxruntime", "tokenizers", "numpy")


class BenchError(SubmodelError):
    """A benchmark that can't be run, and what to do."""


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What is measured, and on how much."""

    bundle: Path
    repository: Path
    peers: tuple[tuple[str, Path], ...] = ()  # name, and a GGUF file
    peer_python: str = sys.executable  # one that has llama-cpp-python
    threads: int | None = None
    workload: WorkloadSettings = field(default_factory=WorkloadSettings)
    prompt_tokens: int = 512
    decode_tokens: int = 64
    rounds: int = 5
    with_plain: bool = True  # the bundle without drafts as well

    def __post_init__(self) -> None:
        names = [*OWN_NAMES, *(name for name, _ in self.peers)]
        doubled = [name for name in names if names.count(name) > 1]
        if doubled:
            raise BenchError(f"Two engines are named {doubled[0]!r}; give each --peer a name of its own.")


class _Worker:
    """An engine's process: one request a line."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=own_environment(child_environment()),
        )
        self.loaded = self._answer()
        # On Windows the python.exe of a virtual environment starts another one, which does the work.
        self._pid = int(self.loaded.get("pid", self._process.pid))

    def ask(self, action: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": action, **request}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        return self._answer()

    def resident_bytes(self) -> int:
        """The memory that the process holds now; file pages that it has mapped count as well."""
        return int(psutil.Process(self._pid).memory_info().rss)

    def processor_s(self) -> float:
        """Return the processor time that the process has taken so far."""
        return processor_s(self._pid)

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        try:
            return dict(json.loads(line))
        except ValueError as error:
            self.close()
            raise BenchError(
                f"The engine {self.name} printed {line.strip()[:80]!r} in place of an answer; check its package."
            ) from error

    def _ended(self) -> BenchError:
        assert self._process.stdin is not None
        with suppress(OSError):  # what it did not take; from Python 3.13 on, that would be printed later
            self._process.stdin.close()
        return BenchError(
            f"The engine {self.name} ended; its last words are above. Check its file, and that its Python has its "
            "package (llama-cpp-python, say): --peer-python names another one."
        )


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without OpenMP's variables: with OMP_WAIT_POLICY=PASSIVE llama.cpp is half as fast."""
    return {name: value for name, value in environment.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}


def run_bench(settings: BenchSettings, display: StageDisplay) -> dict[str, Any]:
    """Measure; return the document that `--json` prints. Raises SubmodelError."""
    with display.stage("read the repository"):
        measured, peers = read_bundle(settings.bundle), describe_peers(settings.peers)
        workload = make_workload(settings.repository, settings.workload, measured.manifest.get("held_out_sha256", ()))
        check_unlearned([settings.bundle], workload, settings.workload.since)
        if len(workload.passages) < 2:
            raise BenchError(
                f"{settings.repository} has too few lines to type, held out or added later; take a larger repository."
            )
        if not workload.text.strip():
            raise BenchError(f"{settings.repository} has no held-out text for prompts; take a larger repository.")
    with display.stage("load the engines"), ExitStack() as stack:
        workers = list(_open_workers(settings, stack))
        if read_bundle(settings.bundle, verify=False).build != measured.build:
            raise BenchError(f"{settings.bundle} was replaced while it was loaded; run it again.")
        speeds = _measure_speeds(settings, workload, workers, display)
        typed = _type_passages(workload, workers, display)
        engines = [
            {
                "name": worker.name,
                **speeds[worker.name],
                **typed[worker.name].figures(typed[workers[0].name]),
                "resident_bytes": worker.resident_bytes(),
                "load_s": round(worker.loaded["load_s"], 2),
                "reads_suffix": worker.loaded["reads_suffix"],
            }
            for worker in workers
        ]
        lines = [stroke for passage in workload.passages for stroke in passage if stroke.is_new_line]
        clusters = [stroke.cluster for stroke in lines]
        versions = {key: value for worker in workers for key, value in worker.loaded["versions"].items()}
    return {
        "engines": engines,
        "ratios": ratios(engines[0], engines[1:]),
        "leads": leads({name: notes.exact for name, notes in typed.items()}, clusters),
        "exact": {name: "".join("01"[is_right] for is_right in notes.exact) for name, notes in typed.items()},
        "bundle_build": measured.build,
        "peers": peers,
        "source": workload.source,
        "passages": len(workload.passages),
        "lines": len(typed[workers[0].name].exact),
        "keystrokes": len(typed[workers[0].name].times_ms),
        "threads": settings.threads or default_threads(),
        "machine": {"system": platform.platform(), "processor": platform.processor(), "python": sys.version.split()[0]},
        "versions": {**installed_versions(VERSIONED), **versions},
    }


def check_unlearned(bundles: Sequence[Path], asked: Workload, since: str | None) -> None:
    """Raise SubmodelError if a bundle has learned what is asked.

    Lines are later than the revision `since`, or were held out by the first bundle.
    """
    held_out: frozenset[str] | None = None
    for bundle in bundles:
        manifest = read_bundle(bundle, verify=False).manifest
        learned = manifest.get("learned_sha256", ())
        held_out = frozenset(manifest.get("held_out_sha256", ())) if held_out is None else held_out
        if since is not None:
            check_later(asked.added, learned, since, bundle)
        elif not held_out.isdisjoint(learned):
            raise BenchError(
                f"{bundle} learned files that {bundles[0]} holds out, so their lines are not new to it; "
                "compare bundles on lines that are later than both, with --since."
            )


def describe_peers(peers: Sequence[tuple[str, Path]]) -> dict[str, dict[str, str]]:
    """Return the file's name of each peer, and its SHA-256. Raises BenchError if one can't be read."""
    described = {}
    for name, peer in peers:
        try:
            digest = hash_file(peer)
        except OSError as error:
            raise BenchError(f"{peer} can't be read ({error.strerror or error}); name another file.") from error
        described[name] = {"file": peer.name, "sha256": digest}
    return described


def ratios(ours: dict[str, Any], peers: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return how many times as fast as each peer our engine is, and its share of the peer's memory."""
    return {
        peer["name"]: {
            # Of characters: a vocabulary that was cut to a repository needs more tokens for a text.
            "prompt": ours["prompt_characters_per_s"] / peer["prompt_characters_per_s"],
            "decode": ours["decode_tokens_per_s"] / peer["decode_tokens_per_s"],
            "completion_p50": peer["completion_ms_p50"] / ours["completion_ms_p50"],
            "completion_p95": peer["completion_ms_p95"] / ours["completion_ms_p95"],
            "new_place_p50": peer["new_place_ms_p50"] / ours["new_place_ms_p50"],
            "new_place_p95": peer["new_place_ms_p95"] / ours["new_place_ms_p95"],
            "memory": ours["resident_bytes"] / peer["resident_bytes"],
        }
        for peer in peers
    }


def leads(exact: Mapping[str, Sequence[bool]], clusters: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """Return by what share of all lines the first engine has more right than each other, paired: see `estimate`.

    clusters: the commit, or file, of each line, whose lines are alike.
    """
    ours, *others = exact

    def lead(name: str, indices: Sequence[int]) -> float:
        return sum(exact[ours][index] - exact[name][index] for index in indices) / len(indices)

    return {name: estimate(partial(lead, name), len(exact[ours]), clusters) for name in others}


def _open_workers(settings: BenchSettings, stack: ExitStack) -> Iterator[_Worker]:
    threads = settings.threads or default_threads()
    own = {"bundle": str(settings.bundle), "threads": threads}
    module = [*python_module("laboratory.bench.bundle_worker")]
    yield stack.enter_context(_opened("submodel", [*module, json.dumps({**own, "has_drafts": True})]))
    if settings.with_plain:
        yield stack.enter_context(_opened("submodel, no drafts", [*module, json.dumps({**own, "has_drafts": False})]))
    for name, file in settings.peers:
        arguments = {"model": str(file), "threads": threads, "context": 4096}
        python = find_program(settings.peer_python)
        if python is None:
            raise BenchError(f"There is no Python {settings.peer_python}; name one that has llama-cpp-python.")
        command = [python, str(PEER_WORKER), json.dumps(arguments)]
        yield stack.enter_context(_opened(name, command))


@contextmanager
def _opened(name: str, command: Sequence[str]) -> Iterator[_Worker]:
    worker = _Worker(name, command)
    try:
        yield worker
    finally:
        worker.close()


def _measure_speeds(
    settings: BenchSettings, workload: Workload, workers: Sequence[_Worker], display: StageDisplay
) -> dict[str, dict[str, Any]]:
    """Return by engine the median tokens a second of a prompt from an empty cache, and of what follows it.

    Vocabularies differ, so characters of the prompt a second are given as well.
    """
    prompt: dict[str, list[float]] = {worker.name: [] for worker in workers}
    characters: dict[str, list[float]] = {worker.name: [] for worker in workers}
    decode: dict[str, list[float]] = {worker.name: [] for worker in workers}
    step = max(1, len(workload.text) // (settings.rounds + 1))
    with display.stage("prompts and steps") as advance:
        for number in range(settings.rounds):
            # No more than is read: to cut all of it into tokens takes memory that no completion does.
            text = workload.text[number * step :][: CHARACTERS_A_TOKEN * settings.prompt_tokens]
            for worker in _in_turn(workers, number):
                _rest(workers)
                reported = worker.ask(
                    "speed", text=text, prompt_tokens=settings.prompt_tokens, decode_tokens=settings.decode_tokens
                )
                prompt[worker.name].append(reported["prompt_tokens"] / reported["prompt_s"])
                characters[worker.name].append(reported["prompt_characters"] / reported["prompt_s"])
                decode[worker.name].append(reported["decode_tokens"] / reported["decode_s"])
            advance(number + 1, settings.rounds)
    return {
        worker.name: {
            "prompt_tokens_per_s": round(median(prompt[worker.name]), 1),
            "prompt_characters_per_s": round(median(characters[worker.name]), 1),
            "decode_tokens_per_s": round(median(decode[worker.name]), 1),
            "prompt_tokens_per_s_range": [round(min(prompt[worker.name]), 1), round(max(prompt[worker.name]), 1)],
            "decode_tokens_per_s_range": [round(min(decode[worker.name]), 1), round(max(decode[worker.name]), 1)],
        }
        for worker in workers
    }


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has taken so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _rest(workers: Sequence[_Worker]) -> None:
    """Wait until no engine is busy, five seconds at most."""
    for _ in range(50):
        before = sum(worker.processor_s() for worker in workers)
        time.sleep(0.1)
        if sum(worker.processor_s() for worker in workers) - before < 0.015:  # a tick of the system's clock
            return


@dataclass(frozen=True, kw_only=True)
class _Typed:
    """An engine's answers: milliseconds a keystroke, those of the first at new places, and which lines were right."""

    times_ms: list[float] = field(default_factory=list)
    new_place_ms: list[float] = field(default_factory=list)
    exact: list[bool] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def figures(self, first: _Typed) -> dict[str, float]:
        """Return percentiles and shares; `same_answers`: keystrokes that the first engine answered alike."""
        same = [text == other for text, other in zip(self.texts, first.texts, strict=True)]
        return {
            f"{name}_ms_p{share}": round(float(np.percentile(times, share)), 1)
            for name, times in (("completion", self.times_ms), ("new_place", self.new_place_ms))
            for share in (50, 95)
        } | {"exact_match": sum(self.exact) / len(self.exact), "same_answers": sum(same) / len(same)}


def _type_passages(workload: Workload, workers: Sequence[_Worker], display: StageDisplay) -> dict[str, _Typed]:
    """Return each engine's answers. A line counts as right if its first keystroke was answered with the whole line."""
    typed = {worker.name: _Typed() for worker in workers}
    with display.stage("type passages") as advance:
        for number, passage in enumerate(workload.passages):
            for worker in _in_turn(workers, number):
                _rest(workers)
                notes = typed[worker.name]
                for stroke in passage:
                    reported = worker.ask("complete", before=stroke.before, behind=stroke.behind, path=stroke.path)
                    notes.times_ms.append(reported["milliseconds"])
                    notes.texts.append(reported["text"])
                    if stroke.is_new_place:
                        notes.new_place_ms.append(reported["milliseconds"])
                    if stroke.is_new_line:
                        notes.exact.append(is_exact(reported["text"], stroke.truth))
            advance(number + 1, len(workload.passages))
    return typed


def _in_turn(workers: Sequence[_Worker], number: int) -> list[_Worker]:
    """Return the workers in an order that differs by turn, but not by run."""
    return random.Random(number).sample(workers, len(workers))
