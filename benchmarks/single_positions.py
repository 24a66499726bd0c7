r"""Single positions of a repository, asked of bundles, llama.cpp and model-free baselines: held out, and added later.

    python -m benchmarks.single_positions BUNDLE REPOSITORY --since REVISION --built CHECKOUT --name httpx \
        --peer "llama.cpp Q8_0=FILE" --llama-python PYTHON [--count 150]
    python -m benchmarks.single_positions BUNDLE REPOSITORY --since REVISION --built CHECKOUT --name httpx \
        --again bundle|peers|model-free [--other-build] [--peer "dense base, fine-tuned=BUNDLE"]

BUNDLE was built of REPOSITORY as it stood at REVISION; REPOSITORY has its whole history. Held-out lines come from the
folder that --built names (a checkout of REVISION), later ones from the commits after it. Each position is cold: the
engine saw another one before. The bundle is asked twice: "submodel" reads its whole window, as after reading ahead;
"submodel, first answer" answers as the server does at once, from the text near the cursor. Each --peer is one more
engine: a file for llama.cpp, or another bundle, whose whole window is read. Writes
benchmarks/results/positions-NAME.json, with the file or commit that each line is of, since lines of one commit are
alike, and with what the build knew of it. --again asks the same positions. llama.cpp's answers, and all times, are kept
from the first run. With "bundle" the bundle is asked, and each bundle that --peer names, as after a change of the
server. It takes the build whose answers are in the file, unless --other-build says that another one is meant. With
"peers" those of --peer alone are asked, and with "model-free" the model-free baselines, which know the files that the
build learned; BUNDLE then only says which files were learned and held out. "origins" says for each engine which build
or file gave its answers, by which command; the rest of the file describes the first run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS, run_program, write_result
from benchmarks.clusters import cluster_numbers
from benchmarks.machine import describe_machine, describe_versions
from builder.corpus.changes import renames_since
from builder.corpus.corpus import SourceFile, read_corpus
from builder.evaluation.baselines import NGram, complete_by_similar_line
from builder.evaluation.metrics import is_exact
from builder.fim_examples import FimExample
from contract.bundle.bundle import read_bundle
from contract.console import StageDisplay
from contract.repository.git import run_git
from laboratory.bench.bench_run import FIRST_ANSWER, BenchSettings, check_unlearned, describe_peers, run_bench
from laboratory.bench.bench_table import print_bench
from laboratory.bench.bundle_worker import BundleWorker
from laboratory.bench.workload import Keystroke, WorkloadSettings, hash_strokes, make_workload
from laboratory.replay.passages import removed_by

MODEL_FREE = ("similar line", "n-gram")
AGAIN = ("bundle", "peers", "model-free")
EDITED = 0.8  # of difflib: a line that is as much like one that its commit removes is an edit of that
KEPT = ("engines", "ratios", "exact", "lines", "source", "threads")


def main() -> None:
    """Ask both kinds, one after the other, and keep the figures."""
    parser = positions_parser(__doc__)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--llama-python", default=sys.executable)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--again", choices=AGAIN, help="ask these alone, at the positions of NAME.json")
    parser.add_argument("--other-build", action="store_true", help="with --again bundle: it is of another build")
    arguments = parser.parse_args()
    if arguments.other_build and arguments.again != "bundle":
        parser.error("--other-build goes with --again bundle")
    peers = tuple((name, Path(file)) for name, _, file in (text.partition("=") for text in arguments.peer))
    if arguments.again:
        ask_again(arguments, peers)
        return
    versions = describe_versions()
    origin = {
        "bundle_build": read_bundle(arguments.bundle).build,
        "peers": describe_peers(peers),
    }
    workloads = {
        kind: (repository, WorkloadSettings(passages=arguments.count, lines=1, keys=1, since=since))
        for kind, repository, since in sources_of(arguments)
    }
    folders = [arguments.bundle, *(file for _, file in peers if file.is_dir())]
    asked = {kind: draw_positions(folders, *workload) for kind, workload in workloads.items()}
    renames = find_renames(arguments.repository, arguments.since)
    described = {kind: describe_lines(asked[kind], arguments, renames) for kind in asked}
    check_built(described["later"]["files"], arguments.bundle, arguments.built)
    kinds: dict[str, Any] = {}
    for kind, workload in workloads.items():
        document = ask_all(arguments, peers, *workload)
        kinds[kind] = {key: document[key] for key in KEPT} | described[kind]
        kinds[kind]["exact"] |= model_free(asked[kind], arguments.bundle, arguments.built)
        reported = {
            "command": "python -m benchmarks.single_positions BUNDLE REPOSITORY --built CHECKOUT "
            f"--since {arguments.since} --name {arguments.name} --count {arguments.count} "
            + " ".join(f'--peer "{name}=FILE"' for name, _ in peers),
            **origin,
            "kinds": kinds,
            "machine": describe_machine(),
            "versions": {**versions, **document["versions"]},
        }
        write_result(f"positions-{arguments.name}", reported)  # each kind takes half an hour without a GPU


def positions_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the arguments that say where positions come from, and what their file is called."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--built", type=Path, required=True, help="the checkout that the bundle was built of")
    parser.add_argument("--since", required=True)
    parser.add_argument("--name", required=True)
    return parser


def ask_all(
    arguments: argparse.Namespace, peers: tuple[tuple[str, Path], ...], repository: Path, workload: WorkloadSettings
) -> dict[str, Any]:
    """Ask the bundle and all peers for the lines of one kind; return what `run_bench` does."""
    settings = BenchSettings(
        bundle=arguments.bundle,
        repository=repository,
        peers=peers,
        peer_python=arguments.llama_python,
        workload=workload,
        rounds=2,
        with_plain=False,
        with_first_answer=True,
    )
    with StageDisplay() as display:
        document = run_bench(settings, display)
    print_bench(document)
    return document


def check_built(files: str, bundle: Path, built: Path) -> None:
    """Stop if no later line is of a file that the bundle knows: it was not built of that checkout.

    files: those of `describe_lines`, of the later lines.
    """
    if files and not files.strip("n"):
        raise SystemExit(
            f"No line was added to a file that {bundle} learned or held out, so it was not built of {built}; "
            "name the checkout that it was built of with --built."
        )


def check_build(reported: Mapping[str, Any], build: str, path: Path) -> None:
    """Stop if the bundle's answers in an earlier run's document are of another build, as far as it says."""
    known = origins_of(reported)["submodel"].get("sha256", build)
    if known != build:
        raise SystemExit(
            f"{path} has the answers of another build of the bundle ({known[:12]}, this one is {build[:12]}); name "
            "that one, measure all again without --again, or add --other-build."
        )


def origins_of(reported: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for each engine what gave its answers: the SHA-256 of the build or file, command, machine and versions.

    A document of the first run alone has no "origins": it describes that run.
    """
    return dict(reported["origins"]) if "origins" in reported else _origins_of_run(reported)


