"""A build of seconds, for what has to be repeated hundreds of times: a repository and a base of two random layers."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from contract.children import python_module
from testbed.python_files import write_python

# No fine-tuning: its number of steps depends on the machine's speed.
OPTIONS = ("--size", "0.8", "--minutes", "0", "--quantize", "fp32", "--positions", "6")
# What differs from run to run by nature: times, memory, and the manifests that tell of them.
_WEIGHTS = ("model.safetensors", "tokenizer.json", "plan.json", "config.json", "model.onnx", "tokens.npy")


def make_inputs(folder: Path) -> tuple[Path, Path]:
    """The repository and the base, in folders of `folder`; always the same."""
    from testbed.models import save_base

    repository = folder / "repository"
    for number in range(24):
        write_python(repository / "src", [number], rng=random.Random(number))
    return repository, save_base(folder / "base", kind="qwen2")


def command(repository: Path, base: Path, output: Path) -> list[str]:
    """`submodel build` of them."""
    words = ["build", str(repository), "-o", str(output), "--base", str(base), *OPTIONS, "--json"]
    return [*python_module("submodel"), *words]


def hashes(output: Path) -> dict[str, str]:
    """SHA-256 of each file that says what was built."""
    found = sorted(path for part in ("pruned", "model", "bundle") for path in (output / part).rglob("*"))
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
        if path.name in _WEIGHTS or path.name.startswith("places-")
    }


def check_state(output: Path) -> str | None:
    """What is wrong with what a build left: every folder is absent or whole, every JSON file a document."""
    from builder.artifact import MANIFEST, read_artifact
    from contract.bundle.bundle import read_bundle
    from contract.errors import SubmodelError
    from contract.files.untrusted_json import read_json
    from exporters.checkpoint_reader import Checkpoint

    try:
        for name in ("pruned", "model"):
            if (output / name).exists():
                if read_artifact(output / name).manifest is None:
                    return f"{name} has no {MANIFEST}"
                Checkpoint(output / name).read("model.embed_tokens.weight")
        if (output / "bundle").exists():
            read_bundle(output / "bundle")
        for path in [*output.glob("*.json"), *output.glob("stages/*.json")]:
            read_json(path)
        ignore = output / ".gitignore"
        if output.exists() and any(output.iterdir()) and ignore.exists() and ignore.read_text() != "*\n":
            return ".gitignore is cut off"
    except (SubmodelError, OSError, ValueError) as error:
        return str(error)
    return None
