"""The results of `benchmarks.repository_matters` as Markdown: each repository, and all positions together.

python -m benchmarks.matters_table
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.repository_matters import QUESTIONS
from builder.evaluation.metrics import Interval, bootstrap, mean
from builder.evaluation.wording import change, points

BUILD_STAGES = ("score the base", "prune", "finetune", "export", "score the sub-model")


def main() -> None:
    """Print it, base by base."""
    documents = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("matters-*.json"))]
    for base in sorted({_base(document) for document in documents}):
        print(f"**{base}**\n")
        chosen = [document for document in documents if _base(document) == base]
        print("\n".join(_models(chosen)), end="\n\n")
        print("\n".join(_comparisons(chosen)), end="\n\n")
        print("\n".join(map(_took, chosen)), end="\n\n")


def _base(document: Mapping[str, Any]) -> str:
    return str(document["command"].split("--base ")[1].split()[0])


def _models(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [model["name"] for model in documents[0]["models"]] + [row["name"] for row in documents[0]["baselines"]]
    lines = [
        f"| | parameters | {' | '.join(_title(one) for one in documents)} |",
        f"| --- | --- |{' --- |' * len(documents)}",
    ]
    for name in names:
        rows = [_row(document, name) for document in documents]
        sizes = sorted({row["parameters"] for row in rows if "parameters" in row})
        size = f"{sizes[0] / 1e6:.0f} M" if sizes else ""
        lines.append(f"| {name} | {size} | {' | '.join(map(_cell, rows))} |")
    return lines


def _row(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(row for row in [*document["models"], *document["baselines"]] if row["name"] == name)


def _cell(row: Mapping[str, Any]) -> str:
    bits = f", {row['bits_per_byte']:.3f}" if "bits_per_byte" in row else ""
    return f"{row['fim_exact_match']:.1%}{bits}"


def _comparisons(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"| difference | {' | '.join(_repository(one) for one in documents)} | all together |",
        f"| --- |{' --- |' * (len(documents) + 1)}",
    ]
    for left, right in QUESTIONS:
        each = [_reported(*_figures([document], left, right)) for document in documents]
        lines.append(f"| {left} − {right} | {' | '.join(each)} | {_reported(*_figures(documents, left, right))} |")
    return lines


def _figures(documents: Sequence[Mapping[str, Any]], left: str, right: str) -> tuple[Interval, Interval]:
    """Exact match left − right, and bits per byte left / right, over the positions of all documents together."""
    ours, theirs = ("".join(document["exact"][name] for document in documents) for name in (left, right))
    pairs = [int(a) - int(b) for a, b in zip(ours, theirs, strict=True)]
    nats = [
        pair
        for document in documents
        for pair in zip(document["excerpt_nats"][left], document["excerpt_nats"][right], strict=True)
    ]
    return (
        bootstrap(lambda drawn: mean([pairs[i] for i in drawn]), len(pairs), groups=_sizes(documents, "exact", left)),
        bootstrap(
            lambda drawn: sum(nats[i][0] for i in drawn) / sum(nats[i][1] for i in drawn),
            len(nats),
            groups=_sizes(documents, "excerpt_nats", left),
        ),
    )


def _sizes(documents: Sequence[Mapping[str, Any]], key: str, name: str) -> list[int]:
    return [len(document[key][name]) for document in documents]


def _plain(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _reported(exact: Interval, bits: Interval) -> str:
    return f"{points(_plain(exact))}; bits {change(_plain(bits))}"


def _took(document: Mapping[str, Any]) -> str:
    """What the repository's build took, and the dense baseline's beside it."""
    own, dense_baseline, times = (
        document["builds"]["repository"],
        document["builds"]["dense base, fine-tuned"],
        document["milliseconds"],
    )
    seconds = {row["name"]: row["seconds"] for row in own["stages"]}
    stages = [name for name in BUILD_STAGES if name in seconds]
    reported = ", ".join(f"{name} {seconds[name]:.0f}" for name in stages)
    ours, theirs, parity = times["sub-model"], times["dense base, fine-tuned"], own["parity"]
    return (
        f"- {_repository(document)}, {document['machine']['processor']} (model {document['machine']['model']}): "
        f"{sum(seconds[name] for name in stages):.0f} s with 200 lines scored ({reported}); "
        f"{own['finetuning']['tokens']:,} tokens fine-tuned in {own['finetuning']['minutes']:.1f} min, the dense base "
        f"{dense_baseline['finetuning']['tokens']:,}; bundle {own['bundle_bytes'] / 1e6:.0f} MB, the dense base's "
        f"{dense_baseline['bundle_bytes'] / 1e6:.0f} MB; "
        f"a line from nothing takes {ours['p50']:.0f} ms at the median and "
        f"{ours['p95']:.0f} ms at the 95th percentile, with the dense base's bundle {theirs['p50']:.0f} and "
        f"{theirs['p95']:.0f} ms; bundle against fp32: {parity['greedy_agreement']:.1%} of greedy tokens, loss "
        f"{parity['loss_increase']:+.2%}; peak memory {own['peak_rss_bytes'] / 2**30:.1f} GiB"
    )


def _title(document: Mapping[str, Any]) -> str:
    return f"{_repository(document)} ({document['language']})"


def _repository(document: Mapping[str, Any]) -> str:
    return str(document["repository"].split()[1])


if __name__ == "__main__":
    main()