def put_origins(reported: dict[str, Any], run: Mapping[str, Any], own: Sequence[str]) -> None:
    """Put what gave the engines' new answers into an earlier run's document. What it says of other engines stays.

    own: the names under which the run asked the bundle itself and the model-free baselines.
    """
    reported["origins"] = origins_of(reported) | _origins_of_run(run, own)


def _origins_of_run(
    run: Mapping[str, Any], own: Sequence[str] = ("submodel", FIRST_ANSWER, *MODEL_FREE)
) -> dict[str, dict[str, Any]]:
    names = {"bundle_build": "sha256", "command": "command", "machine": "machine", "versions": "versions"}
    origin = {name: run[key] for key, name in names.items() if key in run}
    return dict.fromkeys(own, origin) | {name: origin | peer for name, peer in run.get("peers", {}).items()}


def sources_of(arguments: argparse.Namespace) -> tuple[tuple[str, Path, str | None], ...]:
    """Each kind of position, the folder that it comes from, and the revision that its lines are later than."""
    return ("held-out", arguments.built, None), ("later", arguments.repository, arguments.since)


def draw_positions(bundles: Sequence[Path], repository: Path, settings: WorkloadSettings) -> list[Keystroke]:
    """Return what the first bundle held out of a repository, or what was added later. Stops if a bundle learned it."""
    held_out = read_bundle(bundles[0], verify=False).manifest.get("held_out_sha256", ())
    workload = make_workload(repository, settings, held_out)
    check_unlearned(bundles, workload, settings.since)
    return workload.strokes


