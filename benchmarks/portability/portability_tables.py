"""The tables of docs/runtimes.md, from the figures that the other programs here left.

python -m benchmarks.portability.portability_tables
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.markdown import print_head, print_row


def main() -> None:
    """Runtimes, then precisions, a table each for every base; then architectures."""
    for path in sorted(RESULTS.glob("runtimes-*.json")):
        document = json.loads(path.read_text("utf-8"))
        print(f"## {path.stem}: {document['prompts']} prompts of {document['tokens']} tokens\n")
        print_runtimes(document["cells"])
    for path in sorted(RESULTS.glob("precisions-*.json")):
        print(f"## {path.stem}\n")
        print_precisions(json.loads(path.read_text("utf-8"))["precisions"])
    print("## architectures\n")
    print_architectures(json.loads((RESULTS / "architectures.json").read_text("utf-8"))["architectures"])


def print_runtimes(cells: Sequence[Mapping[str, Any]]) -> None:
    """Answers that are the checkpoint's, of all; in brackets the tokens before the first that differs."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in cells:
        rows.setdefault((one["runtime"], one.get("version", "")), {})[one["precision"]] = _cell(one)
    precisions = list(dict.fromkeys(one["precision"] for one in cells))
    print_head("runtime", *precisions)
    for (runtime, version), reported in rows.items():
        print_row(f"{runtime} {version}".strip(), *(reported.get(precision, "") for precision in precisions))
    print()


def print_precisions(rows: Iterable[Mapping[str, Any]]) -> None:
    """Size, agreement, loss, speed."""
    print_head("precision", "size", "greedy tokens as float32", "loss", "prompt, tokens/s", "decode, tokens/s")
    for row in rows:
        agreement, loss = row["greedy_agreement"], row["loss_increase"]
        print_row(
            f"{row['precision']} (`{row['file']}`)",
            f"{row['bytes'] / 1e6:,.0f} MB",
            "" if agreement is None else f"{agreement:.1%}",
            "" if loss is None else f"{loss:+.2%}",
            f"{row['prompt_tokens_per_s']:,.0f}",
            f"{row['decode_tokens_per_s']:,.0f}",
        )
    print()


def print_architectures(rows: Iterable[Mapping[str, Any]]) -> None:
    """What exported each type, and how far its logits were from transformers'; or why it could not be."""
    print_head("type", "by", "largest difference of a logit")
    for row in rows:
        if row["by"] is None:
            print_row(f"`{row['type']}`", "nothing", row["why"].partition(" (")[0].partition(";")[0])
        else:
            share = row["max_logit_difference"] / row["logit_scale"]
            print_row(f"`{row['type']}`", row["by"], f"{share:.0e} of the largest logit")
    print()


def _cell(one: Mapping[str, Any]) -> str:
    if "same_answers" not in one:
        return "missing" if "missing" in one else "failed"
    return f"{one['same_answers']} ({one['tokens_before_first_difference']} of {one['tokens']})"


if __name__ == "__main__":
    main()
