"""What `benchmarks.replays` has written, as Markdown tables, with all repositories together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.clusters import Cluster, clustered_mean, clustered_ratio
from benchmarks.markdown import print_head, print_row
from builder.evaluation.metrics import Interval

WAYS = ("waiting", "at a pace")
BASELINE, SERVER = 0, 1  # the runs of a way
TOGETHER = "all"
SAMPLE = "all, as a sample of repositories"
KINDS = ("held-out", "later")
Typed = Mapping[str, Any]  # one kind of passages of one repository, as the file has it
Each = Mapping[str, Sequence[int]]  # by what is counted: its count in each passage
Counts = Callable[[Each], tuple[Sequence[int], Sequence[int]]]  # of each passage: a part, and all


def main() -> None:
    """Print what is saved and what is shown: a row for each repository and kind of passages, and one for each kind."""
    documents = read_replays()
    if not documents:
        raise SystemExit(f"{RESULTS} has no replay-NAME.json; run `python -m benchmarks.replays` first.")
    rows = [
        (name, kind, [documents[one]["kinds"][kind] for one in (documents if name == TOGETHER else (name,))])
        for kind in KINDS
        for name in (*documents, TOGETHER)
    ]
    print_head("repository", "passages", "keystrokes", *(f"saved, {way}" for way in WAYS), "by the most similar line")
    for name, kind, typed in rows:
        columns = [saved(typed, way) for way in WAYS] + [saved(typed, WAYS[0], BASELINE)]
        print_row(name, kind, f"{count(typed, WAYS[0], 'keys_alone'):,}", *map(_percent, columns))
        if name == TOGETHER:
            runs = [*((way, SERVER) for way in WAYS), (WAYS[0], BASELINE)]
            print_row(SAMPLE, kind, "", *(_percent(saved_in_others(typed, *run)) for run in runs))
    print()
    print_head(
        "repository",
        "passages",
        f"suggestions, {' and '.join(WAYS)}",
        *(f"wrong, {way}" for way in WAYS),
        "requests too late",
    )
    for name, kind, typed in rows:
        shown = " and ".join(f"{count(typed, way, 'shown'):,}" for way in WAYS)
        late = count(typed, WAYS[1], "late") / count(typed, WAYS[1], "asked")
        print_row(name, kind, shown, *(_percent(wrong(typed, way)) for way in WAYS), f"{100 * late:.0f} %")


def read_replays() -> dict[str, dict[str, Any]]:
    """Return the documents, by the repository's name."""
    paths = sorted(RESULTS.glob("replay-*.json"))
    documents = {path.stem.removeprefix("replay-"): json.loads(path.read_text("utf-8")) for path in paths}
    return {name: document for name, document in documents.items() if "kinds" in document}


def count(kinds: Sequence[Typed], way: str, what: str) -> int:
    """Return how often something happened while the server was asked."""
    return sum(sum(one[way]["runs"][SERVER]["each"][what]) for one in kinds)


def saved(kinds: Sequence[Typed], way: str, run: int = SERVER) -> Interval:
    """Return the share of the keystrokes that are saved, with its 95 % interval over files or commits."""
    return _share(kinds, way, run, _saved_keys)


def saved_in_others(kinds: Sequence[Typed], way: str, run: int = SERVER) -> Interval:
    """Return the share that is saved, with its interval over repositories: a reader's own is another one."""
    each = [_saved_keys(kind[way]["runs"][run]["each"]) for kind in kinds]
    return clustered_mean([[Cluster(sum(part), sum(whole)) for part, whole in each]])


def _saved_keys(each: Each) -> tuple[Sequence[int], Sequence[int]]:
    """Return how many keystrokes each passage saves, and how many it takes alone."""
    pairs = zip(each["keys_alone"], each["keys"], strict=True)
    return [alone - keys for alone, keys in pairs], each["keys_alone"]


def wrong(kinds: Sequence[Typed], way: str) -> Interval:
    """Return the share of the suggestions that are wrong, likewise."""
    return _share(kinds, way, SERVER, lambda each: (each["wrong"], each["shown"]))


def _share(kinds: Sequence[Typed], way: str, run: int, counts: Counts) -> Interval:
    return clustered_ratio([(one["clusters"], *counts(one[way]["runs"][run]["each"])) for one in kinds])


def _percent(share: Interval) -> str:
    low, high = max(0.0, share.low), min(1.0, share.high)
    return f"{100 * share.value:.1f} % ({100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    main()