def draw_again(
    bundles: Sequence[Path], repository: Path, since: str | None, kind: str, drawn: Mapping[str, Any], path: Path
) -> list[Keystroke]:
    """Return the positions of a kind that an earlier run asked; stop if they can't be drawn again.

    drawn: what the file `path` says of the kind.
    """
    strokes = draw_positions(
        bundles, repository, WorkloadSettings(passages=drawn["lines"], lines=1, keys=1, since=since)
    )
    if hash_strokes(strokes) != drawn["lines_sha256"]:
        raise SystemExit(
            f"The {kind} lines are not those of {path}, so the answers in it belong to others: the repository, the "
            "build or the way to draw lines differs. Check out the commit of this program that the file names, or "
            "measure all again without --again."
        )
    return strokes


def find_renames(repository: Path, since: str) -> Mapping[str, str]:
    """Return the path at a revision of each file that was renamed since, by its path at HEAD."""
    commit = run_git(repository, "rev-parse", "--verify", "--end-of-options", f"{since}^{{commit}}")
    renames = renames_since(repository, commit.decode("ascii").strip())
    return {} if renames is None else renames.paths


def describe_lines(
    asked: Sequence[Keystroke], arguments: argparse.Namespace, renames: Mapping[str, str]
) -> dict[str, Any]:
    """Return a hash of what is asked, and of each line the number of its commit, or file, and what was known of it.

    "files": a letter a line for the file as it was built, by another name perhaps (`find_renames`): l learned, h held
    out, n not there. "texts": see `texts_of`. "tests": t if the path says that the file is one of tests, else n.
    arguments: "bundle", "built" and "repository" of the command line.
    """
    manifest = read_bundle(arguments.bundle, verify=False).manifest
    held_out = frozenset(manifest.get("held_out_sha256", ()))
    learned = frozenset(manifest.get("learned_sha256", ()))
    corpus, paths = read_corpus(arguments.built), [stroke.path for stroke in asked]
    letters = {
        file.path: "h" if file.sha256 in held_out else "l" if file.sha256 in learned else "n" for file in corpus.files
    }
    commits = {stroke.commit for stroke in asked if stroke.commit}
    removed = {commit: removed_by(arguments.repository, commit) for commit in commits}
    return {
        "lines_sha256": hash_strokes(asked),
        "clusters": cluster_numbers([stroke.cluster for stroke in asked]),
        "files": "".join(letters.get(path) or letters.get(renames.get(path, ""), "n") for path in paths),
        "texts": texts_of(asked, corpus.files, learned, removed),
        "tests": "".join("t" if "test" in path.lower() else "n" for path in paths),
    }


def texts_of(
    asked: Sequence[Keystroke],
    files: Iterable[SourceFile],
    learned_sha256: Collection[str],
    removed: Mapping[str, Mapping[str, Sequence[str]]],
) -> str:
    """Return a letter for each line that is asked: where a line of this text stood when the build read the repository.

    l: in a code file that it learned. h: in another code file, or at another place of the line's own one. e: nowhere,
    but the commit that adds the line removes one of the same file that is like it (EDITED). n: nowhere. removed: by
    commit and path (`removed_by`).
    """
    learned: set[str] = set()
    others: Counter[str] = Counter()
    for file in files:
        if file.is_code:
            (learned if file.sha256 in learned_sha256 else others).update(map(str.strip, file.text.split("\n")))

    def letter(stroke: Keystroke) -> str:
        line = f"{stroke.before}{stroke.truth}".rpartition("\n")[2].strip()
        if line in learned:
            return "l"
        if others[line] > (not stroke.commit):  # a held-out line stands there itself
            return "h"
        return "e" if is_edit(line, removed.get(stroke.commit, {}).get(stroke.path, ())) else "n"

    return "".join(map(letter, asked))


