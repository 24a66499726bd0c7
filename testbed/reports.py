"""What builds and sweeps write: the document of a report, and a row of a sweep."""

from __future__ import annotations

from typing import Any


def model(name: str, parameters: int, bits: float, exact: float, positions: int = 200) -> dict[str, Any]:
    """Return the figures of one model."""
    return {
        "name": name,
        "parameters": parameters,
        "bytes": parameters * 2,
        "bits_per_byte": bits,
        "fim_exact_match": exact,
        "fim_exact_match_interval": [exact - 0.05, exact + 0.05],
        "fim_edit_similarity": 0.5,
        "positions": positions,
    }


def against_base(value: float, low: float, high: float) -> dict[str, Any]:
    """Return a comparison with the base model, with the interval of its difference."""
    return {
        "exact_match_difference": {"value": value, "low": low, "high": high},
        "bits_per_byte_ratio": {"value": 0.9, "low": 0.85, "high": 0.95},
    }


def answer(base: str, ours: str, truth: str = "x = 1") -> dict[str, Any]:
    """Return what two models answered at one place."""
    answers = {"base": base, "sub-model": ours}
    return {"path": "a.py", "offset": 3, "line": "    ", "truth": truth, "answers": answers, "milliseconds": 900.0}


def document(**changes: Any) -> dict[str, Any]:
    """Return a whole report, with some of its keys changed."""
    return {
        "models": [model("base", 494_000_000, 0.5, 0.2), model("sub-model", 300_000_000, 0.45, 0.3)],
        "against_base": {"sub-model": against_base(0.1, 0.02, 0.18)},
        "base": {"name": "qwen", "licence": "Apache-2.0"},
        "plan": {
            "vocabulary": {"base": 150, "kept": 20},
            "feed_forward_width": {"base": 512, "kept": 384},
            "layers": 2,
            "layer_output_error": [0.01, 0.02],
        },
        "calibration": {"sequences": 3, "tokens": 600, "prompt_format": "fill-in-the-middle"},
        "finetuning": {
            "minutes": 4.0,
            "tokens": 9000,
            "tokens_per_s": 200.0,
            "kept_step": 8,
            "curve": [
                {"seconds": 5.0, "validation": 2.0},
                {"seconds": 60.0, "validation": 1.8, "training": 2.1},
                {"seconds": 120.0, "validation": 1.7, "training": 1.9},
            ],
        },
        "parity": {"greedy_agreement": 0.97, "greedy_tokens": 512, "loss_increase": 0.003},
        "corpus": {
            "languages": {"Python": {"files": 3, "bytes": {"calibration": 9000, "held-out": 2000}}},
            "skipped": {},
        },
        "stages": [{"name": "prune", "seconds": 10.0, "is_fresh": True}],
        "answers": [answer("x = 1", "x = 1"), answer("y", "x = 1"), answer("x = 1", "z"), answer("y", "z")],
        **changes,
    }


def sweep_row(method: str, sparsity: float, calibration: str, seed: int | None, **bits: float) -> dict[str, Any]:
    """Return a point of a sweep; `calibration` names its datasets ("py+js"), `bits` the bits per byte on each."""
    return {
        "method": method,
        "sparsity": sparsity,
        "removed_share": sparsity,
        "calibration": calibration.split("+") if calibration else [],
        "seed": seed,
        "quality": {name: {"bits_per_byte": value} for name, value in bits.items()},
    }
