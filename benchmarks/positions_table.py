"""What `benchmarks.single_positions`, `middle_bits` and `llama_vscode` have written, as Markdown tables.

python -m benchmarks.positions_table [FOLDER]

FOLDER is benchmarks/results if none is named; version-15 below it has the runs of that version.

Each repository is compared with the peer that has more of its lines right, both kinds together. The share of each
other peer has a row below. The tuned dense baseline, the base in our engine and the model-free ones, which are no
products, have rows of their own. Differences are paired. Their intervals go by how files (held-out lines) or commits
(lines added later) differ within a repository, since the lines of one are alike: see `benchmarks.clusters`. In rows
"all, as a sample of repositories" they go by how the repositories differ: a reader's own is another one. A table by
what was known of a line has each engine's share, then the sub-model's leads in points. The interval of bits goes by
files, too, if the results name them. Else it is a bootstrap over middles, drawn within each repository.

Of llama.vscode the first lines alone were asked. Its tables compare it with the other engines' answers to these.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.clusters import Cluster, by_cluster, clustered_mean
from benchmarks.llama_vscode import GREEDY, SAMPLED
from benchmarks.markdown import print_head, print_row
from builder.evaluation.metrics import Interval, bootstrap
from builder.evaluation.wording import difference
from laboratory.bench.bench_run import FIRST_ANSWER

OURS = ("submodel", FIRST_ANSWER)
TUNED = "dense base, fine-tuned"  # the tuned dense baseline's bundle, asked as another engine
UNTUNED = "base, our engine"  # the base as it is, in int8, asked as the sub-model is
BASELINES = (TUNED, UNTUNED, "n-gram", "similar line")
Pairs = list[tuple[int, int]]  # lines of a file or a commit: whether ours and the peer's are right
FILES = {"l": "in a learned file", "h": "in a held-out file", "n": "in a file that is new since"}
TEXTS = {
    "l": "text stands in a learned file",
    "h": "text stands in another place",
    "e": "edit of a line that the commit removes",
    "n": "new text",
}
TESTS = {"t": "of tests", "n": "of other code"}
KNOWN = {"texts": TEXTS, "tests": TESTS, "files": FILES}  # by field: what was known of a line, by letter
BETTER = "the better of each"
Q8 = "llama.cpp Q8_0"  # greedily, with the window of llama.vscode alone
KEPT_MS = 1000  # a ring that the server still had from the position before takes less
SAMPLE = "all, as a sample of repositories"
KINDS = {"held-out": "held-out lines", "later": "lines added later"}


def main(folder: Path = RESULTS) -> None:
    """Print lines right by kind and repository, then the times of a cold place."""
    paths = sorted(folder.glob("positions-*.json"))
    if not paths:
        raise SystemExit(f"{folder} has no positions-*.json; run `python -m benchmarks.single_positions` first.")
    documents = {path.stem.removeprefix("positions-"): read(path) for path in paths}
    for kind in KINDS:
        for ours in (*OURS, UNTUNED):
            print_lines(kind, ours, documents)
        print_known(kind, documents)
    with_snippets = {path.stem.removeprefix("llama-vscode-"): read(path) for path in folder.glob("llama-vscode-*.json")}
    print_llama_vscode(documents, dict(sorted(with_snippets.items())))
    _print_times(documents)
    _print_bits({path.stem.removeprefix("middle-bits-"): read(path) for path in folder.glob("middle-bits-*.json")})


def read(path: Path) -> dict[str, Any]:
    """A result of ours."""
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document


def print_lines(kind: str, ours: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a table of the lines that `ours` and the peers have right; nothing if `ours` was not asked."""
    found = {name: one for name, one in documents.items() if ours in one["kinds"].get(kind, {}).get("exact", {})}
    if not found:
        return
    print_head(KINDS[kind], "lines", ours, "peer", "its lines", "difference in points (95 %)")
    ranked = {name: peers(one) for name, one in found.items()}
    compared = [(one["kinds"][kind], ranked[name][0]) for name, one in found.items() if ranked[name]]
    for name, document in found.items():
        own, [best, *others] = document["kinds"][kind], ranked[name] or [""]
        if best:
            _print_lead(name, best, [_clusters(own, ours, best)])
        else:
            print_row(name, str(len(own["exact"][ours])), _percent(own["exact"][ours]), "none", "", "")
        for other in others:
            print_row(name, str(len(own["exact"][other])), "", other, _percent(own["exact"][other]), "")
        for baseline in BASELINES:
            if baseline in own["exact"] and baseline != ours:
                _print_lead(name, baseline, [_clusters(own, ours, baseline)])
    measured = [one["kinds"][kind] for one in found.values()]
    pooled = {
        baseline: [_clusters(own, ours, baseline) for own in measured if baseline in own["exact"]]
        for baseline in BASELINES
        if baseline != ours
    }
    pooled[BETTER] = [_clusters(own, ours, peer) for own, peer in compared]
    for peer, groups in pooled.items():
        _print_lead("all" if peer == BETTER else "all that have it", peer, groups)
    for peer, groups in pooled.items():
        _print_lead(SAMPLE, peer, [[_pairs_of([group]) for group in groups if group]])
    print()