def is_edit(line: str, removed: Iterable[str]) -> bool:
    """Return whether a line is like one of these by EDITED or more, whatever their indentation."""
    matcher = SequenceMatcher(None, b=line, autojunk=False)
    for other in removed:
        matcher.set_seq1(other.strip())
        if matcher.quick_ratio() >= EDITED and matcher.ratio() >= EDITED:
            return True
    return False


def model_free(asked: Sequence[Keystroke], bundle: Path, built: Path) -> dict[str, str]:
    """Return for each model-free baseline which of the lines it has right, a digit a line."""
    learned = frozenset(read_bundle(bundle, verify=False).manifest.get("learned_sha256", ()))
    n_gram = NGram.of(file for file in read_corpus(built).files if file.sha256 in learned)
    exact: dict[str, str] = {}
    for name, complete in zip(MODEL_FREE, (complete_by_similar_line, n_gram.complete), strict=True):
        right = [is_exact(complete(_example(stroke)), stroke.truth) for stroke in asked]
        exact[name] = "".join("01"[is_right] for is_right in right)
    return exact


def _example(stroke: Keystroke) -> FimExample:
    return FimExample.of_parts(stroke.before, stroke.truth, stroke.behind, path=stroke.path)


def ask_again(arguments: argparse.Namespace, peers: Sequence[tuple[str, Path]]) -> None:
    """Put the bundle's new answers, and those of other bundles, beside the others' of an earlier run."""
    path = RESULTS / f"positions-{arguments.name}.json"
    reported = json.loads(path.read_text("utf-8"))
    build = read_bundle(arguments.bundle).build
    if arguments.again == "bundle" and not arguments.other_build:
        check_build(reported, build, path)
    renames = find_renames(arguments.repository, arguments.since)
    asked: dict[str, list[Keystroke]] = {}
    bundles = [arguments.bundle, *(folder for _, folder in peers)]
    for kind, repository, since in sources_of(arguments):
        figures = reported["kinds"][kind]
        asked[kind] = draw_again(bundles, repository, since, kind, figures, path)
        if arguments.again != "peers":
            figures.update(describe_lines(asked[kind], arguments, renames))
    check_built(reported["kinds"]["later"]["files"], arguments.bundle, arguments.built)
    threads = reported["kinds"]["held-out"]["threads"]
    own = (("submodel", False), (FIRST_ANSWER, True)) if arguments.again == "bundle" else ()
    workers = {
        name: BundleWorker(str(arguments.bundle), threads, has_drafts=True, is_first_answer=is_first)
        for name, is_first in own
    }
    if arguments.again != "model-free":
        workers |= {name: BundleWorker(str(folder), threads, has_drafts=True) for name, folder in peers}
    for kind, strokes in asked.items():
        figures = reported["kinds"][kind]
        if arguments.again != "peers":
            figures["exact"] |= model_free(strokes, arguments.bundle, arguments.built)
        for name, worker in workers.items():
            right = [is_exact(worker.complete(one.before, one.behind, one.path)["text"], one.truth) for one in strokes]
            figures["exact"][name] = "".join("01"[is_right] for is_right in right)
        for engine in figures["engines"]:
            bits = figures["exact"].get(engine["name"])
            if bits is not None:
                engine["exact_match"] = bits.count("1") / len(bits)
            if own:
                engine.pop("same_answers", None)  # as the bundle's earlier answers
        figures.pop("leads", None)  # that earlier runs wrote: of earlier answers
    run = {
        "command": f"python -m benchmarks.single_positions BUNDLE REPOSITORY --built CHECKOUT "
        f"--since {arguments.since} --name {arguments.name} --again {arguments.again}"
        + " --other-build" * arguments.other_build
        + "".join(f' --peer "{name}=BUNDLE"' for name, _ in peers),
        "bundle_build": build,
        "peers": describe_peers(peers),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    put_origins(reported, run, own=[*(name for name, _ in own), *(() if arguments.again == "peers" else MODEL_FREE)])
    write_result(path.stem, reported)
    for kind, figures in reported["kinds"].items():
        print(kind, {name: bits.count("1") / len(bits) for name, bits in figures["exact"].items()})


if __name__ == "__main__":
    run_program(main)
