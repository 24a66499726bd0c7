"""The results of `benchmarks.repository_matters` as Markdown: each repository, and all positions together.

python -m benchmarks.matters_table
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.markdown import print_head, print_row
from benchmarks.repository_matters import QUESTIONS
from builder.evaluation.metrics import Interval, bootstrap, mean
from builder.evaluation.wording import change, points


def main() -> None:
    """Print it, base by base."""
    documents = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("matters-*.json"))]
    for base in sorted({_base(document) for document in documents}):
        print(f"**{base}**\n")
        chosen = [document for document in documents if _base(document) == base]
        _print_models(chosen)
        print()
        _print_comparisons(chosen)
        print()


def _base(document: Mapping[str, Any]) -> str:
    return str(document["command"].split("--base ")[1].split()[0])


def _print_models(documents: Sequence[Mapping[str, Any]]) -> None:
    names = [model["name"] for model in documents[0]["models"]] + [row["name"] for row in documents[0]["baselines"]]
    print_head("", "parameters", *map(_title, documents))
    for name in names:
        rows = [_row(document, name) for document in documents]
        sizes = sorted({row["parameters"] for row in rows if "parameters" in row})
        print_row(name, f"{sizes[0] / 1e6:.0f} M" if sizes else "", *map(_cell, rows))


def _row(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(row for row in [*document["models"], *document["baselines"]] if row["name"] == name)


def _cell(row: Mapping[str, Any]) -> str:
    bits = f", {row['bits_per_byte']:.3f}" if "bits_per_byte" in row else ""
    return f"{row['fim_exact_match']:.1%}{bits}"


def _print_comparisons(documents: Sequence[Mapping[str, Any]]) -> None:
    print_head("difference", *map(_repository, documents), "all together")
    for left, right in QUESTIONS:
        each = [_reported(*_figures([document], left, right)) for document in documents]
        print_row(f"{left} − {right}", *each, _reported(*_figures(documents, left, right)))


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


def _reported(exact: Interval, bits: Interval) -> str:
    return f"{points(exact.to_json())}; bits {change(bits.to_json())}"


def _title(document: Mapping[str, Any]) -> str:
    return f"{_repository(document)} ({document['language']})"


def _repository(document: Mapping[str, Any]) -> str:
    return str(document["repository"].split()[1])


if __name__ == "__main__":
    main()