def print_known(kind: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what each engine has right of the lines of a kind by what was known of them; nothing where none says so."""
    engines, led = (UNTUNED, TUNED, BETTER, "n-gram"), (UNTUNED, TUNED, BETTER)
    asked = []
    for document in documents.values():
        own, ranked = document["kinds"].get(kind, {}), peers(document)
        names = {engine: ranked[0] if engine == BETTER else engine for engine in engines} if ranked else {}
        if names and KNOWN.keys() <= own.keys() and {OURS[0], *names.values()} <= own["exact"].keys():
            asked.append((own, names))
    if not asked:
        return
    print_head(f"{KINDS[kind]}, by what was known", "lines", OURS[0], *engines, *led)
    for field, letters in KNOWN.items():
        if field == "files" and kind == "held-out":  # all are of held-out files
            continue
        for letter, meaning in letters.items():
            beside = {
                engine: [_clusters(own, OURS[0], names[engine], field, letter) for own, names in asked]
                for engine in engines
            }
            if lines := _pairs_of(beside[BETTER]):
                shares = [_share(beside[engine], side=1) for engine in engines]
                leads = [_difference(beside[engine]) for engine in led]
                print_row(meaning, str(len(lines)), _share(beside[BETTER], side=0), *shares, *leads)
    print()


def print_llama_vscode(
    documents: Mapping[str, Mapping[str, Any]], with_snippets: Mapping[str, Mapping[str, Any]]
) -> None:
    """Print the lines that llama.vscode has right with its snippets, beside the same lines of others, and its times.

    documents, with_snippets: what `single_positions` and `llama_vscode` have written, by repository.
    """
    if not with_snippets:
        return
    titles = ("lines", OURS[0], SAMPLED, "lead (95 %)", GREEDY, "llama.cpp, no snippets", "snippets bring (95 %)")
    print_head("with snippets", *titles)
    for kind, heading in KINDS.items():
        pairs = ((OURS[0], SAMPLED), (GREEDY, Q8))
        groups = {
            name: [_clusters(_first_lines(documents[name], one, kind), *pair) for pair in pairs]
            for name, one in with_snippets.items()
        }
        for name, names in [*((name, [name]) for name in groups), ("all", list(groups))]:
            led, brought = ([groups[one][place] for one in names] for place in (0, 1))
            shares = [_share(led, 0), _share(led, 1), _difference(led), _share(brought, 0), _share(brought, 1)]
            print_row(f"{name}, {heading}", str(len(_pairs_of(led))), *shares, _difference(brought))
    print()
    print_head("median with snippets", "snippets", "to read them", "then a line at a new place", "whole answer")
    for name, one in with_snippets.items():
        answers = [answer for own in one["kinds"].values() for answer in own["answers"]]
        read_s = [answer["ring_ms"] / 1000 for answer in answers if answer["ring_ms"] > KEPT_MS]
        tokens, line_ms, whole_ms = (
            median(answer[key] for answer in answers) for key in ("ring_tokens", "line_ms", "answer_ms")
        )
        seconds = [f"{value:.1f} s" for value in (median(read_s), line_ms / 1000, whole_ms / 1000)]
        print_row(name, f"{tokens:,.0f} tokens", *seconds)
    print()


def _first_lines(document: Mapping[str, Any], with_snippets: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return what was measured of those first lines that llama.vscode was asked, with its answers beside the others'.

    Raises SystemExit if these are other lines.
    """
    own, asked = document["kinds"][kind], with_snippets["kinds"][kind]
    if own["lines_sha256"] != asked["lines_sha256"]:
        raise SystemExit("llama-vscode-*.json has the answers to other lines than positions-*.json; measure it again.")
    answers = asked["answers"]
    exact = {name: "".join("01"[bool(answer[name])] for answer in answers) for name in (SAMPLED, GREEDY)}
    exact |= {OURS[0]: own["exact"][OURS[0]][: len(answers)], Q8: own["exact"][Q8][: len(answers)]}
    return {"exact": exact, "clusters": own["clusters"][: len(answers)], "files": own["files"][: len(answers)]}


def _pairs_of(groups: Sequence[Sequence[Pairs]]) -> Pairs:
    return [pair for group in groups for cluster in group for pair in cluster]


def _share(groups: Sequence[Sequence[Pairs]], side: int) -> str:
    pairs = _pairs_of(groups)
    return f"{100 * sum(pair[side] for pair in pairs) / len(pairs):.1f} %"


def peers(document: Mapping[str, Any]) -> list[str]:
    """Return the peers of a repository, that with the most lines right of both kinds first; the first of equal ones."""
    right: dict[str, int] = {}
    for own in document["kinds"].values():
        for name, bits in own["exact"].items():
            if name not in (*OURS, *BASELINES):
                right[name] = right.get(name, 0) + bits.count("1")
    return sorted(right, key=lambda name: -right[name])


def _print_lead(name: str, peer: str, groups: Sequence[Sequence[Pairs]]) -> None:
    lines = _pairs_of(groups)
    if not lines:
        return
    print_row(name, str(len(lines)), _share(groups, side=0), peer, _share(groups, side=1), _difference(groups))


def _difference(groups: Sequence[Sequence[Pairs]]) -> str:
    drawn = lead([group for group in groups if group])  # a repository may have no line of a kind
    is_possible = drawn.low >= -100 and drawn.high <= 100
    return difference(drawn.to_json()) if is_possible else f"{drawn.value:+.1f} (too few for an interval)"


def _percent(bits: str) -> str:
    return f"{100 * bits.count('1') / len(bits):.1f} %"


def _clusters(measured: Mapping[str, Any], ours: str, peer: str, field: str = "files", letter: str = "") -> list[Pairs]:
    """Return the pairs of a repository by file or commit; `letter`: of lines with this letter in `field` alone."""
    exact = measured["exact"]
    rows = zip(exact[ours], exact[peer], measured["clusters"], measured[field], strict=True)
    chosen = [((int(own), int(other)), number) for own, other, number, kind in rows if not letter or kind == letter]
    return by_cluster((number for _, number in chosen), (pair for pair, _ in chosen))


def lead(groups: Sequence[Sequence[Pairs]]) -> Interval:
    """Points by which the first of each pair (right or not, ours and the peer's) leads; a group is a repository."""
    return clustered_mean(
        [
            [Cluster(100.0 * sum(own - peer for own, peer in cluster), len(cluster)) for cluster in group]
            for group in groups
        ]
    )


def saving(groups: Sequence[Sequence[tuple[float, float]]], files: Sequence[Sequence[str]] = ()) -> Interval:
    """Percent of bits that the first of each pair (ours, the base's) needs more; a group is a repository.

    files: the file of each pair, whose middles are alike.
    """
    if files:
        clustered = map(by_cluster, files, groups)
        ratio = clustered_mean([[Cluster(*map(sum, zip(*one, strict=True))) for one in group] for group in clustered])
        return Interval(*(100 * (one - 1) for one in (ratio.value, ratio.low, ratio.high)))
    nats = [pair for group in groups for pair in group]

    def percent(indices: Sequence[int]) -> float:
        return 100 * (sum(nats[i][0] for i in indices) / sum(nats[i][1] for i in indices) - 1)

    return bootstrap(percent, len(nats), groups=list(map(len, groups)))


def _print_times(documents: Mapping[str, Mapping[str, Any]]) -> None:
    print_head("a cold place", "engine", "median", "95th percentile", "memory")
    for name, document in documents.items():
        for kind, heading in KINDS.items():
            for engine in document["kinds"].get(kind, {}).get("engines", ()):
                seconds = [f"{engine[f'new_place_ms_p{share}'] / 1000:.2f} s" for share in (50, 95)]
                print_row(f"{name}, {heading}", engine["name"], *seconds, f"{engine['resident_bytes'] / 1e6:.0f} MB")
    print()


def _print_bits(documents: Mapping[str, Mapping[str, Any]]) -> None:
    if not documents:
        return
    print_head("bits of missing middles", "middles", "model", "against", "difference (95 %)")
    for model, against in (("sub-model", "base"), (TUNED, "base"), ("sub-model", TUNED)):
        groups = {
            name: list(zip(one["middle_nats"][model], one["middle_nats"][against], strict=True))
            for name, one in sorted(documents.items())
            if {model, against} <= one["middle_nats"].keys()
        }
        for name, names in [*((name, [name]) for name in groups), ("all", list(groups))]:
            chosen = [groups[one] for one in names]
            if chosen:
                files = [documents[one]["middle_files"] for one in names if "middle_files" in documents[one]]
                drawn = saving(chosen, files if len(files) == len(names) else ())
                row = difference(drawn.to_json(), unit=" %")
                print_row(name, str(sum(map(len, chosen))), model, against, row)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
